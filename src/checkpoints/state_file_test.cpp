#include "checkpoints/state_file.h"

#include <gtest/gtest.h>

#include <cmath>
#include <deque>

#include "base/random.h"
#include "checkpoints/checkpoint.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "models/run.h"
#include "support/test_bytes.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

// The golden RWKV-7: 2 layers of 2 heads of 8.
constexpr int64_t layers = 2, heads = 2, size = 8, per_layer = heads * size * size;

class StateFile : public testing::Test {
 protected:
  StateFile() {
    Random random(11);
    for (auto& layer : numbers_)
      for (int64_t i = 0; i < per_layer; ++i) layer.push_back(0.25 * std::round(8 * random.normal()));
  }
  // The numbers in the layout of a state file; with `transpose`, in that of web-rwkv.
  std::vector<TensorEntry> tensors(Dtype type = Dtype::f32, bool transpose = false) {
    std::vector<TensorEntry> entries;
    for (size_t layer = 0; layer < layers; ++layer) {
      std::string& text = data_.emplace_back();
      for (int64_t i = 0; i < per_layer; ++i) {
        const int64_t row = i / size % size, col = i % size, head = i / (size * size);
        const float number = static_cast<float>(
            numbers_[layer][static_cast<size_t>(transpose ? (head * size + col) * size + row : i)]);
        text += type == Dtype::f16 ? le(to_f16(number).bits) : le(number);
      }
      entries.push_back({fmt::format("blocks.{}.att.time_state", layer),
                         type,
                         {heads, size, size},
                         std::as_bytes(std::span(text))});
    }
    return entries;
  }
  // Set directly: our state is [head, key, value].
  State expected() {
    State state(model_->state_specs(), Dtype::f32);
    for (size_t i = 0; i < state.size(); ++i) {
      const StateSpec& spec = model_->state_specs()[i];
      if (!spec.name.ends_with(".wkv")) continue;
      const size_t layer = spec.name == "blocks.0.att.wkv" ? 0 : 1;
      for (int64_t head = 0; head < heads; ++head)
        for (int64_t key = 0; key < size; ++key)
          for (int64_t value = 0; value < size; ++value)
            state[i].as<float>()[(head * size + key) * size + value] =
                static_cast<float>(numbers_[layer][static_cast<size_t>((head * size + value) * size + key)]);
    }
    return state;
  }
  std::string refusal(const std::vector<TensorEntry>& entries, const Model& model) {
    write_safetensors(folder_ / "state.st", unchanged(entries));
    try {
      load_state(folder_ / "state.st", model);
    } catch (const Error& error) {
      return error.what();
    }
    return "loaded";
  }
  void expect_refused(const std::vector<TensorEntry>& entries, std::string_view words) {
    const std::string answer = refusal(entries, *model_);
    EXPECT_EQ(answer.find((folder_ / "state.st").string()), 0u) << answer;
    EXPECT_NE(answer.find(words), std::string::npos) << answer;
  }

  const TestFolder folder_;
  const std::unique_ptr<Model> model_ = load_checkpoint(golden("rwkv-v7/model.safetensors")).model;
  std::vector<double> numbers_[layers];
  std::deque<std::string> data_;
};

TEST_F(StateFile, HasTheEffectOfTheStateSetDirectly) {
  write_pth(folder_ / "state.pth", unchanged(tensors()));
  const std::vector<int32_t> tokens = {3, 1, 4, 1, 5};
  auto logits_after = [&](State state) {
    Runner runner(*model_);
    return to_host(runner.all_logits(tokens, Sequences::uniform(1, 5), state));
  };
  const State loaded = load_state(folder_ / "state.pth", *model_);
  EXPECT_EQ(largest_difference(loaded, expected()), 0);
  const auto with = logits_after(loaded);
  EXPECT_EQ(with, logits_after(expected()));
  EXPECT_NE(with, logits_after(State(model_->state_specs(), Dtype::f32)));
}

TEST_F(StateFile, OfSafetensorsAndOfWebRwkvIsTheSame) {
  write_safetensors(folder_ / "a.safetensors", unchanged(tensors()));
  EXPECT_EQ(largest_difference(load_state(folder_ / "a.safetensors", *model_), expected()), 0);
  // web-rwkv's converter swaps the axes, and its files have no other information.
  write_safetensors(folder_ / "b.st", unchanged(tensors(Dtype::f16, true)), {{"format", "pt"}});
  EXPECT_EQ(read_tensor_file(folder_ / "b.st").dialect(), "web-rwkv");
  EXPECT_EQ(largest_difference(load_state(folder_ / "b.st", *model_), expected()), 0);
  const TensorFile once = read_tensor_file(folder_ / "b.st");
  write_safetensors(folder_ / "copy.safetensors", unchanged(once.tensors()), once.metadata());
  EXPECT_EQ(largest_difference(load_state(folder_ / "copy.safetensors", *model_), expected()), 0);
}

