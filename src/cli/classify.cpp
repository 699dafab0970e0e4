// aviary classify: a linear classifier of texts, on vectors of a model.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/quotes.h"
#include "cli/embedding.h"
#include "cli/outputs.h"
#include "embed/classifier.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct TrainFlags {
  ModelFlags model;
  FeatureFlags feature;
  std::string data, out, map, scaling = "z-score";
  int64_t folds = 5;
  uint64_t seed = 1;
};

struct ClassifyFlags {
  ModelFlags model;
  std::string classifier;
  ListFlags texts;
  bool json = false;
  TrainFlags train;
};

// The labels in alphabetical order, and the index of each text's.
std::vector<std::string> number_labels(const TextList& list, std::vector<int32_t>& indices) {
  std::map<std::string, int32_t> numbers;
  for (const ListedText& text : list.texts) numbers.emplace(text.label, 0);
  std::vector<std::string> labels;
  for (auto& [label, number] : numbers) {
    number = static_cast<int32_t>(labels.size());
    labels.push_back(label);
  }
  for (const ListedText& text : list.texts) indices.push_back(numbers.at(text.label));
  return labels;
}

void report_classifier(const Classifier& classifier, const std::string& out, const LabeledVectors& data) {
  const auto [low, high] = classifier.accuracy.interval();
  std::vector<int64_t> counts(classifier.labels.size());
  for (const int32_t label : data.labels) ++counts[static_cast<size_t>(label)];
  const auto texts = static_cast<double>(data.labels.size());
  fmt::print("{}: {} labels, {} texts, vectors of {} numbers\n", out, classifier.labels.size(),
             with_commas(std::ssize(data.labels)), data.vectors[0].size());
  fmt::print(
      "accuracy {:.1f} % in cross-validation, 95 % interval {:.1f} to {:.1f} %; always the most "
      "frequent label: {:.1f} %\n",
      100 * classifier.accuracy.value(), 100 * low, 100 * high,
      100 * static_cast<double>(*std::ranges::max_element(counts)) / texts);
  fmt::print("penalty {:g}, the best of {:g} to {:g}\n", classifier.penalty, penalties[0],
             penalties[std::size(penalties) - 1]);
}

int train_classifier(const TrainFlags& flags) {
  require(fs::path(flags.out).extension() == ".safetensors",
          "--out {}: expected a name that ends in .safetensors", flags.out);
  std::vector<fs::path> inputs = flags.model.inputs();
  inputs.emplace_back(flags.data);
  require_apart(flags.out, inputs);
  const TextList list = read_list(flags.data, flags.map, true);
  LabeledVectors data;
  std::vector<std::string> labels = number_labels(list, data.labels);
  require_labels(data, labels);
  const LoadedModel loaded = flags.model.load();
  const EmbeddingOptions options = flags.feature.options(loaded);
  AtomicFile{flags.out};  // checks that it can be written before the work starts
  Embedder embedder(*loaded.model, require_tokenizer(loaded), options);
  const InterruptGuard guard;
  data.vectors = embed_list(embedder, list.texts, guard);
  std::optional<Progress> progress;
  const Classifier classifier = train_classifier(
      data, std::move(labels),
      {.scaling = scaling_named(flags.scaling),
       .folds = flags.folds,
       .seed = flags.seed,
       .progress = [&](int64_t done, int64_t total) {
         if (!progress)
           progress.emplace(ProgressOptions{.label = "train", .total = total, .unit = "", .summary = false});
         progress->update(done);
         return !guard.interrupted();
       }});
  progress.reset();
  save_classifier(flags.out, classifier, source_of(flags.model, loaded, options));
  report_classifier(classifier, flags.out, data);
  return 0;
}

