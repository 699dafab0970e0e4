// States that were written, against those of the original code and those that are read again.
#include "checkpoints/state_writer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/state_file.h"
#include "formats/safetensors.h"
#include "models/run.h"
#include "support/repository.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr const char* versions[] = {"rwkv-v4", "rwkv-v5.0",     "rwkv-v5.1", "rwkv-v5.2",
                                    "rwkv-v6", "rwkv-v6-state", "rwkv-v7"};

std::unique_ptr<Model> golden_model(const std::string& version) {
  return load_checkpoint(golden(version + "/model.safetensors")).model;
}

// The recurrences are random, without any symmetry.
State random_state(const Model& model) {
  Random random(3);
  State state(model.state_specs(), model.dtype());
  for (size_t i = 0; i < state.size(); ++i) {
    if (model.state_specs()[i].kind != StateKind::recurrence) continue;
    std::vector<double> numbers(static_cast<size_t>(state[i].count()));
    for (double& number : numbers) number = std::round(256 * random.normal()) / 256;  // exact in f16
    from_host(numbers, state[i]);
  }
  if (model.learns_first_state()) state.set_position(1);
  return state;
}

std::string state_refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "done";
}

const TestFolder& folder() {
  static const TestFolder folder;
  return folder;
}

class WrittenState : public testing::TestWithParam<const char*> {
 protected:
  const std::unique_ptr<Model> model_ = golden_model(GetParam());
  const fs::path file_ = folder() / "state.safetensors";
};

INSTANTIATE_TEST_SUITE_P(Versions, WrittenState, testing::ValuesIn(versions), [](const auto& version) {
  std::string name = version.param;
  std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
  return name;
});

TEST_P(WrittenState, IsReadAgainAsItWas) {
  const State state = random_state(*model_);
  save_state(file_, state, *model_, {.base = {}, .trained_on = "letters"});
  EXPECT_EQ(largest_difference(load_state(file_, *model_), state), 0);
  const auto info = state_info_in(read_tensor_file(file_).metadata(), "");
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->trained_on, "letters");
}

// The original code keeps [key, value] in RWKV-5 and 6 and [value, key] in RWKV-7, and reads time_state as
// [value, key] in all of them.
TEST_P(WrittenState, IsThatOfTheOriginalCodeAfterATextAsItWouldStoreIt) {
  const TensorFile data = read_tensor_file(golden(std::string(GetParam()) + "/golden.safetensors"));
  const std::vector<double> ids = to_doubles(*data.find("idx"));
  const std::vector<int32_t> tokens(ids.begin(), ids.begin() + std::ssize(ids) / 2);  // the first row
  Runner runner(*model_, kernels::Precision::f32);
  State state = runner.new_state();
  runner.all_logits(tokens, Sequences::uniform(1, std::ssize(tokens)), state);
  save_state(file_, state, *model_);
  const TensorFile written = read_tensor_file(file_);
  const bool is_v7 = std::string_view(GetParam()) == "rwkv-v7";
  int compared = 0;
  for (int layer = 0; layer < 2; ++layer)
    for (const char* part : {"kv", "aa", "bb", "pp"}) {
      const TensorEntry* original = data.find(fmt::format("state.{}.{}", layer, part));
      if (!original) continue;
      const bool matrices = std::string_view(part) == "kv";
      const TensorEntry* stored =
          written.find(fmt::format("blocks.{}.att.{}", layer, matrices ? "time_state" : part));
      ASSERT_NE(stored, nullptr);
      const std::vector<double> expected = to_doubles(*original), numbers = to_doubles(*stored);
      ASSERT_EQ(numbers.size() * 2, expected.size());
      for (size_t i = 0; i < numbers.size(); ++i) {
        const size_t head = i / 64 * 64, row = i / 8 % 8, col = i % 8;
        ASSERT_NEAR(numbers[i], expected[matrices && !is_v7 ? head + col * 8 + row : i], 1e-4) << part << i;
      }
      ++compared;
    }
  EXPECT_GE(compared, 2);
}

TEST_P(WrittenState, IsTheSameInEveryForm) {
  const State state = random_state(*model_);
  save_state(file_, state, *model_);
  const TensorFile own = read_tensor_file(file_);
  for (const char* name : {"state.pth", "again.safetensors", "web.state", "back.pth"}) {
    const fs::path path = folder() / name;
    const fs::path from = path.stem() == "back" ? folder() / "web.state" : file_;
    const std::string answer =
        state_refusal([&] { convert_state(read_tensor_file(from), from.string(), path); });
    if (std::string_view(GetParam()) == "rwkv-v4" && path.extension() != ".safetensors") {
      EXPECT_NE(answer.find(path.string()), std::string::npos) << answer;
      EXPECT_FALSE(fs::exists(path));
      if (path.extension() == ".state") break;
      continue;
    }
    EXPECT_EQ(answer, "done");
    EXPECT_EQ(largest_difference(load_state(path, *model_), state), 0) << name;
  }
  for (const char* name : {"state.pth", "web.state", "back.pth"}) fs::remove(folder() / name);
}

