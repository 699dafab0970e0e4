#include "infer/draft.h"

#include "infer/generate.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

std::unique_ptr<Model> drafting_model(const std::string& version) {
  return noisy_model({.version = version, .n_layer = 2, .n_embd = 32, .vocab_size = 256, .ctx_len = 48});
}

// A repeated line with a new word each time.
std::vector<int32_t> song(int lines) {
  std::vector<int32_t> tokens;
  for (int line = 0; line < lines; ++line) {
    for (const char c : std::string("over the hills ")) tokens.push_back(c);
    tokens.push_back('a' + line % 26);
  }
  return tokens;
}

TEST(TextDraft, GuessesTheTokensAfterTheLastOccurrence) {
  TextDraft draft(8);
  for (const int32_t token : {5, 1, 2, 3, 7, 8, 9, 4, 1, 2, 3}) draft.push(token);
  const auto guess = draft.guess(8);
  EXPECT_EQ(std::vector(guess.begin(), guess.end()), (std::vector<int32_t>{7, 8, 9, 4, 1, 2, 3}));
  EXPECT_EQ(draft.guess(2).size(), 2U);
}

TEST(TextDraft, MakesNoGuessForNewText) {
  TextDraft draft(8);
  EXPECT_TRUE(draft.guess(8).empty());
  for (const int32_t token : {5, 1, 2, 3, 7, 8, 9, 4, 6, 2, 3}) draft.push(token);
  EXPECT_TRUE(draft.guess(8).empty()) << "two tokens match, three must";
}

TEST(TextDraft, LearnsHowMuchMustMatchAndHowFarToGuess) {
  TextDraft draft(8);
  for (int i = 0; i < 3; ++i)
    for (const int32_t token : {1, 2, 3, 4, 5, 6, 7, 8, 9}) draft.push(token);
  draft.learn(8, 3);
  EXPECT_EQ(draft.guess(8).size(), 3U);
  draft.learn(3, 3);
  EXPECT_EQ(draft.guess(8).size(), 6U);
  for (int i = 0; i < 40; ++i) draft.learn(1, 0);
  EXPECT_EQ(draft.guess(8).size(), 1U) << "sixteen tokens match";
  TextDraft strict(8);
  for (const int32_t token : {0, 1, 2, 3, 4, 5, 1, 2, 3}) strict.push(token);
  EXPECT_FALSE(strict.guess(8).empty());
  strict.learn(8, 0);
  EXPECT_TRUE(strict.guess(8).empty());
}

class LookaheadOf : public testing::TestWithParam<std::string> {};

TEST_P(LookaheadOf, GivesTheLogitsOfReadingTokenByToken) {
  const auto model = drafting_model(GetParam());
  Runner plain(*model), guessing(*model);
  const std::vector<int32_t> text = song(5);
  const auto prompt = std::span(text).first(20);
  State state = plain.new_state(), ahead = guessing.new_state();
  read_tokens(plain, prompt, state);
  read_tokens(guessing, prompt, ahead);
  Lookahead lookahead(6);
  lookahead.has_read(prompt);
  Tensor step;
  for (const int32_t token : std::span(text).subspan(20)) {
    const Tensor expected = plain.last_logits({&token, 1}, Sequences::uniform(1, 1), state);
    if (!lookahead.follow(token, ahead))
      step =
          guessing.all_logits(lookahead.step(), Sequences::uniform(1, std::ssize(lookahead.step())), ahead);
    ASSERT_EQ(step.cols(), expected.cols());
    const float* got = step.as<float>() + static_cast<int64_t>(lookahead.row()) * step.cols();
    for (int64_t i = 0; i < expected.cols(); ++i) ASSERT_NEAR(got[i], expected.as<float>()[i], 1e-3) << i;
  }
  EXPECT_GT(lookahead.guessed_right(), 20);
  EXPECT_GT(lookahead.guessed(), lookahead.guessed_right()) << "every line ends with a surprise";
}

INSTANTIATE_TEST_SUITE_P(Versions, LookaheadOf, testing::ValuesIn(version_names()), test_name);

TEST(Lookahead, WritesTheSameText) {
  const auto model = drafting_model("rwkv7");
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  auto text = [&](int64_t draft, double temperature) {
    Runner runner(*model);
    GenerateOptions options{.tokens = 300, .draft = draft};
    options.sampling.temperature = temperature;
    options.sampling.seed = 7;
    options.sampling.presence_penalty = options.sampling.frequency_penalty = 0;  // they prevent repetition
    return generate(runner, *tokenizer, "over the hills and over the hills", options);
  };
  const Generation greedy = text(0, 0), guessed = text(8, 0);
  EXPECT_EQ(guessed.text, greedy.text);
  EXPECT_EQ(greedy.guessed, 0);
  EXPECT_GT(guessed.guessed_right, 100) << "greedy text of a random model repeats itself";
  EXPECT_EQ(text(8, 0.5).text, text(0, 0.5).text);
}

}  // namespace
}  // namespace aviary
