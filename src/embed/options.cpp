#include "embed/options.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "models/registry.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

constexpr std::string_view features[] = {"last", "mean", "state-vectors", "state-norms", "state-projection"};
constexpr std::string_view scalings[] = {"raw", "z-score", "whitened"};
constexpr int64_t format = 1;

template <size_t size>
size_t place_of(const std::string_view (&names)[size], std::string_view name, const char* what) {
  const auto found = std::ranges::find(names, name);
  require(found != std::end(names), "{} {} does not exist, expected one of {}", what, in_quotes(name),
          fmt::join(names, ", "));
  return static_cast<size_t>(found - std::begin(names));
}

bool is_of_states(Feature feature) { return feature != Feature::last && feature != Feature::mean; }

// Whether a block's part of the state is one that the feature reads.
bool reads(Feature feature, const StateSpec& spec) {
  const bool matrices = spec.kind == StateKind::recurrence && spec.shape.rank() == 3;
  if (feature == Feature::state_vectors)
    return spec.kind == StateKind::shift || (spec.kind == StateKind::recurrence && !matrices);
  return matrices;
}

template <typename Value>
Value member(const Json& json, const char* name, const std::string& where) {
  try {
    return json.at(name).get<Value>();
  } catch (const Json::exception&) {
    fail("{}: {} is missing or not what was expected; the file is damaged", where, in_quotes(name));
  }
}

}  // namespace

std::string_view name_of(Feature feature) { return features[static_cast<size_t>(feature)]; }
Feature feature_named(std::string_view name) {
  return static_cast<Feature>(place_of(features, name, "the feature"));
}
std::string_view name_of(Scaling scaling) { return scalings[static_cast<size_t>(scaling)]; }
Scaling scaling_named(std::string_view name) {
  return static_cast<Scaling>(place_of(scalings, name, "the scaling"));
}

EmbeddingOptions usual_embedding(const Model& model) {
  const int64_t n = model.config().n_layer;
  const std::set<int64_t> uniform{std::max<int64_t>(n / 3, 1), std::max<int64_t>(2 * n / 3, 1), n};
  return {.feature = Feature::mean, .layers = {uniform.begin(), uniform.end()}};
}

std::vector<int64_t> parse_layers(std::string_view text, int64_t n_layer) {
  std::set<int64_t> layers;
  for (std::string_view rest = text;;) {
    const std::string_view word = rest.substr(0, rest.find(','));
    int64_t layer = n_layer + 1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), layer);
    require(word == "out" || (error == std::errc() && end == word.data() + word.size()),
            "the layers are {}, expected numbers and \"out\", separated by commas: 2,4,out", in_quotes(text));
    require(word == "out" || (0 <= layer && layer <= n_layer),
            "there is no layer {}: the model has {} blocks, so expected 0 to {}, or \"out\"", layer, n_layer,
            n_layer);
    require(layers.insert(layer).second, "the layers are {}, which names {} twice", in_quotes(text),
            in_quotes(word));
    if (word.size() == rest.size()) break;
    rest.remove_prefix(word.size() + 1);
  }
  return {layers.begin(), layers.end()};
}

void require_feature(const Model& model, const EmbeddingOptions& options) {
  const int64_t n_layer = model.config().n_layer;
  const bool of_states = is_of_states(options.feature);
  const auto& layers = options.layers;
  require(!layers.empty() && std::ranges::adjacent_find(layers, std::greater_equal()) == layers.end() &&
              layers.front() >= (of_states ? 1 : 0) && layers.back() <= (of_states ? n_layer : n_layer + 1),
          "the layers are [{}], expected rising numbers from {} to {}{}", fmt::join(layers, ", "),
          of_states ? 1 : 0, n_layer, of_states ? "" : " or \"out\"");
  if (!of_states) return;
  for (const int64_t layer : layers) {
    const std::string prefix = fmt::format("blocks.{}.", layer - 1);
    require(std::ranges::any_of(model.state_specs(),
                                [&](const StateSpec& spec) {
                                  return spec.name.starts_with(prefix) && reads(options.feature, spec);
                                }),
            "an {} has no {} in the state of block {}, which the feature {} reads; name another feature",
            model_version(model.config().version).title,
            options.feature == Feature::state_vectors ? "vectors" : "matrices", layer,
            name_of(options.feature));
  }
}

std::string to_json(const EmbeddingSource& source) {
  return Json{{"format", format},
              {"model_hash", source.model_hash},
              {"model_name", printable(source.model_name)},
              {"tokenizer_hash", source.tokenizer_hash},
              {"feature", name_of(source.feature)},
              {"layers", source.layers},
              {"begin_token", source.begin_token.value_or(-1)}}
      .dump();
}

EmbeddingSource embedding_source_from_json(const std::string& text, const std::string& where) {
  const Json json = parse_json(text, where);
  require(json.is_object() && json.value("format", Json()) == format,
          "{}: expected the format {}; the file was written by a newer Aviary, or is damaged", where, format);
  EmbeddingSource source{.model_hash = member<std::string>(json, "model_hash", where),
                         .model_name = member<std::string>(json, "model_name", where),
                         .tokenizer_hash = member<std::string>(json, "tokenizer_hash", where),
                         .feature = feature_named(member<std::string>(json, "feature", where)),
                         .layers = member<std::vector<int64_t>>(json, "layers", where)};
  const auto begin = member<int32_t>(json, "begin_token", where);
  if (begin >= 0) source.begin_token = begin;
  return source;
}

void require_same_source(const EmbeddingSource& said, const EmbeddingSource& found,
                         const std::string& where) {
  require(said.model_hash == found.model_hash,
          "{}: it was made with {} (hash {}), but the model is {} (hash {}), whose vectors mean something "
          "else; name the model that it was made with, or make it again",
          where, in_quotes(said.model_name), said.model_hash, in_quotes(found.model_name), found.model_hash);
  require(said.tokenizer_hash == found.tokenizer_hash && said.begin_token == found.begin_token,
          "{}: it was made with another tokenizer or begin token than this model is used with; leave out "
          "--tokenizer, or make it again",
          where);
  require(said.feature == found.feature && said.layers == found.layers,
          "{}: it was made for the feature {} of the layers {}, not for {} of {}; make it again for these",
          where, name_of(said.feature), fmt::join(said.layers, ","), name_of(found.feature),
          fmt::join(found.layers, ","));
}

}  // namespace aviary
