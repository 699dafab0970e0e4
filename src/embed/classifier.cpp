#include "embed/classifier.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/random.h"
#include "base/threads.h"

namespace aviary {
namespace {

// Which fold each text belongs to: shuffled, then dealt out per label.
std::vector<int64_t> folds_of(const std::vector<int32_t>& labels, int64_t classes, int64_t folds,
                              uint64_t seed) {
  std::vector<size_t> order(labels.size());
  std::iota(order.begin(), order.end(), size_t{0});
  Random random(seed);
  for (size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<size_t>(random.below(static_cast<int64_t>(i)))]);
  std::vector<int64_t> next(static_cast<size_t>(classes)), fold(labels.size());
  for (const size_t i : order) fold[i] = next[static_cast<size_t>(labels[i])]++ % folds;
  return fold;
}

struct Fitted {
  Statistics statistics;
  std::vector<LogisticModel> models;  // per penalty
};

Fitted fit(const LabeledVectors& data, const std::vector<size_t>& chosen, int64_t classes, Scaling scaling,
           std::span<const double> tried) {
  std::vector<std::vector<float>> vectors;
  std::vector<int32_t> labels;
  for (const size_t i : chosen) {
    vectors.push_back(data.vectors[i]);
    labels.push_back(data.labels[i]);
  }
  Fitted fitted{collect_statistics(vectors, scaling == Scaling::whitened), {}};
  std::vector<float> x;
  for (const std::vector<float>& vector : vectors) {
    const std::vector<float> scaled = fitted.statistics.scaled(vector, scaling);
    x.insert(x.end(), scaled.begin(), scaled.end());
  }
  fitted.models = fit_logistic(x, labels, classes, tried);
  return fitted;
}

int64_t folds_for(const LabeledVectors& data, size_t classes, int64_t asked) {
  std::vector<int64_t> counts(classes);
  for (const int32_t label : data.labels) ++counts[static_cast<size_t>(label)];
  return std::clamp<int64_t>(*std::ranges::min_element(counts), 2, asked);
}

// What the classifier of each penalty makes of texts that it was not trained on.
struct LeftOut {
  std::vector<int64_t> right = std::vector<int64_t>(std::size(penalties));
  std::vector<double> loss = std::vector<double>(std::size(penalties));  // sums of cross entropies

  void add(const LeftOut& other) {
    for (size_t p = 0; p < right.size(); ++p) {
      right[p] += other.right[p];
      loss[p] += other.loss[p];
    }
  }
};

// The texts of one fold, after training on the others.
LeftOut left_out(const LabeledVectors& data, const std::vector<int64_t>& fold_of, int64_t fold,
                 int64_t classes, Scaling scaling) {
  constexpr double least = 1e-300;  // a probability of 0 has no logarithm
  std::vector<size_t> others;
  for (size_t i = 0; i < fold_of.size(); ++i)
    if (fold_of[i] != fold) others.push_back(i);
  const Fitted fitted = fit(data, others, classes, scaling, penalties);
  LeftOut result;
  for (size_t i = 0; i < fold_of.size(); ++i) {
    if (fold_of[i] != fold) continue;
    const std::vector<float> x = fitted.statistics.scaled(data.vectors[i], scaling);
    const auto label = static_cast<size_t>(data.labels[i]);
    for (size_t p = 0; p < std::size(penalties); ++p) {
      const std::vector<double> probabilities = fitted.models[p].probabilities(x);
      const auto best = std::ranges::max_element(probabilities) - probabilities.begin();
      result.right[p] += static_cast<size_t>(best) == label ? 1 : 0;
      result.loss[p] -= std::log(std::max(probabilities[label], least));
    }
  }
  return result;
}

}  // namespace

void require_labels(const LabeledVectors& data, const std::vector<std::string>& labels) {
  require(labels.size() >= 2, "a classifier needs 2 labels or more, but the texts have {}", labels.size());
  for (size_t label = 0; label < labels.size(); ++label) {
    const auto count = std::ranges::count(data.labels, static_cast<int32_t>(label));
    require(count >= 2, "the label {} has {} text, expected 2 or more of each label",
            in_quotes(labels[label]), count);
  }
}

std::pair<double, double> Accuracy::interval() const {
  constexpr double z = 1.959964;  // of the normal distribution, for 95 %
  const auto n = static_cast<double>(std::max<int64_t>(of, 1));
  const double middle = (value() + z * z / (2 * n)) / (1 + z * z / n);
  const double half = z / (1 + z * z / n) * std::sqrt(value() * (1 - value()) / n + z * z / (4 * n * n));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

std::vector<double> Classifier::probabilities(std::span<const float> vector) const {
  return model.probabilities(statistics.scaled(vector, scaling));
}

Classifier train_classifier(const LabeledVectors& data, std::vector<std::string> labels,
                            const ClassifierOptions& options) {
  require_labels(data, labels);
  const auto classes = std::ssize(labels);
  const int64_t folds = folds_for(data, labels.size(), options.folds);
  const std::vector<int64_t> fold_of = folds_of(data.labels, classes, folds, options.seed);
  std::vector<LeftOut> parts(static_cast<size_t>(folds));
  std::mutex mutex;
  int64_t done = 0;
  bool stopped = false;
  auto tell = [&] {
    const std::lock_guard lock(mutex);
    ++done;
    if (options.progress && !options.progress(done, folds + 1)) stopped = true;
    return !stopped;
  };
  parallel_for(folds, 1, [&](int64_t begin, int64_t end) {
    for (int64_t fold = begin; fold < end; ++fold) {
      parts[static_cast<size_t>(fold)] = left_out(data, fold_of, fold, classes, options.scaling);
      if (!tell()) return;
    }
  });
  if (stopped) throw Interrupted();
  LeftOut all;
  for (const LeftOut& part : parts) all.add(part);
  const auto best = static_cast<size_t>(std::ranges::min_element(all.loss) - all.loss.begin());
  std::vector<size_t> every(data.vectors.size());
  std::iota(every.begin(), every.end(), size_t{0});
  Fitted fitted = fit(data, every, classes, options.scaling, std::span(penalties).first(best + 1));
  tell();
  Classifier classifier{.labels = std::move(labels),
                        .scaling = options.scaling,
                        .statistics = std::move(fitted.statistics),
                        .model = std::move(fitted.models.back()),
                        .penalty = penalties[best],
                        .accuracy = {all.right[best], std::ssize(data.labels)}};
  return classifier;
}

}  // namespace aviary
