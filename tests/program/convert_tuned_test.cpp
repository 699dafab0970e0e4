// Adapters and tuned states from one kind of file to another.
#include <gtest/gtest.h>

#include <cmath>

#include "formats/safetensors.h"
#include "program.h"

namespace aviary::program {
namespace {

class ConvertTuned : public testing::Test {
 protected:
  // A tiny run, a MiSS adapter [2, width] for one of its matrices, and a tuned state.
  ConvertTuned() {
    train_tiny(folder_.path(), 2);
    const TensorFile model = read_tensor_file(folder_ / "run/model.safetensors");
    const int64_t width = model.find("emb.weight")->shape[1];
    const std::vector<int64_t> heads = model.find("blocks.0.att.r_k")->shape;
    write("a.st", {{"blocks.0.ffn.value.disha", {2, width}}});
    std::vector<std::pair<std::string, std::vector<int64_t>>> states;
    for (int layer = 0; model.find(fmt::format("blocks.{}.ln1.weight", layer)); ++layer)
      states.push_back({fmt::format("blocks.{}.att.time_state", layer), {heads[0], heads[1], heads[1]}});
    write("state.st", states);
  }

  // Numbers that f16 holds exactly, without any symmetry.
  void write(const char* name, const std::vector<std::pair<std::string, std::vector<int64_t>>>& shapes) {
    std::vector<std::vector<float>> numbers;
    std::vector<StoredTensor> tensors;
    numbers.reserve(shapes.size());
    for (const auto& [tensor, shape] : shapes) {
      TensorEntry entry{tensor, Dtype::f32, shape, {}};
      int64_t count = 1;
      for (const int64_t size : shape) count *= size;
      std::vector<float>& values = numbers.emplace_back(static_cast<size_t>(count));
      for (size_t i = 0; i < values.size(); ++i)
        values[i] = std::round(256 * std::sin(static_cast<float>(i))) / 256;
      entry.data = std::as_bytes(std::span(values));
      tensors.push_back({entry, Dtype::f32});
    }
    write_safetensors(folder_ / name, tensors);
  }
  Outcome convert(const Arguments& arguments) {
    return run(folder_.path(), Arguments{"convert"} + arguments);
  }
  std::string logits(const Arguments& more) {
    expect_success(run(
        folder_.path(),
        Arguments{"logits", "run", "--tokens", "1,2,3", "--precision", "f32", "--raw", "out.f32"} + more));
    return read(folder_ / "out.f32");
  }

