#include "cli/embedding.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/progress.h"
#include "checkpoints/tuning_info.h"
#include "cli/texts.h"

namespace aviary::cli {

void FeatureFlags::add_to(CLI::App& command) {
  command
      .add_option(
          "--feature", feature,
          "What of the model makes the vector: last or mean (a layer's output at the last token, or its "
          "mean over all tokens), state-vectors, state-norms or state-projection (of the state after "
          "the text) (default: mean)")
      ->check(CLI::IsMember({"last", "mean", "state-vectors", "state-norms", "state-projection"}));
  command.add_option("--layers", layers,
                     "Whose outputs or states, one after another: 0 is before the first block, 3 after three "
                     "blocks, out what the output matrix reads, as in 2,4,out (default: at a third and two "
                     "thirds of the depth, and the last block)");
}

EmbeddingOptions FeatureFlags::options(const LoadedModel& loaded) const {
  EmbeddingOptions options = usual_embedding(*loaded.model);
  if (!feature.empty()) options.feature = feature_named(feature);
  if (!layers.empty()) options.layers = parse_layers(layers, loaded.model->config().n_layer);
  options.begin_token = loaded.begin_token;
  options.unit_length = false;
  require_feature(*loaded.model, options);
  return options;
}

void ListFlags::add_to(CLI::App& command) {
  command.add_option(
      "file", file,
      "A file with one text per line, or with rows of JSON that have a \"text\"; -: the standard "
      "input (default: none)");
  command.add_option("--prompt,-p", prompts,
                     "A text; -: the standard input; may be repeated (default: none)");
  command.add_option("--map", map, "Keys of the rows that are read as others, as title=text (default: none)");
}

TextList read_list(const std::string& path, const std::string& map, bool labels) {
  const InputFile input(path);
  TextList list = read_text_list(input.bytes(), input.name(), {.rename = renames(map), .labels = labels});
  if (list.blank > 0)
    fmt::print(stderr, "note: {}: {} without a text {} left out\n", printable(input.name()),
               list.blank == 1 ? "a line" : with_commas(list.blank) + " lines",
               list.blank == 1 ? "is" : "are");
  return list;
}

TextList ListFlags::read() const {
  require(!prompts.empty() || !file.empty(),
          "there is no text; name a file with one text per line, or give a text with --prompt");
  require(map.empty() || !file.empty(), "--map is given, but no file with rows whose keys it is about");
  TextList list;
  if (!file.empty()) list = read_list(file, map, false);
  std::vector<ListedText> texts;
  for (const std::string& prompt : prompts) {
    require(!prompt.empty(), "--prompt: the text is empty");
    texts.push_back({.text = prompt == "-" ? std::string(open_text(prompt).text()) : prompt, .label = {}});
  }
  list.texts.insert(list.texts.begin(), texts.begin(), texts.end());
  return list;
}

EmbeddingSource source_of(const ModelFlags& flags, const LoadedModel& loaded,
                          const EmbeddingOptions& options) {
  const TensorFile file = read_tensor_file(loaded.path);
  const BaseInfo base = base_info_of(file, loaded.path);
  EmbeddingSource source{.model_hash = base.hash,
                         .model_name = base.name,
                         .tokenizer_hash = require_tokenizer(loaded).hash_text(),
                         .feature = options.feature,
                         .layers = options.layers,
                         .begin_token = options.begin_token};
  for (const std::string& adapter : flags.adapters) {
    std::string said = adapter.substr(std::min(adapter.find(','), adapter.size()));  // weight and alpha
    for (const auto& part : present_files_of_adapter(adapter_request(adapter))) {
      const MappedFile mapped(part);
      said += std::string_view(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size());
    }
    source.model_hash += "+" + hash_of(said);
  }
  return source;
}

std::vector<std::vector<float>> embed_list(Embedder& embedder, const std::vector<ListedText>& texts,
                                           const InterruptGuard& guard) {
  constexpr size_t portion = 256;  // texts between two looks at the interrupt
  Progress progress({.label = "read", .total = std::ssize(texts), .unit = "texts", .summary = false});
  std::vector<std::vector<float>> vectors;
  for (size_t begin = 0; begin < texts.size(); begin += portion) {
    std::vector<std::string> some;
    for (size_t i = begin; i < std::min(begin + portion, texts.size()); ++i) some.push_back(texts[i].text);
    for (std::vector<float>& vector : embedder.embed(some)) vectors.push_back(std::move(vector));
    progress.update(std::ssize(vectors));
    if (guard.interrupted()) throw Interrupted();
  }
  return vectors;
}

}  // namespace aviary::cli
