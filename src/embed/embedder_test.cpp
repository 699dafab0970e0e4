#include "embed/embedder.h"

#include <cmath>

#include "base/error.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

constexpr int64_t vocabulary = 256;

std::unique_ptr<Model> small_model(const std::string& version) {
  return noisy_model(
      {.version = version, .n_layer = 3, .n_embd = 64, .vocab_size = vocabulary, .ctx_len = 48});
}

std::string text_of(size_t bytes, uint64_t seed) {
  Random random(seed);
  std::string text;
  while (text.size() < bytes) text += static_cast<char>('a' + random.below(26));
  return text;
}

class Embedding : public testing::TestWithParam<std::string> {
 protected:
  const std::unique_ptr<Model> model_ = small_model(GetParam());
  const TokenizerPtr bytes_ = make_bytes_tokenizer();
};

// Texts of 1 to 520 tokens, so that some are read in pieces beside others.
TEST_P(Embedding, AVectorHasTheSameBitsWhateverElseIsRead) {
  std::vector<std::string> texts;
  for (const size_t length : {size_t{520}, size_t{1}, size_t{256}, size_t{40}})
    texts.push_back(text_of(length, length));
  for (const Feature feature : {Feature::mean, Feature::last}) {
    Embedder embedder(*model_, *bytes_, {.feature = feature, .layers = {0, 2, 4}});
    const auto together = embedder.embed(texts);
    ASSERT_EQ(together.size(), texts.size());
    for (size_t i = 0; i < texts.size(); ++i)
      EXPECT_EQ(together[i], embedder.embed({&texts[i], 1})[0]) << "text " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, Embedding, testing::ValuesIn(version_names()), test_name);

class EmbeddingOf7 : public testing::Test {
 protected:
  const std::unique_ptr<Model> model_ = small_model("rwkv7");
  const TokenizerPtr bytes_ = make_bytes_tokenizer();

  // The rows of all tokens after `place`, in one step.
  std::vector<double> rows(const std::string& text, int64_t place) {
    Runner runner(*model_);
    State state = runner.new_state();
    const std::vector<int32_t> tokens = bytes_->encode(text);
    std::vector<double> found;
    runner.read_rows(tokens, Sequences::uniform(1, std::ssize(tokens)), state, {&place, 1},
                     [&](int64_t, const Tensor& x) { found = to_host(x); });
    return found;
  }
};

TEST_F(EmbeddingOf7, MeanAndLastAreThoseOfTheRows) {
  const std::string text = text_of(600, 1);
  Embedder mean(*model_, *bytes_, {.feature = Feature::mean, .layers = {1, 4}, .unit_length = false});
  Embedder last(*model_, *bytes_, {.feature = Feature::last, .layers = {1, 4}, .unit_length = false});
  const std::vector<float> a = mean.embed({&text, 1})[0], b = last.embed({&text, 1})[0];
  ASSERT_EQ(std::ssize(a), mean.dimensions());
  ASSERT_EQ(a.size(), 128U);
  for (const size_t at : {size_t{0}, size_t{1}}) {
    const std::vector<double> x = rows(text, at == 0 ? 1 : 4);
    for (size_t c = 0; c < 64; ++c) {
      double sum = 0;
      for (size_t t = 0; t < text.size(); ++t) sum += x[t * 64 + c];
      EXPECT_NEAR(a[at * 64 + c], sum / static_cast<double>(text.size()), 1e-4);
      EXPECT_NEAR(b[at * 64 + c], x[(text.size() - 1) * 64 + c], 1e-3);
    }
  }
}

TEST_F(EmbeddingOf7, ACutVectorIsTheBeginningWithItsOwnLength) {
  const std::string text = "some text";
  Embedder whole(*model_, *bytes_, {.layers = {2}}), cut(*model_, *bytes_, {.layers = {2}, .dimensions = 10});
  std::vector<float> a = whole.embed({&text, 1})[0];
  const std::vector<float> b = cut.embed({&text, 1})[0];
  EXPECT_EQ(cut.dimensions(), 10);
  double squares = 0;
  for (const float x : a) squares += static_cast<double>(x) * static_cast<double>(x);
  EXPECT_NEAR(squares, 1, 1e-5);
  shorten(a, 10, true);
  ASSERT_EQ(b.size(), a.size());
  for (size_t i = 0; i < b.size(); ++i) EXPECT_NEAR(b[i], a[i], 1e-6);
}

TEST_F(EmbeddingOf7, TheBeginTokenIsReadFirst) {
  const std::string text = "ab", begun = std::string(1, '\x05') + "ab";
  Embedder with(*model_, *bytes_, {.layers = {3}, .begin_token = 5}),
      without(*model_, *bytes_, {.layers = {3}});
  EXPECT_EQ(with.embed({&text, 1}), without.embed({&begun, 1}));
  EXPECT_NE(with.embed({&text, 1}), without.embed({&text, 1}));
}

TEST_F(EmbeddingOf7, StatesGiveNormsAndProjectionsOfTheirMatrices) {
  const std::string text = text_of(300, 2);
  Embedder norms(*model_, *bytes_, {.feature = Feature::state_norms, .layers = {2}, .unit_length = false});
  const std::vector<float> vector = norms.embed({&text, 1})[0];
  Runner runner(*model_);
  State state = runner.new_state();
  const std::vector<int32_t> tokens = bytes_->encode(text);
  runner.logits(tokens, Sequences::uniform(1, std::ssize(tokens)), state, {});
  std::vector<double> matrix;
  for (size_t part = 0; part < state.size(); ++part)
    if (state.layout().specs()[part].name == "blocks.1.att.wkv") matrix = to_host(state[part]);
  ASSERT_EQ(matrix.size(), 64U * 64U);
  ASSERT_EQ(vector.size(), 128U);
  double row = 0, column = 0;
  for (size_t i = 0; i < 64; ++i) {
    row += matrix[5 * 64 + i] * matrix[5 * 64 + i];
    column += matrix[i * 64 + 5] * matrix[i * 64 + 5];
  }
  EXPECT_NEAR(vector[5], std::sqrt(row), 1e-3 * std::sqrt(row) + 1e-5);
  EXPECT_NEAR(vector[64 + 5], std::sqrt(column), 1e-3 * std::sqrt(column) + 1e-5);
}

// 256 random sums keep the length of a matrix of 4096 numbers within a quarter.
TEST_F(EmbeddingOf7, ARandomProjectionKeepsLengths) {
  const std::string text = text_of(300, 2);
  auto length = [&](Feature feature) {
    Embedder embedder(*model_, *bytes_, {.feature = feature, .layers = {2}, .unit_length = false});
    double squares = 0;
    const std::vector<float> vector = embedder.embed({&text, 1})[0];
    const size_t end = feature == Feature::state_norms ? 64 : vector.size();  // the rows have all numbers
    for (size_t i = 0; i < end; ++i)
      squares += static_cast<double>(vector[i]) * static_cast<double>(vector[i]);
    return std::sqrt(squares);
  };
  const double expected = length(Feature::state_norms);
  EXPECT_NEAR(length(Feature::state_projection), expected, expected / 4);
}

TEST(EmbeddingOptionsTest, WhatAModelDoesNotHaveIsRefused) {
  const TokenizerPtr bytes = make_bytes_tokenizer();
  const std::unique_ptr<Model> seven = small_model("rwkv7"), four = small_model("rwkv4");
  auto refused = [&](Model& model, const EmbeddingOptions& options, const std::string& word) {
    try {
      const Embedder embedder(model, *bytes, options);
      ADD_FAILURE() << "not refused: " << word;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
  };
  refused(*seven, {.layers = {5}}, "layers");
  refused(*seven, {.layers = {}}, "layers");
  refused(*seven, {.layers = {2, 1}}, "layers");
  refused(*seven, {.feature = Feature::state_norms, .layers = {0}}, "layers");
  refused(*four, {.feature = Feature::state_norms, .layers = {1}}, "matrices");
  refused(*seven, {.layers = {1}, .dimensions = 65}, "64");
  refused(*seven, {.layers = {1}, .scaling = Scaling::z_score}, "statistics");
  Embedder embedder(*four, *bytes, {.feature = Feature::state_vectors, .layers = {1}});
  EXPECT_EQ(embedder.dimensions(), 3 * 64);  // two token shifts, aa / bb
  const std::string texts[] = {"a", ""};
  EXPECT_THROW(embedder.embed(texts), Error);
}

TEST(EmbeddingOptionsTest, LayersAreReadFromText) {
  EXPECT_EQ(parse_layers("2,out,0", 6), (std::vector<int64_t>{0, 2, 7}));
  for (const char* bad : {"", ",", "1,", "7", "-1", "1,1", "x", "1.5"})
    EXPECT_THROW(parse_layers(bad, 6), Error) << bad;
}

}  // namespace
}  // namespace aviary