  const TestFolder folder_;
};

TEST_F(ConvertTuned, AnAdapterIsTheSameInEveryForm) {
  const std::string expected = logits({"--adapter", "a.st"});
  for (const char* out : {"own.safetensors", "trainer.pth", "peft/"}) {
    expect_success(convert({"a.st", out, "--base", "run"}));
    EXPECT_EQ(logits({"--adapter", out}), expected) << out;
  }
  expect_success(convert({"own.safetensors", "again.pth"}));
  EXPECT_EQ(logits({"--adapter", "again.pth"}), expected);
  expect_success(convert({"peft", "peft.safetensors"}));
  EXPECT_EQ(logits({"--adapter", "peft.safetensors"}), expected);
  expect_success(convert({"own.safetensors,weight=0.5", "half.pth"}));
  EXPECT_EQ(logits({"--adapter", "half.pth"}), logits({"--adapter", "a.st,weight=0.5"}));
}

TEST_F(ConvertTuned, AnAdapterNamesItsBaseAndIsRefusedBesideAnother) {
  expect_success(convert({"a.st", "own.safetensors", "--base", "run"}));
  expect_success(convert({"run", "half.safetensors", "--type", "f16"}));
  const Arguments use{"logits", "half.safetensors", "--tokens", "1", "--adapter", "own.safetensors"};
  expect_refusal(run(folder_.path(), use), {"own.safetensors", "trained on 'run/model.safetensors' (f32",
                                            "half.safetensors", "--force"});
  expect_success(run(folder_.path(), use + Arguments{"--force"}));
  const Arguments merge{"merge", "half.safetensors", "own.safetensors", "--out", "merged.safetensors"};
  expect_refusal(run(folder_.path(), merge), {"own.safetensors", "--force"});
  expect_success(run(folder_.path(), merge + Arguments{"--force"}));
  const Arguments again{"own.safetensors", "b.pth", "--base", "half.safetensors"};
  expect_refusal(convert(again), {"own.safetensors", "--force"});
  expect_success(convert(again + Arguments{"--force"}));
}

TEST_F(ConvertTuned, AStateIsTheSameInEveryForm) {
  const std::string expected = logits({"--state", "state.st"});
  EXPECT_NE(expected, logits({}));
  for (const Arguments& command :
       {Arguments{"state.st", "own.safetensors"}, Arguments{"own.safetensors", "trainer.pth"},
        Arguments{"trainer.pth", "web.state"}, Arguments{"web.state", "half.pth"},
        Arguments{"half.pth", "wide.safetensors", "--type", "f32"}}) {
    expect_success(convert(command));
    EXPECT_EQ(logits({"--state", command[1]}), expected) << command[1];
  }
}

TEST_F(ConvertTuned, WhatWasConvertedIsInspected) {
  expect_success(convert({"a.st", "own.safetensors", "--base", "run"}));
  const Outcome adapter = run(folder_.path(), {"inspect", "own.safetensors"});
  expect_success(adapter);
  for (const char* words : {"an adapter of Aviary (miss), 1 matrices of rank 2", "'run/model.safetensors'"})
    EXPECT_NE(adapter.out.find(words), std::string::npos) << adapter.out;
  const Outcome json = run(folder_.path(), {"inspect", "own.safetensors", "--json"});
  EXPECT_NE(json.out.find("\"blocks.0.ffn.value.weight\": 2"), std::string::npos) << json.out;
  expect_refusal(run(folder_.path(), {"inspect", "own.safetensors", "--tensors"}), {"--tensors"});
  expect_success(convert({"state.st", "own.st"}));
  const Outcome state = run(folder_.path(), {"inspect", "own.st"});
  EXPECT_NE(state.out.find("a tuned state for 2 layers"), std::string::npos) << state.out;
}

TEST_F(ConvertTuned, WhatIsForModelsOnlyIsRefused) {
  const std::vector<Arguments> options{
      {"--report", "text.txt"}, {"--fit", "1M"}, {"--tokenizer", "bytes"}, {"--all"}};
  for (const Arguments& option : options) {
    expect_refusal(convert(Arguments{"a.st", "b.pth"} + option), {"a.st", "an adapter", option[0]});
    expect_refusal(convert(Arguments{"state.st", "b.pth"} + option),
                   {"state.st", "a tuned state", option[0]});
  }
  expect_refusal(convert({"state.st", "b.pth", "--base", "run"}), {"state.st", "--base"});
  expect_refusal(convert({"run", "b.pth", "--base", "run"}), {"run", "--base"});
  expect_refusal(convert({"a.st", "b.pth", "--type", "q8_0"}), {"b.pth", "q8_0"});
  expect_refusal(convert({"a.st", "b.gguf"}), {"b.gguf", "--base"});
  expect_refusal(convert({"a.st", "b.safetensors"}), {"b.safetensors", "--base"});
  expect_refusal(convert({"a.st", "b"}), {"b/"});
  expect_refusal(convert({"state.st", "b.gguf"}), {"b.gguf", ".state"});
  expect_refusal(convert({"a.st", "a.st"}), {"cannot be written"});
  expect_refusal(convert({"state.st", "state.st"}), {"cannot be written"});
  EXPECT_FALSE(fs::exists(folder_ / "b.pth") || fs::exists(folder_ / "b.gguf"));
}

}  // namespace
}  // namespace aviary::program
