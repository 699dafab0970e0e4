// What a cache of states needs from the engine: copies of states on the way, and texts that go on from them.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "infer/engine.h"
#include "infer/generate.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

std::vector<int32_t> state_prompt(size_t length, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens(length);
  for (int32_t& token : tokens) token = static_cast<int32_t>('a' + random.below(26));
  return tokens;
}

// Versions whose states and logits have the same bits wherever the reading is cut. The sums of AFT over the
// earlier tokens are scaled by the largest term of a step; versions that read both ways cannot be cut.
bool is_cut_anywhere(const std::string& version) {
  return version != "aft" && model_version(version).reads == Reads::causal;
}

struct Kept {
  State state;
  std::vector<float> logits;
};

struct StateBench {
  explicit StateBench(const std::string& version = "rwkv7")
      : model(
            noisy_model({.version = version, .n_layer = 2, .n_embd = 32, .vocab_size = 256, .ctx_len = 512})),
        runner(*model),
        engine(runner, *tokenizer, {}) {}

  // Runs one request; returns its tokens.
  std::vector<int32_t> run(Request request) {
    std::vector<int32_t> tokens;
    request.show = [&](const Writer::Piece& piece) {
      tokens.push_back(piece.token);
      return true;
    };
    request.done = [&](Finished what) { finished = std::move(what); };
    engine.submit(std::move(request));
    while (engine.step()) {
    }
    return tokens;
  }
  Request keeping(Request request) {
    request.keep = [this](int64_t read, const State& state, std::span<const float> logits) {
      kept[read] = {state, {logits.begin(), logits.end()}};
    };
    return request;
  }

  TokenizerPtr tokenizer = make_bytes_tokenizer();
  std::unique_ptr<Model> model;
  Runner runner;
  Engine engine;
  Finished finished;
  std::map<int64_t, Kept> kept;
};

WriterOptions writing(int64_t tokens) {
  return {.tokens = tokens, .sampling = {.temperature = 1.2, .top_p = 1, .seed = 4}};
}

class EngineStates : public testing::TestWithParam<std::string> {};

TEST_P(EngineStates, ATextGoesOnFromEveryKeptStateWithTheSameBits) {
  if (!is_cut_anywhere(GetParam())) GTEST_SKIP() << "its rounding depends on where a text is cut";
  StateBench bench(GetParam());
  const std::vector<int32_t> prompt = state_prompt(300, 1);
  Request request{
      .tokens = prompt, .writing = writing(40), .keep_at = {1, 7, 130, 256, 299, 300}, .keep_every = 8};
  const std::vector<int32_t> whole = bench.run({.tokens = prompt, .writing = writing(40)});
  EXPECT_EQ(bench.run(bench.keeping(std::move(request))), whole) << "keeping states changes nothing";
  for (const auto& [read, kept] : bench.kept) {
    if (read > 300) continue;
    Request rest{
        .tokens = {prompt.begin() + read, prompt.end()}, .start = kept.state, .writing = writing(40)};
    if (rest.tokens.empty()) rest.logits = kept.logits;
    EXPECT_EQ(bench.run(std::move(rest)), whole) << "from " << read;
  }
  EXPECT_TRUE(bench.kept.contains(300) && bench.kept.contains(308) && bench.kept.contains(1));
}

// What was written token by token is the same when it is read as a prompt.
TEST_P(EngineStates, AWrittenTextHasTheStateOfAReadOne) {
  if (!is_cut_anywhere(GetParam())) GTEST_SKIP() << "its rounding depends on where a text is cut";
  StateBench bench(GetParam());
  const std::vector<int32_t> prompt = state_prompt(20, 2);
  const std::vector<int32_t> written =
      bench.run(bench.keeping({.tokens = prompt, .writing = writing(40), .keep_every = 16}));
  for (const int64_t read : {36, 52}) {
    std::vector<int32_t> tokens = prompt;
    tokens.insert(tokens.end(), written.begin(), written.begin() + (read - 20));
    State state = bench.runner.new_state();
    EXPECT_EQ(read_tokens(bench.runner, tokens, state), bench.kept.at(read).logits) << read;
    EXPECT_EQ(largest_difference(state, bench.kept.at(read).state), 0) << read;
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, EngineStates, testing::ValuesIn(version_names()), test_name);

TEST(EngineStates, ScoresEveryTokenOfAPrompt) {
  StateBench bench;
  const std::vector<int32_t> prompt = state_prompt(300, 3);
  Request request{.tokens = prompt, .writing = writing(0)};
  std::vector<double> scores;
  request.score = [&](int64_t index, std::span<const float> logits) {
    EXPECT_EQ(index, std::ssize(scores));
    scores.push_back(
        index + 1 < std::ssize(prompt) ? logprob_of(logits, prompt[static_cast<size_t>(index) + 1]) : 0);
  };
  bench.run(std::move(request));
  ASSERT_EQ(scores.size(), prompt.size());
  std::vector<int32_t> targets(prompt.begin() + 1, prompt.end());
  targets.push_back(-1);
  std::vector<double> losses(prompt.size());
  State state = bench.runner.new_state();
  bench.runner.loss(prompt, targets, Sequences::uniform(1, std::ssize(prompt)), state, losses);
  for (size_t i = 0; i + 1 < prompt.size(); ++i) EXPECT_NEAR(scores[i], -losses[i], 1e-4);
}

TEST(EngineStates, ATextWhoseReaderLagsBehindWaitsAndLosesNothing) {
  StateBench bench;
  const std::vector<int32_t> expected = bench.run({.tokens = state_prompt(9, 5), .writing = writing(20)});
  int asked = 0;
  Request request{.tokens = state_prompt(9, 5), .writing = writing(20)};
  request.waits = [&] { return ++asked % 3 != 0; };
  int64_t reported = 0;
  request.progress = [&](int64_t read) { reported = read; };
  EXPECT_EQ(bench.run(std::move(request)), expected);
  EXPECT_EQ(reported, 9);
  EXPECT_GT(asked, 40);
}

TEST(EngineStates, ReportsTheProbabilitiesOfTheModel) {
  StateBench bench;
  Request request{.tokens = state_prompt(9, 6), .writing = writing(5)};
  request.writing.alternatives = 3;
  request.writing.sampling.bias = {{'x', 100.f}};
  State state = bench.runner.new_state();
  const std::vector<float> logits = read_tokens(bench.runner, request.tokens, state);
  std::vector<Writer::Piece> pieces;
  request.show = [&](const Writer::Piece& piece) {
    pieces.push_back(piece);
    return true;
  };
  bench.engine.submit(std::move(request));
  while (bench.engine.step()) {
  }
  ASSERT_EQ(pieces.size(), 5u);
  EXPECT_EQ(pieces[0].token, 'x');
  EXPECT_DOUBLE_EQ(pieces[0].logprob, logprob_of(logits, 'x')) << "of the model, without the bias";
  ASSERT_EQ(pieces[0].alternatives.size(), 3u);
  EXPECT_EQ(pieces[0].alternatives[0].token, std::max_element(logits.begin(), logits.end()) - logits.begin());
  double sum = 0;
  for (const ScoredToken& token : most_probable(logits, 256)) sum += std::exp(token.logprob);
  EXPECT_NEAR(sum, 1, 1e-6);
}

TEST(EngineStates, ARequestWithoutTokensNeedsAStateAndLogits) {
  StateBench bench;
  EXPECT_THROW(bench.engine.submit({.tokens = {}}), Error);
  EXPECT_THROW(bench.engine.submit({.tokens = {}, .start = bench.runner.new_state()}), Error);
}

}  // namespace
}  // namespace aviary
