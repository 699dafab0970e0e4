// Tests the public interface, using only its header.
#include <gtest/gtest.h>
#include <aviary/aviary.hpp>

#include <cmath>
#include <fstream>
#include <random>
#include <thread>

#include "base/difference.h"
#include "base/files.h"
#include "support/repository.h"
#include "support/test_folder.h"

namespace {

using aviary::Error;
using aviary::Model;
using aviary::State;

const std::string rwkv7 = aviary::golden("rwkv-v7/model.safetensors");
const std::string other_version = aviary::golden("rwkv-v4/model.safetensors");

std::vector<int32_t> random_tokens(const Model& model, size_t count) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int32_t> any(0, static_cast<int32_t>(model.vocab_size()) - 1);
  std::vector<int32_t> tokens(count);
  for (int32_t& token : tokens) token = any(random);
  return tokens;
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  return aviary::largest_difference({a.begin(), a.end()}, {b.begin(), b.end()});
}

template <typename Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void expect_error(const std::string& error, const char* part) {
  EXPECT_NE(error.find(part), std::string::npos) << error;
}

TEST(Api, DescribesAModel) {
  const Model model = Model::load(rwkv7);
  EXPECT_EQ(model.info().version, "rwkv7");
  EXPECT_EQ(model.info().layers, 2);
  EXPECT_EQ(model.info().width, 16);
  EXPECT_EQ(model.vocab_size(), 23);
  EXPECT_EQ(model.info().parameters, 15744);
  EXPECT_EQ(model.info().precision, aviary::Precision::f32);
  EXPECT_STREQ(aviary::version(), AVIARY_VERSION);
}

TEST(Api, ACacheChangesNoLogit) {
  const aviary::TestFolder folder;
  const std::filesystem::path path = folder / "model.safetensors";
  std::filesystem::copy_file(rwkv7, path);
  Model plain = Model::load(rwkv7);
  const std::vector<int32_t> tokens = random_tokens(plain, 5);
  State state = plain.new_state();
  const std::vector<float> expected = plain.forward(tokens, state);
  for (int time = 0; time < 2; ++time) {  // generated, then read
    Model model = Model::load(path, {.cache = true});
    State its_state = model.new_state();
    EXPECT_EQ(model.forward(tokens, its_state), expected);
    EXPECT_TRUE(std::filesystem::exists(folder / "model.safetensors.packed"));
  }
}

TEST(Api, AFolderWhoseFileCannotBeAccessedIsAnError) {
  const aviary::TestFolder folder;
  std::filesystem::create_symlink("model.safetensors", folder / "model.safetensors");  // to itself
  const std::string error = error_of([&] { Model::load(folder.path()); });
  expect_error(error, (folder / "model.safetensors").string().c_str());
  expect_error(error, "cannot be accessed");
}

TEST(Api, AFolderOfHuggingFaceIsLoadedWithItsTokenizer) {
  const aviary::TestFolder folder;
  std::filesystem::copy_file(aviary::golden("rwkv-v7/model.pth"), folder / "pytorch_model.bin");
  EXPECT_FALSE(Model::load(folder.path()).has_tokenizer());
  std::ofstream(folder / "tokenizer.json") << R"({"0": "a", "1": "b"})";
  EXPECT_EQ(Model::load(folder.path()).encode("ba"), (std::vector<int32_t>{1, 0}));
  EXPECT_EQ(Model::load(rwkv7, {.tokenizer = folder.path()}).encode("ba"), (std::vector<int32_t>{1, 0}));
}

// 600 tokens are read in three pieces.
TEST(Api, HoweverATextIsSplitTheLogitsAndTheStateAreTheSame) {
  Model model = Model::load(rwkv7);
  const std::vector<int32_t> tokens = random_tokens(model, 600);
  const std::span<const int32_t> all = tokens;
  State whole = model.new_state(), split = model.new_state(), single = model.new_state(),
        rows = model.new_state();
  const std::vector<float> expected = model.forward(all, whole);
  EXPECT_EQ(expected.size(), 23u);
  model.forward(all.first(257), split);
  EXPECT_LE(difference(model.forward(all.subspan(257), split), expected), 1e-4);
  std::vector<float> last;
  for (int32_t token : tokens) last = model.forward({&token, 1}, single);
  EXPECT_LE(difference(last, expected), 1e-4);
  const std::vector<float> every = model.forward_all(all, rows);
  ASSERT_EQ(every.size(), 600u * 23u);
  EXPECT_LE(difference({every.end() - 23, every.end()}, expected), 1e-4);
  for (const State* state : {&split, &single, &rows}) EXPECT_LE(whole.max_difference(*state), 1e-4);
  State start = model.new_state();
  const std::vector<float> first = model.forward(all.first(1), start);
  EXPECT_LE(difference({every.begin(), every.begin() + 23}, first), 1e-4);
}

