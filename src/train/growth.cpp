#include "train/growth.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "models/registry.h"
#include "models/run.h"

namespace aviary {
namespace {

constexpr double same_function = 1e-4;  // difference_of_logits() of models that compute the same

// A parameter of a block by its layer: "blocks." 3 ".att.key.weight". No layer: it is in none.
struct Place {
  int64_t layer = -1;
  std::string rest;
};

Place place_of(const std::string& name) {
  constexpr std::string_view begin = "blocks.";
  Place place;
  if (!name.starts_with(begin)) return place;
  const auto [end, error] =
      std::from_chars(name.data() + begin.size(), name.data() + name.size(), place.layer);
  if (error == std::errc()) place.rest = end;
  return place;
}

std::string name_of(const Place& place, int64_t layer) {
  return fmt::format("blocks.{}{}", layer, place.rest);
}

// What a block adds to the stream is zero when these are.
bool makes_output(const std::string& rest) {
  return rest == ".att.output.weight" || rest == ".ffn.value.weight";
}

// The block that block `layer` of the larger model is made from, and whether it is to add nothing.
struct Source {
  int64_t layer;
  bool silent;
};

Source source_of(int64_t layer, int64_t from, int64_t to, Deepening how) {
  if (how == Deepening::stack) return {layer % from, false};
  const int64_t source = layer * from / to;
  return {source, layer > 0 && (layer - 1) * from / to == source};
}

// The axis along which a product sums; -1: none.
int input_axis(Use use) {
  switch (use) {
    case Use::out_in:
    case Use::stack:
      return 1;
    case Use::in_out:
      return 0;
    default:
      return -1;
  }
}

// Copies side by side along every axis that is k times as long.
std::vector<double> widened(const Parameter& from, const ParameterSpec& to) {
  const Shape &old = from.spec.shape, &now = to.shape;
  bool fits = old.rank() == now.rank();
  for (int axis = 0; fits && axis < old.rank(); ++axis) fits = now[axis] % old[axis] == 0;
  require(fits, "grow: {} has shape {}, which cannot become {}: every size must be a multiple of the old one",
          to.name, old, now);
  const std::vector<double> values = to_host(from.weight.value());
  const int input = input_axis(to.use);
  const double factor = input < 0 ? 1 : static_cast<double>(old[input]) / static_cast<double>(now[input]);
  std::vector<double> result(static_cast<size_t>(now.count()));
  for (int64_t i = 0; i < now.count(); ++i) {
    int64_t rest = i, at = 0, stride = 1;
    for (int axis = now.rank() - 1; axis >= 0; --axis) {
      at += rest % now[axis] % old[axis] * stride;
      rest /= now[axis];
      stride *= old[axis];
    }
    result[static_cast<size_t>(i)] = factor * values[static_cast<size_t>(at)];
  }
  return result;
}

// A number of `values` between two of them, at the share `at` of their length.
double between(const std::vector<double>& values, double at) {
  const double position = at * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(position);
  const size_t high = std::min(low + 1, values.size() - 1);
  const double part = position - static_cast<double>(low);
  return values[low] * (1 - part) + values[high] * part;
}

double share_of(int64_t i, int64_t count) {
  return count > 1 ? static_cast<double>(i) / static_cast<double>(count - 1) : 0;
}

std::vector<double> smoothed(const std::vector<double>& values) {
  const int64_t count = std::ssize(values), reach = count / 32;
  std::vector<double> result;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = std::max<int64_t>(i - reach, 0), last = std::min(i + reach, count - 1);
    double sum = 0;
    for (int64_t k = first; k <= last; ++k) sum += values[static_cast<size_t>(k)];
    result.push_back(sum / static_cast<double>(last - first + 1));
  }
  return result;
}

ModelConfig larger(const Model& model, int64_t layers, int64_t width) {
  ModelConfig config = model.config();
  require(layers >= config.n_layer && width >= config.n_embd,
          "grow: from {} layers of width {} to {} of {}: a model cannot become smaller", config.n_layer,
          config.n_embd, layers, width);
  require(width % config.n_embd == 0, "grow: the width is {}, expected a multiple of {}, that of the model",
          width, config.n_embd);
  const int64_t times = width / config.n_embd;
  config.n_layer = layers;
  config.n_embd = width;
  config.dim_ffn *= times;
  config.dim_att *= times;
  return complete(config);
}

}  // namespace

