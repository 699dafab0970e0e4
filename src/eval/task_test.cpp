#include "eval/task.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "eval/memory_tasks.h"
#include "models/registry.h"

namespace aviary {
namespace {

TaskItem only(const std::vector<TaskItem>& items) {
  EXPECT_EQ(items.size(), 1u);
  return items.front();
}

using Texts = std::vector<std::string>;

TEST(TaskItems, LambadasTargetIsTheLastWordWithItsSpace) {
  const TaskItem item = only(lambada_items("{\"text\": \"He went to the sea\"}\n", "f"));
  EXPECT_EQ(item.contexts, Texts{"He went to the"});
  EXPECT_EQ(item.targets, Texts{" sea"});
}

TEST(TaskItems, EachLayoutGivesThePromptOfTheHarness) {
  TaskItem item = only(choice_items(
      R"({"question":"Why?","choices":{"text":["a","b c"],"label":["1","2"]},"answerKey":"2"})", "arc"));
  EXPECT_EQ(item.contexts[1], "Question: Why?\nAnswer:");
  EXPECT_EQ(item.targets, (Texts{" a", " b c"}));
  EXPECT_EQ(item.answer, 1);

  item = only(choice_items(R"({"goal": "open", "sol1": "push", "sol2": "pull", "label": 1})", "piqa"));
  EXPECT_EQ(item.contexts[0], "Question: open\nAnswer:");
  EXPECT_EQ(item.targets[1], " pull");

  item = only(choice_items(
      R"({"activity_label": "Roof", "ctx_a": "A man [title] works.", "ctx_b": "the MAN", "endings": ["sits [x]  down.", "b"], "label": "0"})",
      "hellaswag"));
  EXPECT_EQ(item.contexts[0], "Roof: A man. works. The man");
  EXPECT_EQ(item.targets[0], " sits  down.");  // of three spaces, one pair becomes one

  item = only(choice_items(
      R"({"sentence": "The cup fits the box as _ is small.", "option1": "the cup", "option2": "the box", "answer": "1"})",
      "winogrande"));
  EXPECT_EQ(item.contexts, (Texts{"The cup fits the box as the cup", "The cup fits the box as the box"}));
  EXPECT_EQ(item.targets, (Texts{" is small.", " is small."}));
  EXPECT_EQ(item.answer, 0);

  item = only(
      choice_items(R"({"question": "2+2?", "choices": ["3", "4"], "answer": 1, "subject": "x"})", "mmlu"));
  EXPECT_EQ(item.contexts[0], "2+2?\nA. 3\nB. 4\nAnswer:");
  EXPECT_EQ(item.targets, (Texts{" A", " B"}));
  EXPECT_EQ(item.choices, (Texts{"A", "B"}));

  item = only(choice_items(R"({"context": "C", "choices": ["x", "y"], "answer": 0})", "own"));
  EXPECT_EQ(item.targets, (Texts{" x", " y"}));
}

TEST(TaskItems, BrokenRowsAreRefusedWithTheirLine) {
  const auto error_of = [](const std::string& rows) -> std::string {
    try {
      choice_items(rows, "f");
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(error_of("\n{\"a\": 1}").find("f:2: has the keys of no known task"), std::string::npos);
  EXPECT_NE(error_of(R"({"context": "C", "choices": ["x", "y"], "answer": 2})").find("number 2 of 2"),
            std::string::npos);
  EXPECT_NE(error_of(R"({"context": "C", "choices": ["x"], "answer": 0})").find("at least two"),
            std::string::npos);
  EXPECT_NE(error_of(R"({"goal": "g", "sol1": "a", "label": 0})").find("\"sol2\""), std::string::npos);
  EXPECT_NE(error_of("").find("has no rows"), std::string::npos);
  EXPECT_THROW(lambada_items("{\"text\": \"word\"}", "f"), Error);
}

TEST(Continuations, WhiteSpaceAndTokensAcrossTheBorderBelongToTheTarget) {
  const TokenizerPtr bytes = make_bytes_tokenizer();
  const Continuation one = joined("ab ", "c", *bytes, std::nullopt);
  EXPECT_EQ(bytes->decode(one.context), "ab");
  EXPECT_EQ(bytes->decode(one.target), " c");
  const Continuation two = apart("ab ", "c", *bytes, 7);
  EXPECT_EQ(two.context, (std::vector<int32_t>{7, 'a', 'b', ' '}));
  EXPECT_EQ(bytes->decode(two.target), "c");
  EXPECT_THROW(joined("", "c", *bytes, std::nullopt), Error);
}

class TaskOfAModel : public testing::Test {
 protected:
  TaskOfAModel()
      : model_(
            create_model({.version = "rwkv4", .recipe = "", .n_layer = 2, .n_embd = 32, .vocab_size = 256})) {
    Random random(3);
    for (Parameter& parameter : model_->parameters()) {
      std::vector<double> values(static_cast<size_t>(parameter.weight.value().count()));
      for (double& value : values) value = 0.3 * random.normal();
      from_host(values, parameter.weight.value());
    }
    model_->parameters().changed();
  }
  // Log-likelihood of the target, token by token.
  double by_hand(const std::string& context, const std::string& target) {
    const std::vector<int32_t> tokens = tokenizer_->encode(context + target);
    std::vector<double> losses(tokens.size() - 1);
    State state = runner_.new_state();
    runner_.loss(std::span(tokens).first(losses.size()), std::span(tokens).subspan(1),
                 Sequences::uniform(1, std::ssize(losses)), state, losses);
    double sum = 0;
    for (size_t i = context.size() - 1; i < losses.size(); ++i) sum -= losses[i];
    return sum;
  }

  std::unique_ptr<Model> model_;
  Runner runner_{*model_};
  TokenizerPtr tokenizer_ = make_bytes_tokenizer();
};

TEST_F(TaskOfAModel, LikelihoodsAreThoseOfTheLoss) {
  std::vector<Continuation> continuations;
  std::vector<double> expected;
  for (int i = 0; i < 40; ++i) {
    const std::string context(static_cast<size_t>(1 + 13 * i), static_cast<char>('a' + i % 26));
    const std::string target = "the end" + std::string(static_cast<size_t>(i == 20 ? 900 : i), 'z');
    continuations.push_back(apart(context, target, *tokenizer_, std::nullopt));
    expected.push_back(by_hand(context, target));
  }
  const std::vector<Score> scores = score(runner_, continuations);
  ASSERT_EQ(scores.size(), expected.size());
  for (size_t i = 0; i < scores.size(); ++i)
    EXPECT_NEAR(scores[i].log_likelihood, expected[i], 1e-4 * std::abs(expected[i]) + 1e-3) << i;
}

TEST_F(TaskOfAModel, AccuraciesAreTheOnesWorkedOutByHand) {
  // Of each item the likelihoods; the best of all, per character and per byte are found here again.
  const std::vector<Texts> choices{{"a", "bcdefgh"}, {"éé", "xyz"}, {"long answer here", "no"}, {"q", "ß"}};
  std::vector<TaskItem> items;
  double right = 0, characters = 0, bytes = 0, sum = 0;
  const auto length = [](const std::string& text) {
    return static_cast<double>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  };
  for (const Texts& both : choices) {
    const double first = by_hand("Question:", " " + both[0]), second = by_hand("Question:", " " + both[1]);
    right += second > first;
    characters += second / length(both[1]) > first / length(both[0]);
    bytes += second / static_cast<double>(both[1].size()) > first / static_cast<double>(both[0].size());
    sum += second;
    items.push_back({.contexts = {"Question:", "Question:"},
                     .targets = {" " + both[0], " " + both[1]},
                     .choices = both,
                     .answer = 1});
  }
  const TaskResult result = run_task(runner_, *tokenizer_, items, TaskForm::joined, std::nullopt);
  EXPECT_DOUBLE_EQ(result.accuracy(), right / 4);
  EXPECT_DOUBLE_EQ(result.accuracy_by_characters(), characters / 4);
  EXPECT_DOUBLE_EQ(result.accuracy_by_bytes(), bytes / 4);
  EXPECT_NEAR(result.perplexity(), std::exp(-sum / 4), 1e-3 * std::exp(-sum / 4));
  EXPECT_DOUBLE_EQ(result.error_of(0.5), std::sqrt(0.25 / 3));
}

TEST_F(TaskOfAModel, LambadaIsRightIfEachTokenIsTheLikeliest) {
  // What the model writes after the context by itself is right; anything else is not.
  std::string written = "abc";
  for (int i = 0; i < 3; ++i) {
    const std::vector<int32_t> tokens = tokenizer_->encode(written);
    State state = runner_.new_state();
    const Tensor logits = runner_.last_logits(tokens, Sequences::uniform(1, std::ssize(tokens)), state);
    written += static_cast<char>(std::max_element(logits.as<float>(), logits.as<float>() + 256) -
                                 logits.as<float>());
  }
  std::string other = written.substr(3);
  other[2] = static_cast<char>(other[2] ^ 1);
  const std::vector<TaskItem> items{{.contexts = {"abc"}, .targets = {written.substr(3)}, .choices = {"x"}},
                                    {.contexts = {"abc"}, .targets = {other}, .choices = {"x"}}};
  const TaskResult result = run_task(runner_, *tokenizer_, items, TaskForm::apart, std::nullopt);
  EXPECT_TRUE(result.items[0].right);
  EXPECT_FALSE(result.items[1].right);
  const double expected = by_hand("abc", written.substr(3)) + by_hand("abc", other);
  EXPECT_NEAR(std::log(result.perplexity()), -expected / 2, 1e-3 * std::abs(expected));
}

TEST_F(TaskOfAModel, MemoryTasksMeasureEveryLength) {
  for (const MemoryTask task : {MemoryTask::copy, MemoryTask::recall}) {
    const std::vector<MemoryLength> lengths = remember(runner_, *tokenizer_, task, 64, 3, 1);
    ASSERT_EQ(lengths.size(), 4u);
    EXPECT_EQ(lengths[3].tokens, 64);
    for (const MemoryLength& one : lengths) EXPECT_GT(one.loss, 1);
  }
  EXPECT_THROW(remember(runner_, *tokenizer_, MemoryTask::recall, 1024, 1, 1), Error);
}

}  // namespace
}  // namespace aviary
