// A step without a tape reuses memory; its result is the same as with a tape.
#include "models/run.h"

#include <cmath>
#include <limits>
#include <map>
#include <thread>

#include "base/difference.h"
#include "base/error.h"
#include "models/shape_map.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

class MemoryUsedAgain : public testing::TestWithParam<std::string> {};

TEST_P(MemoryUsedAgain, TheLossIsTheSameAsWithATape) {
  const std::unique_ptr<Model> model =
      noisy_model({.version = GetParam(), .n_layer = 5, .n_embd = 64, .vocab_size = 30, .ctx_len = 32});
  model->parameters().set_trainable(true);
  Random random(4);
  std::vector<int32_t> tokens, targets;
  for (int i = 0; i < 2 * 16; ++i) {
    tokens.push_back(static_cast<int32_t>(random.below(30)));
    targets.push_back(static_cast<int32_t>(random.below(30)));
  }
  const Sequences sequences = Sequences::uniform(2, 16);
  Runner runner(*model);
  std::vector<State> taped = runner.new_states(2), reusing = runner.new_states(2);
  const double with = runner.loss_and_gradients(tokens, targets, sequences, taped, {});
  const double without = runner.loss(tokens, targets, sequences, reusing);
  EXPECT_NEAR(without, with, 1e-5 * with);
  for (size_t s = 0; s < 2; ++s) EXPECT_LE(largest_difference(taped[s], reusing[s]), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Versions, MemoryUsedAgain, testing::ValuesIn(version_names()), test_name);

class RowsOfAStep : public testing::TestWithParam<std::string> {};

// The rows at the last place give the logits, and reading them leaves the states that logits() leaves.
TEST_P(RowsOfAStep, TheLastOnesAreThoseOfTheLogits) {
  const std::unique_ptr<Model> model =
      noisy_model({.version = GetParam(), .n_layer = 3, .n_embd = 64, .vocab_size = 30, .ctx_len = 32});
  Random random(4);
  std::vector<int32_t> tokens;
  for (int i = 0; i < 2 * 16; ++i) tokens.push_back(static_cast<int32_t>(random.below(30)));
  const Sequences sequences = Sequences::uniform(2, 16);
  Runner runner(*model);
  std::vector<State> read = runner.new_states(2), run = runner.new_states(2);
  const std::vector<int64_t> places{0, 2, 4};
  std::vector<int64_t> visited;
  std::vector<double> last;
  runner.read_rows(tokens, sequences, read, places, [&](int64_t place, const Tensor& rows) {
    EXPECT_EQ(rows.rows(), 32);
    visited.push_back(place);
    last = to_host(rows);
  });
  EXPECT_EQ(visited, places);
  const std::vector<double> logits = to_host(runner.all_logits(tokens, sequences, run));
  for (size_t s = 0; s < 2; ++s) EXPECT_EQ(largest_difference(read[s], run[s]), 0);
  // Head-QK adds its copies to the product.
  if (model->config().has(option::head_qk)) return;
  const std::vector<double> head = to_host(model->head().value());
  const auto C = static_cast<size_t>(model->head().shape()[1]);
  ASSERT_EQ(last.size(), 32 * C);
  for (size_t row = 0; row < 32; row += 5)
    for (size_t token = 0; token < 30; token += 7) {
      double sum = model->head_bias() ? to_host(model->head_bias()->value())[token] : 0;
      for (size_t c = 0; c < C; ++c) sum += last[row * C + c] * head[token * C + c];
      EXPECT_NEAR(logits[row * 30 + token], sum, 1e-3);
    }
}

TEST_P(RowsOfAStep, AreTheSameWhenFewerPlacesAreRead) {
  const std::unique_ptr<Model> model =
      noisy_model({.version = GetParam(), .n_layer = 3, .n_embd = 64, .vocab_size = 30, .ctx_len = 32});
  const std::vector<int32_t> tokens{3, 1, 4, 1, 5, 9, 2, 6};
  Runner runner(*model);
  auto rows_at = [&](const std::vector<int64_t>& places) {
    State state = runner.new_state();
    std::vector<double> found;
    runner.read_rows(tokens, Sequences::uniform(1, 8), state, places, [&](int64_t place, const Tensor& rows) {
      if (place == 2) found = to_host(rows);
    });
    EXPECT_EQ(state.position(), 8);
    return found;
  };
  EXPECT_EQ(rows_at({2}), rows_at({0, 1, 2, 3, 4}));
  State state = runner.new_state();
  for (const std::vector<int64_t>& bad : {std::vector<int64_t>{2, 1}, {-1}, {5}})
    EXPECT_THROW(
        runner.read_rows(tokens, Sequences::uniform(1, 8), state, bad, [](int64_t, const Tensor&) {}), Error);
}

INSTANTIATE_TEST_SUITE_P(Versions, RowsOfAStep, testing::ValuesIn(version_names()), test_name);

class FrozenBlocks : public testing::TestWithParam<std::string> {};

TEST_P(FrozenBlocks, AreNotRecordedBelowTheFirstThatIsTrained) {
  const std::unique_ptr<Model> model =
      noisy_model({.version = GetParam(), .n_layer = 3, .n_embd = 64, .vocab_size = 30, .ctx_len = 32});
  Random random(4);
  std::vector<int32_t> tokens, targets;
  for (int i = 0; i < 2 * 16; ++i) {
    tokens.push_back(static_cast<int32_t>(random.below(30)));
    targets.push_back(static_cast<int32_t>(random.below(30)));
  }
  const Sequences sequences = Sequences::uniform(2, 16);
  Runner runner(*model);
  auto gradients = [&](auto trained) {
    std::map<std::string, std::vector<double>> result;
    model->parameters().set_trainable(false);
    for (Parameter& parameter : model->parameters())
      parameter.weight.set_trainable(!parameter.spec.constant && trained(parameter.spec.name));
    std::vector<State> states = runner.new_states(2);
    runner.loss_and_gradients(tokens, targets, sequences, states, {});
    for (const Parameter& parameter : model->parameters())
      if (parameter.weight.trainable()) result[parameter.spec.name] = to_host(parameter.weight.gradient());
    return result;
  };
  const auto all = gradients([](const std::string&) { return true; });
  // ROSA's names number the blocks from 1: rwkv3, ln3a.
  const bool is_rosa = GetParam() == "rwkv8-rosa";
  auto in_last_block = [&](const std::string& name) {
    const size_t digit = name.find_first_of("0123456789");
    return is_rosa ? digit != name.npos && name[digit] == '3' : block_of(name) == 2;
  };
  const auto of_last_block = gradients(in_last_block);
  EXPECT_FALSE(of_last_block.empty());
  for (const auto& [name, gradient] : of_last_block) EXPECT_EQ(gradient, all.at(name)) << name;

  // Only blocks 2 and up are trained now.
  Arena arena;
  Tape tape(arena);
  Context c{arena, sequences, kernels::Precision::f32, &tape};
  std::vector<State> states = runner.new_states(2);
  for (State& state : states) state.reserve(16);
  std::vector<OwnedTensor> parts;
  std::vector<Var> state;
  for (size_t i = 0; i < model->state_specs().size(); ++i) {
    parts.push_back(stacked(states, i));
    state.push_back({parts.back().view()});
  }
  Stream stream = model->start(c, tokens, state);
  model->run(c, stream, 0, 2);
  EXPECT_EQ(stream.x.gradient, nullptr);
  model->run(c, stream, 2, 3);
  EXPECT_NE(stream.x.gradient, nullptr);
}

INSTANTIATE_TEST_SUITE_P(Versions, FrozenBlocks, testing::ValuesIn(version_names()), test_name);

TEST(Recomputing, KeepsDropoutAndFrozenBlocks) {
  const auto model = noisy_model({.version = "rwkv7", .n_layer = 4, .n_embd = 64, .vocab_size = 30});
  Random random(4);
  std::vector<int32_t> tokens;
  for (int i = 0; i < 40; ++i) tokens.push_back(static_cast<int32_t>(random.below(30)));
  const std::span<const int32_t> read = std::span(tokens).first(39), targets = std::span(tokens).subspan(1);
  Runner runner(*model);
  auto gradients = [&](bool recompute, int first_trained) {
    std::vector<std::vector<double>> result;
    model->parameters().set_trainable(false);
    for (Parameter& parameter : model->parameters())
      parameter.weight.set_trainable(!parameter.spec.constant &&
                                     block_of(parameter.spec.name) >= first_trained);
    Random drops(3);
    State state = runner.new_state();
    const double loss = runner.loss_and_gradients(
        read, targets, Sequences::uniform(1, 39), state,
        {.dropout = {.probability = 0.3, .random = &drops}, .recompute = recompute});
    for (Parameter& parameter : model->parameters())
      if (parameter.weight.trainable()) result.push_back(to_host(parameter.weight.gradient()));
    result.push_back({loss, static_cast<double>(drops.counter())});
    return result;
  };
  for (int first_trained : {-1, 0, 2})
    EXPECT_EQ(gradients(true, first_trained), gradients(false, first_trained));
}

class WantedRows : public testing::TestWithParam<std::string> {};

// For versions limited to 12 tokens, the sequence of 20 exceeds the limit.
TEST_P(WantedRows, AreThoseOfAllRows) {
  const std::unique_ptr<Model> model =
      noisy_model({.version = GetParam(), .n_layer = 2, .n_embd = 32, .vocab_size = 30, .ctx_len = 12});
  Random random(5);
  Sequences sequences;
  for (int64_t length : {3, 20, 1}) sequences.append(length);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < sequences.rows(); ++i) tokens.push_back(static_cast<int32_t>(random.below(30)));
  Runner runner(*model);
  std::vector<State> all_read = runner.new_states(3);
  const std::vector<double> all = to_host(runner.all_logits(tokens, sequences, all_read));
  const std::vector<std::vector<int64_t>> choices = {{}, {2, 22, 23}, {5, 6, 7}, {23, 0, 9, 9}};
  for (const std::vector<int64_t>& wanted : choices) {
    std::vector<State> states = runner.new_states(3);
    const std::vector<double> chosen = to_host(runner.logits(tokens, sequences, states, wanted));
    std::vector<double> expected;
    for (int64_t row : wanted)
      expected.insert(expected.end(), all.begin() + row * 30, all.begin() + (row + 1) * 30);
    EXPECT_EQ(chosen, expected);
    for (size_t s = 0; s < 3; ++s) EXPECT_EQ(largest_difference(states[s], all_read[s]), 0);
  }
  std::vector<State> states = runner.new_states(3);
  EXPECT_EQ(to_host(runner.last_logits(tokens, sequences, states)).size(), 90u);
  const std::vector<int64_t> outside = {24};
  EXPECT_THROW(runner.logits(tokens, sequences, states, outside), Error);
}