void print_line(const ListedText& text, const Classifier& classifier, const std::vector<double>& p,
                bool json) {
  const auto best = static_cast<size_t>(std::ranges::max_element(p) - p.begin());
  if (json) {
    nlohmann::ordered_json line{{"line", text.line}, {"text", text.text}, {"label", classifier.labels[best]}};
    for (size_t i = 0; i < p.size(); ++i) line["probabilities"][classifier.labels[i]] = p[i];
    fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return;
  }
  // The three most probable ones.
  constexpr size_t shown = 3;
  std::vector<size_t> order(p.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  std::string labels;
  for (size_t i = 0; i < std::min(shown, order.size()); ++i)
    labels +=
        fmt::format("{}{} {:.3f}", i == 0 ? "" : ", ", printable(classifier.labels[order[i]]), p[order[i]]);
  fmt::print("{}\t{}\n", labels, printable(text.text));
}

int classify(const ClassifyFlags& flags) {
  require(!flags.model.path.empty() && !flags.classifier.empty(),
          "name a model, a classifier and a text: aviary classify MODEL CLASSIFIER FILE, or --prompt TEXT; "
          "aviary classify train makes the classifier");
  const TextList list = flags.texts.read();
  const StoredClassifier stored = load_classifier(flags.classifier);
  const LoadedModel loaded = flags.model.load();
  const EmbeddingOptions options{.feature = stored.source.feature,
                                 .layers = stored.source.layers,
                                 .unit_length = false,
                                 .begin_token = loaded.begin_token};
  require_same_source(stored.source, source_of(flags.model, loaded, options), flags.classifier);
  Embedder embedder(*loaded.model, require_tokenizer(loaded), options);
  require(embedder.dimensions() == stored.classifier.statistics.width(),
          "{}: it is for vectors of {} numbers, but those of the model have {}; the file is damaged",
          flags.classifier, stored.classifier.statistics.width(), embedder.dimensions());
  const InterruptGuard guard;
  const std::vector<std::vector<float>> vectors = embed_list(embedder, list.texts, guard);
  for (size_t i = 0; i < vectors.size(); ++i)
    print_line(list.texts[i], stored.classifier, stored.classifier.probabilities(vectors[i]), flags.json);
  return 0;
}

CLI::App* add_classifier_training(CLI::App& command, TrainFlags& flags) {
  CLI::App* train = command.add_subcommand("train", "Learn a classifier from texts with labels");
  train
      ->add_option("model", flags.model.path,
                   "A model file, a folder of Hugging Face, or the folder of a run")
      ->required();
  train
      ->add_option("data", flags.data,
                   "Rows of JSON with a \"text\" and a \"label\", one per line; -: the standard input")
      ->required();
  train->add_option("--out", flags.out, "The classifier file to write, a .safetensors")->required();
  train->add_option("--map", flags.map,
                    "Keys of the rows that are read as others, as title=text,section=label (default: none)");
  flags.feature.add_to(*train);
  train
      ->add_option("--scaling", flags.scaling,
                   "What is done with the numbers first, by statistics of the texts: z-score or whitened")
      ->check(CLI::IsMember({"z-score", "whitened"}))
      ->capture_default_str();
  train
      ->add_option("--folds", flags.folds,
                   "Parts into which the texts are divided for cross-validation, fewer where a label is rare")
      ->check(bounds(2, 100))
      ->capture_default_str();
  train->add_option("--seed", flags.seed, "Seed of the division into parts")->capture_default_str();
  flags.model.add_running_to(*train);
  return train;
}

Action add_classify(CLI::App& command) {
  auto flags = std::make_shared<ClassifyFlags>();
  const CLI::App* training = add_classifier_training(command, flags->train);
  command.add_option("model", flags->model.path,
                     "The model that the classifier was trained with (default: none, it must be named)");
  command.add_option("classifier", flags->classifier,
                     "A file of `aviary classify train` (default: none, it must be named)");
  flags->texts.add_to(command);
  command.add_flag("--json", flags->json, "Print JSON lines with the probabilities of all labels");
  flags->model.add_running_to(command);
  const CLI::App* given = &command;
  return [flags, given, training] {
    if (!training->parsed()) return classify(*flags);
    for (const CLI::Option* option : given->get_options())
      require(option->count() == 0,
              "classify train: {} is given, which only `aviary classify` without train takes",
              option->get_name());
    return train_classifier(flags->train);
  };
}

const Registration classify_command({"classify", CommandGroup::text, 6,
                                     "Labels of texts, after learning from examples", add_classify});

}  // namespace
}  // namespace aviary::cli