Deepening deepening(const std::string& name) {
  if (name == "identity") return Deepening::identity;
  require(name == "stack", "--deepen \"{}\", expected identity or stack", name);
  return Deepening::stack;
}

std::unique_ptr<Model> grown(Model& model, const Growth& growth) {
  const int64_t from = model.config().n_layer, layers = growth.layers ? growth.layers : from;
  const int64_t width = growth.width ? growth.width : model.config().n_embd;
  auto large = create_model(larger(model, layers, width));
  large->parameters().initialize(growth.seed);
  Random random(growth.seed);
  for (Parameter& parameter : large->parameters()) {
    const Place place = place_of(parameter.spec.name);
    const Source source = source_of(std::max<int64_t>(place.layer, 0), from, layers, growth.how);
    const Parameter* old =
        model.parameters().find(place.layer < 0 ? parameter.spec.name : name_of(place, source.layer));
    if (!old) continue;  // in some blocks only; it stays new
    std::vector<double> values = widened(*old, parameter.spec);
    for (double& value : values) {
      if (growth.noise > 0) value *= 1 + growth.noise * random.normal();
      if (source.silent && makes_output(place.rest)) value = 0;
    }
    from_host(values, parameter.weight.value());
    parameter.weight.changed();
  }
  if (growth.noise == 0 && (growth.how == Deepening::identity || layers == from)) {
    const double difference = difference_of_logits(model, *large);
    require(difference<same_function,
                       "grow: the larger model computes something else (the logits differ by {:.1g} of the "
                       "largest): {} cannot be "
                       "grown in this way{}",
                       difference, model.config().version, layers>
                    from
                ? "; try --deepen stack"
                : "");
  }
  return large;
}

std::unique_ptr<Model> transferred(Model& model, int64_t layers, int64_t width, uint64_t seed) {
  ModelConfig config = model.config();
  const int64_t from = config.n_layer;
  config.n_layer = layers;
  config.n_embd = width;
  // All other sizes are those that the version has for this width.
  config.dim_ffn = config.dim_att = config.rank_decay = config.rank_a = config.rank_v = config.rank_gate =
      config.rank_mix = 0;
  auto result = create_model(complete(config));
  result->parameters().initialize(seed);
  for (Parameter& parameter : result->parameters()) {
    const Place place = place_of(parameter.spec.name);
    if (place.layer < 0 || parameter.spec.use != Use::vector) continue;
    const std::vector<double> start = to_host(parameter.weight.value());
    const bool rising = start.back() >= start.front();
    const double depth = share_of(place.layer, layers) * static_cast<double>(from - 1);
    std::vector<double> values(start.size());
    for (const int64_t layer : {static_cast<int64_t>(depth), static_cast<int64_t>(depth) + 1}) {
      const double weight = 1 - std::abs(depth - static_cast<double>(layer));
      const Parameter* old = model.parameters().find(name_of(place, std::min(layer, from - 1)));
      if (weight <= 0 || !old) continue;
      std::vector<double> sorted = to_host(old->weight.value());
      std::sort(sorted.begin(), sorted.end());
      if (!rising) std::reverse(sorted.begin(), sorted.end());
      sorted = smoothed(sorted);
      for (size_t i = 0; i < values.size(); ++i)
        values[i] += weight * between(sorted, share_of(static_cast<int64_t>(i), std::ssize(values)));
    }
    if (!model.parameters().find(name_of(place, std::min<int64_t>(static_cast<int64_t>(depth), from - 1))))
      continue;
    from_host(values, parameter.weight.value());
    parameter.weight.changed();
  }
  return result;
}

double difference_of_logits(Model& one, Model& other) {
  constexpr int64_t length = 24;
  Random random(7);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < length; ++i)
    tokens.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(one.config().vocab_size))));
  std::array<std::vector<double>, 2> logits;
  for (size_t which = 0; which < 2; ++which) {
    Runner runner(which == 0 ? one : other);
    std::vector<State> states = runner.new_states(1);
    logits[which] = to_host(runner.all_logits(tokens, Sequences::uniform(1, length), states));
  }
  double largest = 0, difference = 0;
  for (size_t i = 0; i < logits[0].size(); ++i) {
    largest = std::max(largest, std::abs(logits[0][i]));
    difference = std::max(difference, std::abs(logits[0][i] - logits[1][i]));
  }
  return difference / std::max(largest, 1e-30);
}

}  // namespace aviary
