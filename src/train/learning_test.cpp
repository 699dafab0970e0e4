// Every registered version learns: after a short training on real text, it predicts unseen text better than
// letter frequencies do, and generates text with those letters.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/files.h"
#include "infer/generate.h"
#include "models/registry.h"
#include "support/repository.h"
#include "train/plan.h"
#include "train/trainer.h"

namespace aviary {
namespace {

// The documents of this repository.
std::string real_text() {
  std::string text;
  for (const char* page : {"LICENSE", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/formats.md",
                           "docs/references.md", "docs/versions.md", "tests/golden/README.md"})
    text += read_file(repository() / page, 1 << 20);
  return text;
}

using Counts = std::array<double, 256>;

// Nats per byte of a predictor that knows only the frequency of each byte.
double unigram_entropy(std::span<const int32_t> bytes) {
  Counts counts{};
  for (int32_t byte : bytes) ++counts[static_cast<size_t>(byte)];
  double entropy = 0;
  for (double count : counts)
    if (count > 0) entropy -= count * std::log(count / static_cast<double>(bytes.size()));
  return entropy / static_cast<double>(bytes.size());
}

class LearningLong : public testing::TestWithParam<const ModelVersion*> {
 protected:
  static TrainConfig config() {
    TrainConfig config;
    config.model = {
        .version = GetParam()->name, .n_layer = 2, .n_embd = 64, .vocab_size = 256, .ctx_len = 64};
    config.tokenizer = "bytes";
    config.context = 64;
    config.batch = 8;
    config.schedule = {.kind = ScheduleKind::cosine, .steps = 300, .warmup = 5};
    apply_recipe(config);
    return config;
  }
};

TEST_P(LearningLong, PredictsBetterThanLetterFrequenciesAndGenerates) {
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  const Corpus corpus(real_text(), *tokenizer, 6000);
  Trainer trainer(config(), tokenizer, corpus);
  const double entropy = unigram_entropy(corpus.validation);
  const double before = trainer.validate(0, 64) * std::log(2.0);
  while (!trainer.finished()) trainer.step();
  const double after = trainer.validate(0, 64) * std::log(2.0);
  EXPECT_GT(before, entropy);
  EXPECT_LT(after, 0.95 * entropy) << "nats per byte of the validation text; before " << before;

  // Generated text consists of the letters of the training text; with uniformly random bytes this would be so
  // in four of ten cases.
  Generation text = generate(trainer.runner(), *tokenizer, "The ", {.tokens = 100, .sampling = {.seed = 1}});
  EXPECT_EQ(text.tokens, 100);
  Counts known{};
  for (int32_t byte : corpus.train) known[static_cast<size_t>(byte)] = 1;
  double letters = 0;
  for (char c : text.text) letters += known[static_cast<unsigned char>(c)];
  EXPECT_GT(letters, 0.9 * static_cast<double>(text.text.size())) << text.text;
}

INSTANTIATE_TEST_SUITE_P(Registry, LearningLong, testing::ValuesIn(model_versions()), [](const auto& info) {
  std::string name = info.param->name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
});

}  // namespace
}  // namespace aviary
