// A linear classifier of texts: logistic regression on their vectors.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "embed/logistic.h"
#include "embed/statistics.h"

namespace aviary {

// The penalties that are tried (fit_logistic), from the largest to the smallest.
inline constexpr double penalties[] = {30, 10, 3, 1, 0.3, 0.1, 0.03, 0.01};

struct Accuracy {
  int64_t right = 0, of = 0;

  double value() const { return static_cast<double>(right) / static_cast<double>(std::max<int64_t>(of, 1)); }
  // The 95 % interval of Wilson (1927), in which the accuracy on further texts of this kind lies.
  std::pair<double, double> interval() const;
};

// What a classifier learns from: raw vectors, each with the index of its label.
struct LabeledVectors {
  std::vector<std::vector<float>> vectors;
  std::vector<int32_t> labels;
};

struct ClassifierOptions {
  Scaling scaling = Scaling::z_score;
  int64_t folds = 5;  // at most as many as the rarest label has texts
  uint64_t seed = 1;  // of the division into folds
  // Called with the parts of the work that are done and their number; false: stop, with Interrupted.
  std::function<bool(int64_t done, int64_t total)> progress = {};
};

struct Classifier {
  std::vector<std::string> labels;
  Scaling scaling = Scaling::z_score;
  Statistics statistics;  // of the training texts
  LogisticModel model;    // on scaled vectors
  double penalty = 0;
  Accuracy accuracy;  // of the texts that were left out of training, in cross-validation

  // vector: raw. The probability of each label.
  std::vector<double> probabilities(std::span<const float> vector) const;
};

// Throws Error unless there are 2 labels or more and 2 texts or more of each. Looks at data.labels alone.
void require_labels(const LabeledVectors& data, const std::vector<std::string>& labels);

// Chooses the penalty by cross-validation: the texts are divided at random into parts with the same share of
// each label, and the texts of each part are classified after training on the others; statistics, too, are of
// the others. The penalty with the smallest cross entropy on left-out texts is taken, and trained on all
// texts. Throws the errors of require_labels.
Classifier train_classifier(const LabeledVectors& data, std::vector<std::string> labels,
                            const ClassifierOptions& options);

void save_classifier(const std::filesystem::path& path, const Classifier& classifier,
                     const EmbeddingSource& source);
struct StoredClassifier {
  Classifier classifier;
  EmbeddingSource source;
};
// Throws Error if the file is no classifier or damaged.
StoredClassifier load_classifier(const std::filesystem::path& path);

}  // namespace aviary