TEST_F(StateFile, IsRecognizedWithItsSizes) {
  write_pth(folder_ / "state.pth", unchanged(tensors()));
  const auto sizes = recognize_state(read_tensor_file(folder_ / "state.pth"));
  ASSERT_TRUE(sizes.has_value());
  EXPECT_EQ(describe(*sizes), "a tuned state for 2 layers of 2 heads of 8");
  EXPECT_FALSE(recognize_state(read_tensor_file(golden("rwkv-v6-state/model.safetensors"))).has_value());
  EXPECT_FALSE(recognize_state(read_tensor_file(golden("rwkv-v7/model.safetensors"))).has_value());
}

TEST_F(StateFile, IsNotAModel) {
  write_pth(folder_ / "state.pth", unchanged(tensors()));
  try {
    load_checkpoint(folder_ / "state.pth");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), (folder_ / "state.pth").string() +
                                             ": this is a tuned state for 2 layers of 2 heads of 8, not a "
                                             "model; name the model, and this file with --state");
  }
}

TEST_F(StateFile, OfAnotherModelIsRejected) {
  std::vector<TensorEntry> entries = tensors();
  EXPECT_EQ(refusal(entries, *model_), "loaded");
  expect_refused(
      {entries[0]},
      "this is a tuned state for 1 layers of 2 heads of 8, but the model has 2 layers of 2 heads of 8");
  for (TensorEntry& tensor : entries) tensor.shape = {8, 4, 4};
  expect_refused(entries, "8 heads of 4");
  const auto v4 = load_checkpoint(golden("rwkv-v4/model.safetensors")).model;
  EXPECT_NE(refusal(tensors(), *v4).find("an RWKV-4 Dove has no state of that kind"), std::string::npos);
}

TEST_F(StateFile, OtherFilesAreRejected) {
  const std::vector<TensorEntry> good = tensors();
  std::vector<TensorEntry> entries = good;
  for (const char* name : {"blocks.7.att.time_state", "blocks.-1.att.time_state", "blocks.1x.att.time_state",
                           "blocks.att.time_state", "blocks..att.time_state",
                           "blocks.99999999999999999999.att.time_state", "emb.weight"}) {
    entries[1].name = name;
    expect_refused(entries, "not a state file");
  }
  entries[1].name = "blocks.01.att.time_state";  // the same layer with another spelling
  entries[0].name = "blocks.1.att.time_state";
  expect_refused(entries, "not a state file");
  entries = good;
  for (TensorEntry& tensor : entries) tensor.shape = {8, 16};
  expect_refused(entries, "not a state file");
  for (TensorEntry& tensor : entries) tensor.shape = {2, 4, 16};
  expect_refused(entries, "not a state file");
  expect_refused({}, "not a state file");
}

TEST_F(StateFile, WithNaNIsRejected) {
  numbers_[1][5] = NAN;
  expect_refused(tensors(), "blocks.1.att.time_state holds NaN or infinity");
}

TEST_F(StateFile, ReplacesTheInitialStateLearnedByTheModel) {
  write_safetensors(folder_ / "state.st", unchanged(tensors()));
  const Checkpoint checkpoint = load_checkpoint(golden("rwkv-v6-state/model.safetensors"));
  Runner runner(*checkpoint.model);
  auto logits_from = [&](State state) {
    const std::vector<int32_t> tokens = {3, 1, 4};
    return to_host(runner.all_logits(tokens, Sequences::uniform(1, 3), state));
  };
  const std::vector<double> own = logits_from(runner.new_state());
  const std::vector<double> loaded = logits_from(load_state(folder_ / "state.st", *checkpoint.model));
  EXPECT_NE(loaded, own);
  for (size_t layer = 0; layer < layers; ++layer)
    from_host(
        numbers_[layer],
        checkpoint.model->parameters().find(fmt::format("blocks.{}.att.time_state", layer))->weight.value());
  EXPECT_EQ(loaded, logits_from(runner.new_state()));
}

}  // namespace
}  // namespace aviary