INSTANTIATE_TEST_SUITE_P(Versions, WantedRows, testing::ValuesIn(version_names()), test_name);

class StateGradients : public testing::TestWithParam<std::string> {
 protected:
  // In double, with some noise on the initial values.
  void SetUp() override {
    model_ = create_model(
        complete({.version = GetParam(), .n_layer = 2, .n_embd = 32, .vocab_size = 30, .ctx_len = 12}),
        Dtype::f64);
    model_->parameters().initialize(1);
    for (Parameter& parameter : model_->parameters()) {
      std::vector<double> values = to_host(parameter.weight.value());
      for (double& value : values) value += 0.1 * random_.normal();
      from_host(values, parameter.weight.value());
    }
    model_->parameters().changed();
    for (int i = 0; i < 2 * 8; ++i) {
      tokens_.push_back(static_cast<int32_t>(random_.below(30)));
      targets_.push_back(static_cast<int32_t>(random_.below(30)));
    }
  }

  std::vector<std::vector<double>> gradients() {
    std::vector<std::vector<double>> all;
    for (Parameter& parameter : model_->parameters())
      if (!parameter.spec.constant) all.push_back(to_host(parameter.weight.gradient()));
    return all;
  }

  // Rows [begin, begin + 4) of both sequences of 8.
  std::vector<int32_t> half(const std::vector<int32_t>& of, int begin) const {
    std::vector<int32_t> rows(of.begin() + begin, of.begin() + begin + 4);
    rows.insert(rows.end(), of.begin() + 8 + begin, of.begin() + 12 + begin);
    return rows;
  }

