// aviary embed: vectors of texts.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/quotes.h"
#include "cli/embedding.h"
#include "cli/outputs.h"
#include "embed/vector_file.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct EmbedFlags {
  ModelFlags model;
  FeatureFlags feature;
  ListFlags texts;
  std::string out, collect, statistics, scaling;
  int64_t dimensions = 0, nearest = 0;
  bool keep_length = false;
};

void require_outputs_apart(const EmbedFlags& flags) {
  if (flags.out.empty()) return;
  std::vector<fs::path> inputs = flags.model.inputs();
  inputs.insert(inputs.end(), {flags.texts.file, flags.collect, flags.statistics});
  require_apart(flags.out, inputs);
}

int collect(const EmbedFlags& flags) {
  require(fs::path(flags.out).extension() == ".safetensors",
          "--collect writes statistics to the file that --out names, expected a name that ends in "
          ".safetensors");
  const TextList list = read_list(flags.collect, flags.texts.map, false);
  const LoadedModel loaded = flags.model.load();
  const EmbeddingOptions options = flags.feature.options(loaded);
  AtomicFile{flags.out};  // checks that it can be written before the work starts
  Embedder embedder(*loaded.model, require_tokenizer(loaded), options);
  const InterruptGuard guard;
  const std::vector<std::vector<float>> vectors = embed_list(embedder, list.texts, guard);
  const Statistics statistics = collect_statistics(vectors, true);
  save_statistics(flags.out, statistics, source_of(flags.model, loaded, options));
  fmt::print("{}: mean and deviation of {} numbers and {} directions, of {} texts\n", flags.out,
             statistics.width(), statistics.width(Scaling::whitened), with_commas(statistics.texts));
  return 0;
}

Embedder make_embedder(const EmbedFlags& flags, const LoadedModel& loaded) {
  EmbeddingOptions options = flags.feature.options(loaded);
  std::optional<Statistics> statistics;
  if (!flags.statistics.empty()) {
    StoredStatistics stored = load_statistics(flags.statistics);
    require_same_source(stored.source, source_of(flags.model, loaded, options), flags.statistics);
    statistics = std::move(stored.statistics);
    options.scaling = flags.scaling.empty() ? Scaling::whitened : scaling_named(flags.scaling);
  }
  options.dimensions = flags.dimensions;
  options.unit_length = !flags.keep_length;
  return {*loaded.model, require_tokenizer(loaded), options, std::move(statistics)};
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double product = 0, of_a = 0, of_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    product += x * y;
    of_a += x * x;
    of_b += y * y;
  }
  return of_a > 0 && of_b > 0 ? product / std::sqrt(of_a * of_b) : 0;
}

// For each text of --prompt, which are the first, the lines of the file with the largest cosine.
void print_nearest(const EmbedFlags& flags, const TextList& list,
                   std::span<const std::vector<float>> vectors) {
  const size_t prompts = flags.texts.prompts.size(), lines = vectors.size() - prompts;
  for (size_t prompt = 0; prompt < prompts; ++prompt) {
    std::vector<double> cosines;
    for (size_t i = prompts; i < vectors.size(); ++i) cosines.push_back(cosine(vectors[prompt], vectors[i]));
    std::vector<size_t> order(lines);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return cosines[a] > cosines[b]; });
    fmt::print("{}\n", printable(list.texts[prompt].text));
    for (size_t i = 0; i < std::min(lines, static_cast<size_t>(flags.nearest)); ++i) {
      const ListedText& text = list.texts[prompts + order[i]];
      fmt::print("  {:.4f}  line {:>6}  {}\n", cosines[order[i]], text.line, printable(text.text));
    }
  }
}

int embed_texts(const EmbedFlags& flags) {
  require_outputs_apart(flags);
  if (!flags.collect.empty()) return collect(flags);
  require(flags.scaling.empty() || !flags.statistics.empty(),
          "--scaling {} needs --statistics FILE; aviary embed --collect makes such a file", flags.scaling);
  if (!flags.out.empty()) require_vector_file(flags.out);
  const bool nearest = flags.nearest > 0;
  require(!nearest || (!flags.texts.prompts.empty() && !flags.texts.file.empty()),
          "--nearest compares texts of --prompt with the lines of a file; give both");
  const TextList list = flags.texts.read();
  const LoadedModel loaded = flags.model.load();
  Embedder embedder = make_embedder(flags, loaded);
  if (!flags.out.empty()) AtomicFile{flags.out};  // checks that it can be written before the work starts
  const InterruptGuard guard;
  const std::vector<std::vector<float>> vectors = embed_list(embedder, list.texts, guard);
  if (nearest) {
    print_nearest(flags, list, vectors);
  } else if (flags.out.empty()) {
    for (size_t i = 0; i < vectors.size(); ++i)
      fmt::print("{}", vector_line(list.texts[i].line, list.texts[i].text, vectors[i]));
  } else {
    VectorTexts texts;
    for (const ListedText& text : list.texts) {
      texts.texts.push_back(text.text);
      texts.lines.push_back(text.line);
    }
    write_vectors(flags.out, texts, vectors);
    fmt::print("{}: {} vectors of {} numbers\n", flags.out, with_commas(std::ssize(vectors)),
               embedder.dimensions());
  }
  return 0;
}

void add_vector_options(CLI::App& command, EmbedFlags& flags) {
  command
      .add_option("--dimensions", flags.dimensions, "Cut each vector after so many numbers (default: all)")
      ->check(bounds(1));
  command.add_flag("--keep-length", flags.keep_length, "Do not divide each vector by its length");
  command.add_option("--statistics", flags.statistics,
                     "A file of --collect for this model: the mean of all vectors is subtracted and the "
                     "directions are scaled (default: none)");
  command
      .add_option(
          "--scaling", flags.scaling,
          "How --statistics are used: z-score (each number by itself), whitened (also correlations), or "
          "raw (default: whitened)")
      ->check(CLI::IsMember({"raw", "z-score", "whitened"}));
}

Action add_embed(CLI::App& command) {
  auto flags = std::make_shared<EmbedFlags>();
  command
      .add_option("model", flags->model.path,
                  "A model file, a folder of Hugging Face, or the folder of a run")
      ->required();
  flags->texts.add_to(command);
  command.add_option(
      "--out", flags->out,
      "Write the vectors to this file, as .jsonl, .npy, .csv or .safetensors by the end of its "
      "name (default: print JSON lines)");
  command
      .add_option("--nearest", flags->nearest,
                  "Print so many lines of the file that are most similar to each --prompt (default: none)")
      ->check(bounds(1))
      ->excludes("--out");
  flags->feature.add_to(command);
  add_vector_options(command, *flags);
  command.add_option(
      "--collect", flags->collect,
      "Collect mean and covariance of the vectors of this file's texts, and write them to --out "
      "(default: none)");
  flags->model.add_running_to(command);
  const CLI::App* given = &command;
  return [flags, given] {
    refuse_beside(
        *given, "--collect",
        {"file", "--prompt", "--statistics", "--scaling", "--dimensions", "--keep-length", "--nearest"});
    return embed_texts(*flags);
  };
}

const Registration embed_command({"embed", CommandGroup::text, 5, "Vectors of texts, to compare them",
                                  add_embed});

}  // namespace
}  // namespace aviary::cli