TEST(Api, AStateIsAValue) {
  Model model = Model::load(rwkv7);
  const std::vector<int32_t> start{1, 2, 3}, next{4};
  State state = model.new_state();
  model.forward(start, state);
  State copy = state;
  const std::vector<float> once = model.forward(next, copy);
  EXPECT_GT(state.max_difference(copy), 0);
  copy = state;
  EXPECT_EQ(state.max_difference(copy), 0);
  EXPECT_EQ(model.forward(next, copy), once);
  const State moved = std::move(copy);
  EXPECT_FALSE(moved.empty());
  EXPECT_TRUE(State().empty());
  EXPECT_TRUE(State(State()).empty());
}

TEST(Api, AStateSurvivesAsBytes) {
  Model model = Model::load(rwkv7);
  State state = model.new_state();
  const std::vector<int32_t> tokens{1, 2, 3};
  model.forward(tokens, state);
  std::vector<std::byte> bytes = state.to_bytes();
  State back = model.state_from_bytes(bytes);
  EXPECT_EQ(back.max_difference(state), 0);
  EXPECT_EQ(model.forward(tokens, back), model.forward(tokens, state));
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_NE(error_of([&] { model.state_from_bytes(std::span(bytes).first(size)); }), "no error") << size;
  bytes.push_back({});
  expect_error(error_of([&] { model.state_from_bytes(bytes); }), "cut short or damaged");
  const Model other = Model::load(other_version);
  expect_error(error_of([&] { other.state_from_bytes(state.to_bytes()); }), "a model of another version");
}

// After the tokens 3 i mod 11, i < 20; the second one has histories.
TEST(Api, StatesOfRelease01AreRead) {
  for (const std::string name : {"rwkv-v7", "rwkv-v4-headqk"}) {
    Model model =
        Model::load(aviary::golden(name + "/model.safetensors"), {.precision = aviary::Precision::f32});
    const std::string stored =
        aviary::read_file(aviary::repository() / "tests/data/state-0.1" / (name + ".state"), 1 << 20);
    const State old = model.state_from_bytes(std::as_bytes(std::span(stored)));
    State now = model.new_state();
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 20; ++i) tokens.push_back(i * 3 % 11);
    model.forward(tokens, now);
    EXPECT_LE(old.max_difference(now), 1e-5) << name;
    EXPECT_EQ(now.to_bytes().size(), stored.size()) << name;
  }
}

TEST(Api, InvalidInputIsAnErrorAndKeepsTheState) {
  Model model = Model::load(rwkv7);
  State state = model.new_state();
  const std::vector<int32_t> good{1, 2}, negative{1, -1}, large{1, 23};
  model.forward(good, state);
  const State before = state;
  expect_error(error_of([&] { model.forward({}, state); }), "Model::forward: no tokens to read");
  expect_error(error_of([&] { model.forward(negative, state); }),
               "token -1 at position 1 is outside the vocabulary of 23");
  expect_error(error_of([&] { model.forward_all(large, state); }),
               "Model::forward_all: token 23 at position 1");
  EXPECT_EQ(state.max_difference(before), 0);
  State none, foreign = Model::load(other_version).new_state();
  expect_error(error_of([&] { model.forward(good, none); }), "the state is of no model");
  expect_error(error_of([&] { model.forward(good, foreign); }), "a model of another version or other sizes");
  expect_error(error_of([&] { state.max_difference(foreign); }), "different versions or sizes");
  expect_error(error_of([&] { none.to_bytes(); }), "of no model");
  expect_error(error_of([] { Model::load("there/is/no.safetensors"); }), "there/is/no.safetensors");
}

TEST(Api, WithoutATokenizerTextIsAnError) {
  Model model = Model::load(rwkv7);
  EXPECT_FALSE(model.has_tokenizer());
  expect_error(error_of([&] { model.encode("a"); }), "Model::encode: the model came without a tokenizer");
  expect_error(error_of([&] { model.generate("a"); }), "Model::generate: the model came without a tokenizer");
  expect_error(error_of([] { Model::load(rwkv7, {.tokenizer = "bytes"}); }),
               "256 tokens, but the model only 23");
}

TEST(Api, Bfloat16ProductsAreClose) {
  Model exact = Model::load(rwkv7), model = Model::load(rwkv7, {.precision = aviary::Precision::bf16});
  EXPECT_EQ(model.info().precision, aviary::Precision::bf16);
  const std::vector<int32_t> tokens = random_tokens(model, 20);
  State a = exact.new_state(), b = model.new_state();
  const std::vector<float> expected = exact.forward(tokens, a), got = model.forward(tokens, b);
  EXPECT_LE(difference(got, expected), 0.1);
  EXPECT_GT(difference(got, expected), 0);
}

TEST(Api, ThreadsMayShareAModelAndTheBitsDoNotDependOnIt) {
  Model model = Model::load(rwkv7);
  const std::vector<int32_t> tokens = random_tokens(model, 100);
  State state = model.new_state();
  const std::vector<float> expected = model.forward(tokens, state);
  std::vector<std::vector<float>> results(3);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results)
      threads.emplace_back([&] {
        State own = model.new_state();
        result = model.forward(tokens, own);
      });
  }
  for (const auto& result : results) EXPECT_EQ(result, expected);
}

}  // namespace