TEST(StateWriter, WebRwkvHasHalvesWithTheAxesOfAHeadSwapped) {
  const auto model = golden_model("rwkv-v7");
  const State state = random_state(*model);
  save_state(folder() / "a.state", state, *model);
  const MappedFile file(folder() / "a.state");
  const TensorTable table = parse_safetensors(file.bytes(), "");
  EXPECT_EQ(table.metadata, (std::map<std::string, std::string>{{"format", "pt"}}));
  const TensorEntry& tensor = table.tensors[0];
  EXPECT_EQ(tensor.dtype, Dtype::f16);
  EXPECT_EQ(to_doubles(tensor), to_host(state[1]));  // [head, key, value], as in memory
}

TEST(StateWriter, KeepsTokenShiftsThatAreNotZero) {
  for (const char* version : {"rwkv-v4", "rwkv-v7"}) {
    const auto model = golden_model(version);
    Runner runner(*model, kernels::Precision::f32);
    State state = runner.new_state();
    runner.all_logits(std::vector<int32_t>{3, 1, 4}, Sequences::uniform(1, 3), state);
    save_state(folder() / "a.safetensors", state, *model);
    State read = load_state(folder() / "a.safetensors", *model);
    read.set_position(state.position());
    EXPECT_EQ(largest_difference(read, state), 0);
    const std::string answer = state_refusal([&] { save_state(folder() / "a.pth", state, *model); });
    EXPECT_NE(answer.find("holds blocks.<i>.att.time_state and nothing else"), std::string::npos) << answer;
  }
}

TEST(StateWriter, RefusesWhatAFileCannotHold) {
  const auto model = golden_model("rwkv-v7");
  State state = random_state(*model);
  auto answer_to = [&](const char* name) {
    return state_refusal([&] { save_state(folder() / name, state, *model); });
  };
  EXPECT_NE(answer_to("a.txt").find("ends in .safetensors, .pth or .state"), std::string::npos);
  state[1].as<float>()[5] = 1e6f;
  EXPECT_NE(answer_to("b.state").find("f16 ends at 65504"), std::string::npos);
  state[1].as<float>()[5] = std::nanf("");
  EXPECT_NE(answer_to("b.pth").find("holds NaN"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder() / "b.state") || fs::exists(folder() / "b.pth"));
  const auto other = golden_model("rwkv-v4");
  EXPECT_NE(state_refusal([&] { save_state(folder() / "b.pth", state, *other); }).find("of another model"),
            std::string::npos);
  const auto attention = golden_model("mha_pro");
  const State history(attention->state_specs(), attention->dtype());
  EXPECT_NE(state_refusal([&] {
              save_state(folder() / "b.pth", history, *attention);
            }).find("no state of constant size"),
            std::string::npos);
}

TEST(StateWriter, NamesTheBaseWithoutWhichAStateIsWorthNothing) {
  const fs::path v7 = golden("rwkv-v7/model.safetensors"), file = folder() / "based.safetensors",
                 other = folder() / "other.safetensors";
  const auto model = golden_model("rwkv-v7");
  const State state = random_state(*model);
  save_state(file, state, *model, {.base = base_info_of(read_tensor_file(v7), v7)});
  EXPECT_EQ(largest_difference(load_state(file, *model, v7, false), state), 0);
  model->parameters().find("head.weight")->weight.value().as<float>()[0] += 1;
  save_checkpoint(other, *model, nullptr);
  const std::string answer = state_refusal([&] { load_state(file, *model, other, false); });
  EXPECT_NE(answer.find("'rwkv-v7/model.safetensors' (f32"), std::string::npos) << answer;
  EXPECT_NE(answer.find("'other.safetensors'"), std::string::npos) << answer;
  EXPECT_EQ(state_refusal([&] { load_state(file, *model, other, true); }), "done");
}

TEST(StateWriter, AStateOfVectorsIsRecognizedAndMustBeWhole) {
  const auto model = golden_model("rwkv-v4");
  const State state = random_state(*model);
  const fs::path file = folder() / "v4.safetensors";
  save_state(file, state, *model);
  const TensorFile written = read_tensor_file(file);
  ASSERT_TRUE(recognize_state(written).has_value());
  EXPECT_EQ(describe(*recognize_state(written)), "a tuned state for 2 layers of width 16");
  std::vector<TensorEntry> tensors = written.tensors();
  tensors.pop_back();
  write_safetensors(folder() / "less.safetensors", unchanged(tensors), written.metadata());
  EXPECT_NE(state_refusal([&] {
              load_state(folder() / "less.safetensors", *model);
            }).find("without blocks.1.att.pp"),
            std::string::npos);
  EXPECT_NE(state_refusal([&] { load_state(file, *golden_model("rwkv-v7")); }).find("blocks.0.att.wkv"),
            std::string::npos);
}

}  // namespace
}  // namespace aviary
