#include "embed/classifier.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/random.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

// Three clouds of points, `apart` deviations from each other, in 8 numbers.
LabeledVectors clouds(size_t count, double apart) {
  Random random(11);
  LabeledVectors data;
  for (size_t n = 0; n < count; ++n) {
    const auto label = static_cast<int32_t>(n % 3);
    std::vector<float>& vector = data.vectors.emplace_back();
    for (int32_t i = 0; i < 8; ++i)
      vector.push_back(static_cast<float>(100 + random.normal() + (i == label ? apart : 0)));
    data.labels.push_back(label);
  }
  return data;
}

const std::vector<std::string> names = {"a", "b", "c \u4f60"};

// At the minimum the gradient is zero: sum over texts of (p - y) x / N + penalty w = 0.
TEST(LogisticRegression, TheGradientVanishesAtTheResult) {
  const LabeledVectors data = clouds(90, 1);
  std::vector<float> x;
  for (const auto& vector : data.vectors)
    for (const float number : vector) x.push_back(number - 100);
  const double tried[] = {1, 0.1, 0.01};
  const std::vector<LogisticModel> models = fit_logistic(x, data.labels, 3, tried);
  ASSERT_EQ(models.size(), 3U);
  for (size_t m = 0; m < 3; ++m) {
    std::vector<double> gradient(3 * 9);
    for (size_t n = 0; n < 90; ++n) {
      const std::span<const float> row(x.data() + n * 8, 8);
      const std::vector<double> p = models[m].probabilities(row);
      EXPECT_NEAR(p[0] + p[1] + p[2], 1, 1e-12);
      for (size_t k = 0; k < 3; ++k) {
        const double error = (p[k] - (data.labels[n] == static_cast<int32_t>(k) ? 1 : 0)) / 90;
        for (size_t i = 0; i < 8; ++i) gradient[k * 9 + i] += error * static_cast<double>(row[i]);
        gradient[k * 9 + 8] += error;
      }
    }
    for (size_t k = 0; k < 3; ++k)
      for (size_t i = 0; i < 9; ++i) {
        const double of_penalty = i < 8 ? tried[m] * static_cast<double>(models[m].weights[k * 8 + i]) : 0;
        EXPECT_NEAR(gradient[k * 9 + i] + of_penalty, 0, 3e-4) << "penalty " << tried[m];
      }
  }
}

TEST(TextClassifier, SeparatesWhatIsApart) {
  for (const Scaling scaling : {Scaling::raw, Scaling::z_score, Scaling::whitened}) {
    const Classifier classifier = train_classifier(clouds(300, 6), names, {.scaling = scaling});
    EXPECT_GT(classifier.accuracy.value(), 0.98) << name_of(scaling);
    const LabeledVectors data = clouds(30, 6);
    for (size_t i = 0; i < 30; ++i) {
      const std::vector<double> p = classifier.probabilities(data.vectors[i]);
      EXPECT_GT(p[static_cast<size_t>(data.labels[i])], 0.5);
    }
  }
}

// A classifier that saw the texts it is measured on would seem much better.
TEST(TextClassifier, KnowsThatItLearnedNothing) {
  const Classifier classifier = train_classifier(clouds(300, 0), names, {});
  const auto [low, high] = classifier.accuracy.interval();
  EXPECT_LT(low, 1.0 / 3);
  EXPECT_LT(classifier.accuracy.value(), 0.45);
  EXPECT_GT(high, classifier.accuracy.value());
}

TEST(TextClassifier, TheSameSeedGivesTheSameClassifierAndAFileKeepsIt) {
  const LabeledVectors data = clouds(120, 2);
  const Classifier a = train_classifier(data, names, {.seed = 4}),
                   b = train_classifier(data, names, {.seed = 4});
  EXPECT_EQ(a.model.weights, b.model.weights);
  EXPECT_EQ(a.accuracy.right, b.accuracy.right);
  const TestFolder folder;
  for (const Scaling scaling : {Scaling::z_score, Scaling::whitened}) {
    const Classifier classifier = train_classifier(data, names, {.scaling = scaling});
    save_classifier(folder / "c.safetensors", classifier, {.model_hash = "ab", .layers = {1}});
    const StoredClassifier stored = load_classifier(folder / "c.safetensors");
    EXPECT_EQ(stored.source.model_hash, "ab");
    EXPECT_EQ(stored.classifier.labels, names);
    EXPECT_EQ(stored.classifier.accuracy.right, classifier.accuracy.right);
    EXPECT_EQ(stored.classifier.probabilities(data.vectors[0]), classifier.probabilities(data.vectors[0]));
  }
  const std::string bytes = read_file(folder / "c.safetensors", 1 << 20);
  for (size_t length = 0; length < bytes.size(); length += 7) {
    write_file_atomically(folder / "cut.safetensors", std::string_view(bytes).substr(0, length));
    EXPECT_THROW(load_classifier(folder / "cut.safetensors"), Error) << length;
  }
}

TEST(TextClassifier, TooFewTextsAreRefusedAndFewMakeFewFolds) {
  LabeledVectors data = clouds(6, 6);
  EXPECT_EQ(train_classifier(data, names, {}).accuracy.of, 6);
  data.labels[0] = 1;
  EXPECT_THROW(train_classifier(data, names, {}), Error);
  data.labels.assign(6, 0);
  EXPECT_THROW(train_classifier(data, {"a"}, {}), Error);
}

TEST(TextClassifier, CanBeStopped) {
  EXPECT_THROW(train_classifier(clouds(60, 1), names, {.progress = [](int64_t, int64_t) { return false; }}),
               Interrupted);
}

TEST(TextClassifier, TheIntervalIsWilsons) {
  const auto [low, high] = Accuracy{.right = 8, .of = 10}.interval();
  EXPECT_NEAR(low, 0.4902, 1e-4);
  EXPECT_NEAR(high, 0.9433, 1e-4);
}

}  // namespace
}  // namespace aviary