  Random random_{7};
  std::unique_ptr<Model> model_;
  std::vector<int32_t> tokens_, targets_;
};

// The backward pass of the first half starts from the gradient of the second half with respect to the state
// between them.
TEST_P(StateGradients, JoinTwoStepsToOne) {
  model_->parameters().set_trainable(true);
  Runner runner(*model_);
  std::vector<State> states = runner.new_states(2);
  runner.loss_and_gradients(tokens_, targets_, Sequences::uniform(2, 8), states, {});
  const auto whole = gradients();

  model_->parameters().set_trainable(false);
  model_->parameters().set_trainable(true);
  const Sequences four = Sequences::uniform(2, 4);
  states = runner.new_states(2);
  runner.all_logits(half(tokens_, 0), four, states);
  std::vector<State> between = states;
  runner.loss_and_gradients(half(tokens_, 4), half(targets_, 4), four, between,
                            {.loss = {.scale = 0.5}, .first_state = true});
  std::vector<OwnedTensor> kept;
  std::vector<Tensor> last;
  for (size_t i = 0; i < model_->state_specs().size(); ++i) {
    const Tensor gradient = runner.first_state_gradient(i);
    if (!gradient.empty()) copy(gradient, kept.emplace_back(gradient.shape(), gradient.dtype()).view());
    last.push_back(gradient.empty() ? Tensor() : kept.back().view());
  }
  states = runner.new_states(2);
  runner.loss_and_gradients(half(tokens_, 0), half(targets_, 0), four, states,
                            {.loss = {.scale = 0.5}, .last_state = last});
  const auto halves = gradients();
  for (size_t i = 0; i < whole.size(); ++i) {
    double scale = 1e-6;
    for (double value : whole[i]) scale = larger(scale, std::abs(value));
    EXPECT_LE(largest_difference(halves[i], whole[i]), 1e-8 * scale) << "weight " << i;
  }
}

