// A classifier in a .safetensors file.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "embed/classifier.h"
#include "embed/float_file.h"
#include "formats/safetensors.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

constexpr const char *source_key = "aviary.classifier.source", *info_key = "aviary.classifier";
constexpr size_t most_labels = 65536;

void read_info(const std::string& text, const std::string& where, Classifier& classifier) {
  const Json json = parse_json(text, where);
  try {
    classifier.labels = json.at("labels").get<std::vector<std::string>>();
    classifier.scaling = scaling_named(json.at("scaling").get<std::string>());
    classifier.penalty = json.at("penalty").get<double>();
    classifier.accuracy = {json.at("right").get<int64_t>(), json.at("of").get<int64_t>()};
  } catch (const Json::exception&) {
    fail("{}: the metadata of the classifier lack something; the file is damaged", where);
  }
  require(2 <= classifier.labels.size() && classifier.labels.size() <= most_labels,
          "{}: it has {} labels, expected 2 or more; the file is damaged", where, classifier.labels.size());
}

void require_sizes(const Classifier& classifier, const std::string& where) {
  const Statistics& statistics = classifier.statistics;
  const size_t classes = classifier.labels.size();
  require(statistics.belong_together() &&
              (classifier.scaling != Scaling::whitened || !statistics.whitening.empty()) &&
              classifier.model.bias.size() == classes &&
              classifier.model.weights.size() ==
                  classes * static_cast<size_t>(statistics.width(classifier.scaling)),
          "{}: its tensors do not belong together; the file is damaged", where);
}

}  // namespace

void save_classifier(const std::filesystem::path& path, const Classifier& classifier,
                     const EmbeddingSource& source) {
  const Statistics& statistics = classifier.statistics;
  const int64_t width = statistics.width(), classes = std::ssize(classifier.labels);
  std::vector<TensorEntry> tensors{
      float_tensor("mean", {width}, statistics.mean),
      float_tensor("deviation", {width}, statistics.deviation),
      float_tensor("weight", {classes, statistics.width(classifier.scaling)}, classifier.model.weights),
      float_tensor("bias", {classes}, classifier.model.bias)};
  if (!statistics.whitening.empty())
    tensors.push_back(
        float_tensor("whitening", {statistics.width(Scaling::whitened), width}, statistics.whitening));
  const Json info{{"labels", classifier.labels},
                  {"scaling", name_of(classifier.scaling)},
                  {"penalty", classifier.penalty},
                  {"right", classifier.accuracy.right},
                  {"of", classifier.accuracy.of}};
  write_safetensors(path, unchanged(tensors), {{source_key, to_json(source)}, {info_key, info.dump()}});
}

StoredClassifier load_classifier(const std::filesystem::path& path) {
  const FloatFile file(path, "`aviary classify train`");
  const std::string& where = file.where();
  StoredClassifier stored{{}, embedding_source_from_json(file.metadata(source_key), where)};
  Classifier& classifier = stored.classifier;
  read_info(file.metadata(info_key), where, classifier);
  classifier.statistics.mean = file.numbers("mean");
  classifier.statistics.deviation = file.numbers("deviation");
  classifier.statistics.whitening = file.numbers("whitening");
  classifier.model = {.classes = std::ssize(classifier.labels),
                      .weights = file.numbers("weight"),
                      .bias = file.numbers("bias")};
  require_sizes(classifier, where);
  return stored;
}

}  // namespace aviary