// With gradients of the states on both sides, over two ragged sequences with states of their own.
TEST_P(StateGradients, AreTheSameWhenBlocksAreComputedAgain) {
  model_->parameters().set_trainable(true);
  Runner runner(*model_);
  Sequences sequences;
  for (int64_t length : {5, 3}) sequences.append(length);
  const std::span tokens = std::span(tokens_).first(8);
  const std::span targets = std::span(targets_).first(8);
  std::vector<State> begun = runner.new_states(2);
  runner.all_logits(half(tokens_, 4), Sequences::uniform(2, 4), begun);
  std::vector<OwnedTensor> last_memory;
  std::vector<Tensor> last;
  for (size_t i = 0; i < model_->state_specs().size(); ++i) {
    last_memory.push_back(stacked(begun, i));
    last.push_back(model_->state_specs()[i].kind == StateKind::recurrence ? last_memory.back().view()
                                                                          : Tensor());
  }
  auto run = [&](bool recompute) {
    model_->parameters().set_trainable(false);
    model_->parameters().set_trainable(true);
    std::vector<State> states = begun;
    const double loss = runner.loss_and_gradients(
        tokens, targets, sequences, states,
        {.loss = {.l2wrap = true}, .first_state = true, .last_state = last, .recompute = recompute});
    std::vector<std::vector<double>> result = gradients();
    for (size_t i = 0; i < model_->state_specs().size(); ++i) {
      const Tensor gradient = runner.first_state_gradient(i);
      result.push_back(gradient.empty() ? std::vector<double>() : to_host(gradient));
      for (const State& state : states) result.push_back(to_host(state[i]));
    }
    result.push_back({loss});
    return result;
  };
  if (begun[0].layout().has_histories()) {
    EXPECT_THROW(run(true), Error);
    return;
  }
  const auto again = run(true), once = run(false);
  for (size_t i = 0; i < once.size(); ++i) {
    double scale = 1e-12;
    for (double value : once[i]) scale = larger(scale, std::abs(value));
    EXPECT_LE(largest_difference(again[i], once[i]), 1e-12 * scale) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, StateGradients, testing::ValuesIn(version_names()), test_name);

// Two states with different lengths, each in its own memory, and a step that reads both.
TEST(State, AreReadAndWrittenWhereTheyLie) {
  for (const std::string& version : version_names()) {
    const auto model =
        noisy_model({.version = version, .n_layer = 2, .n_embd = 32, .vocab_size = 30, .ctx_len = 64});
    Runner runner(*model);
    std::vector<int32_t> text;
    for (int32_t i = 0; i < 40; ++i) text.push_back(i * i % 30);
    State a = runner.new_state(), b = runner.new_state();
    runner.last_logits(std::span(text).first(3), Sequences::uniform(1, 3), a);
    runner.last_logits(std::span(text).first(30), Sequences::uniform(1, 30), b);
    State copy_of_a = a, copy_of_b = b;
    const std::vector<int32_t> next = {5, 7};
    const void* memory = b[0].data();
    const std::vector<double> both =
        to_host(runner.last_logits(next, Sequences::uniform(2, 1), std::vector{&b, &a}));
    EXPECT_EQ(b[0].data(), memory) << version;
    std::vector<double> one =
        to_host(runner.last_logits({next.data(), 1}, Sequences::uniform(1, 1), copy_of_b));
    const std::vector<double> other =
        to_host(runner.last_logits({next.data() + 1, 1}, Sequences::uniform(1, 1), copy_of_a));
    one.insert(one.end(), other.begin(), other.end());
    EXPECT_EQ(both, one) << version;
    EXPECT_EQ(largest_difference(a, copy_of_a), 0) << version;
    EXPECT_EQ(largest_difference(b, copy_of_b), 0) << version;
  }
}

TEST(State, CopyingToOneOfTheSameSizeUsesItsMemory) {
  const std::vector<StateSpec> specs = {{"a", StateKind::recurrence, {3}, 2.5},
                                        {"h", StateKind::history, {4}}};
  State a(specs, Dtype::f64), b(specs, Dtype::f64);
  a.reserve(20);
  a.set_position(20);
  from_host({1, 2, 3}, a[0]);
  b = a;
  EXPECT_EQ(b.capacity(), 32);
  const void* memory = b[0].data();
  a.set_position(21);
  from_host({4, 5, 6}, a[0]);
  b = a;
  EXPECT_EQ(b[0].data(), memory);
  EXPECT_EQ(b.position(), 21);
  EXPECT_EQ(to_host(b[0]), (std::vector<double>{4, 5, 6}));
  b.reset();
  EXPECT_EQ(b.position(), 0);
  EXPECT_EQ(to_host(b[0]), (std::vector<double>{2.5, 2.5, 2.5}));
}

TEST(State, DifferencesKeepANaN) {
  const std::vector<StateSpec> specs = {{"a", StateKind::recurrence, {3}}, {"b", StateKind::shift, {2}}};
  State a(specs, Dtype::f32), b(specs, Dtype::f32);
  from_host({1, std::numeric_limits<double>::quiet_NaN(), 3.5}, a[0]);
  from_host({1, 2, 3}, b[0]);
  EXPECT_TRUE(std::isnan(largest_difference(a, b)));
  EXPECT_TRUE(std::isnan(largest_difference(b, a)));
}

class PackedModel : public testing::TestWithParam<std::string> {
 protected:
  // The logits of a prompt and of some tokens after it.
  static std::vector<double> run(Model& model) {
    Runner runner(model);
    State state = runner.new_state();
    std::vector<double> all;
    auto read = [&](const std::vector<int32_t>& tokens) {
      const std::vector<double> logits =
          to_host(runner.last_logits(tokens, Sequences::uniform(1, std::ssize(tokens)), state));
      all.insert(all.end(), logits.begin(), logits.end());
    };
    read({1, 2, 3, 4, 5, 6, 7});
    for (int32_t token = 8; token < 16; ++token) read({token});
    return all;
  }
};

// No lock: ThreadSanitizer detects if one thread writes what the other reads.
TEST_P(PackedModel, RunsInSeveralThreadsAtOnceWithTheBitsOfOne) {
  const std::unique_ptr<Model> model =
      noisy_model({.version = GetParam(), .n_layer = 3, .n_embd = 64, .vocab_size = 30, .ctx_len = 32});
  model->parameters().pack(kernels::Precision::f32);
  const std::vector<double> alone = run(*model);
  std::vector<std::vector<double>> together(3);
  {
    std::vector<std::jthread> threads;
    for (std::vector<double>& logits : together) threads.emplace_back([&] { logits = run(*model); });
  }
  for (const std::vector<double>& logits : together) EXPECT_EQ(logits, alone);
}

TEST_P(PackedModel, RunsInThePrecisionThatItIsPackedFor) {
  const std::unique_ptr<Model> model =
      noisy_model({.version = GetParam(), .n_layer = 2, .n_embd = 64, .vocab_size = 30, .ctx_len = 32});
  const std::vector<double> before = run(*model);
  model->parameters().pack(kernels::Precision::f32);
  EXPECT_EQ(run(*model), before);
  EXPECT_THROW(Runner(*model, kernels::Precision::bf16), Error);
  EXPECT_THROW(model->parameters().pack(kernels::Precision::bf16), Error);
}

INSTANTIATE_TEST_SUITE_P(Versions, PackedModel, testing::ValuesIn(version_names()), test_name);

}  // namespace
}  // namespace aviary
