// Damaged and unrelated model files: rejected with an error message, and not modified.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "program.h"
#include "support/repository.h"

namespace aviary::program {
namespace {

class BadModel : public testing::Test {
 protected:
  BadModel() { train_tiny(folder_.path(), 2); }

  void expect_refused(const std::vector<std::string>& words) {
    const auto before = files_below(folder_.path());
    expect_refusal(run(folder_.path(), generate_), words);
    expect_refusal(run(folder_.path(), {"inspect", "run", "--json"}), words);
    expect_refusal(run(folder_.path(), {"evaluate", "run", "text.txt", "--threads", "1"}), words);
    EXPECT_EQ(files_below(folder_.path()), before);
  }
  void change_config(const std::string& from, const std::string& to) {
    rewrite_tensors(model_, [&](auto&, auto& metadata) {
      std::string& config = metadata.at("aviary.config");
      const size_t at = config.find(from);
      ASSERT_NE(at, std::string::npos) << config;
      config.replace(at, from.size(), to);
    });
  }

  const TestFolder folder_;
  const fs::path model_ = folder_ / "run/model.safetensors",
                 checkpoint_ = folder_ / "run/checkpoint.safetensors";
  const Arguments generate_ = {"generate", "run", "--tokens", "3", "--seed", "1", "--threads", "1"};
};

TEST_F(BadModel, ATruncatedModelIsRejected) {
  const std::string whole = read(model_);
  for (size_t size : {whole.size() - 1, whole.size() / 2, size_t{1000}, size_t{9}, size_t{3}}) {
    write(model_, whole.substr(0, size));
    expect_refused({"model.safetensors"});
  }
}

TEST_F(BadModel, AnEmptyModelIsRejected) {
  write(model_, "");
  expect_refused({"model.safetensors", "empty"});
}

TEST_F(BadModel, AFlippedBitInTheHeaderIsRejectedOrHarmless) {
  const std::string whole = read(model_);
  size_t header = 0;
  std::memcpy(&header, whole.data(), sizeof header);
  int refused = 0;
  for (size_t i = 0; i < 40; ++i) {
    std::string damaged = whole;
    const size_t at = i < 8 ? i : 8 + i * 997 % header;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << (i % 8)));
    write(model_, damaged);
    const Outcome outcome = run(folder_.path(), generate_);
    if (outcome.code == 0) continue;  // the step in the metadata, for example
    ++refused;
    expect_refusal(outcome, {"model.safetensors"});
  }
  EXPECT_GE(refused, 25);
}

TEST_F(BadModel, ATruncatedCheckpointIsNotResumed) {
  const std::string whole = read(checkpoint_);
  write(checkpoint_, whole.substr(0, whole.size() / 2));
  const auto before = files_below(folder_.path());
  expect_refusal(run(folder_.path(), {"train", "--resume", "run"}), {"checkpoint.safetensors", "cut short"});
  EXPECT_EQ(files_below(folder_.path()), before);
}

TEST_F(BadModel, AFlippedBitAnywhereInACheckpointIsNotResumed) {
  const std::string whole = read(checkpoint_);
  for (size_t part = 0; part < 10; ++part) {
    std::string damaged = whole;
    const size_t at = part * (whole.size() - 1) / 9;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    write(checkpoint_, damaged);
    expect_refusal(run(folder_.path(), {"train", "--resume", "run", "--steps", "4", "--threads", "1"}),
                   {"checkpoint.safetensors"});
    EXPECT_EQ(read(checkpoint_), damaged);
  }
}

TEST_F(BadModel, UnrelatedTensorsAreRejected) {
  fs::copy_file(golden("pth-formats/expected.safetensors"), model_, fs::copy_options::overwrite_existing);
  expect_refused({"run: not a model of a version known here"});  // an unrelated folder
}

TEST_F(BadModel, AnUnrelatedPthFileIsRejected) {
  fs::copy_file(golden("pth-formats/zip.pth"), model_, fs::copy_options::overwrite_existing);
  expect_refused({"not a model of a version known here"});
}

TEST_F(BadModel, TheTensorsOfAnotherVersionAreRejected) {
  // A config of RWKV-7 with tensors of RWKV-4.
  std::string config;
  rewrite_tensors(model_, [&](auto&, auto& metadata) { config = metadata.at("aviary.config"); });
  fs::copy_file(golden("rwkv-v4/model.safetensors"), model_, fs::copy_options::overwrite_existing);
  rewrite_tensors(model_, [&](auto&, auto& metadata) { metadata["aviary.config"] = config; });
  expect_refused({"model.safetensors"});
}

TEST_F(BadModel, AModelOfAnUnknownVersionIsRejected) {
  change_config("rwkv7", "rwkv9");
  expect_refused({"rwkv9", "rwkv7"});
}

TEST_F(BadModel, AConfigWithOtherSizesThanTheTensorsIsRejected) {
  change_config("\"n_embd\":16", "\"n_embd\":32");
  expect_refused({"model.safetensors"});
}

TEST_F(BadModel, AConfigThatNeedsTooMuchMemoryIsRejected) {
  change_config("\"dim_ffn\":64", "\"dim_ffn\":4000000000");
  expect_refused({"model.safetensors", "4000000000"});
}

TEST_F(BadModel, NaNWeightsAreRejectedButCanBeInspected) {
  rewrite_tensors(model_, [](auto& tensors, auto&) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (EditableTensor& tensor : tensors)
      if (tensor.name == "blocks.1.att.key.weight") std::memcpy(tensor.data.data() + 8, &nan, sizeof nan);
  });
  const auto before = files_below(folder_.path());
  expect_refusal(run(folder_.path(), generate_), {"blocks.1.att.key.weight", "nan", "element 2"});
  const Outcome inspected = run(folder_.path(), {"inspect", "run"});
  EXPECT_EQ(inspected.code, 1);
  EXPECT_NE(inspected.out.find("blocks.1.att.key.weight holds NaN or infinity (1 of its"), std::string::npos)
      << inspected.out;
  EXPECT_EQ(files_below(folder_.path()), before);
}

// Every weight is finite, but what the model computes is not.
TEST_F(BadModel, LogitsThatAreNotFiniteAreAnErrorOfEveryCommand) {
  rewrite_tensors(model_, [](auto& tensors, auto&) {
    const float large = 1e30F;
    for (EditableTensor& tensor : tensors)
      if (tensor.name == "head.weight" || tensor.name == "ln_out.weight")
        for (size_t i = 0; i < tensor.data.size(); i += sizeof large)
          std::memcpy(tensor.data.data() + i, &large, sizeof large);
  });
  expect_refusal(run(folder_.path(), generate_), {"logit"});
  expect_refusal(run(folder_.path(), {"logits", "run", "--tokens", "1", "--raw", "raw"}),
                 {"the logit of token 0 is", "the model is broken"});
  EXPECT_FALSE(fs::exists(folder_ / "raw"));
  expect_refusal(run(folder_.path(), {"evaluate", "run", "text.txt"}), {"the model is broken"});
  expect_refusal(
      run(folder_.path(), {"bench", "run", "--rounds", "1", "--seconds", "0.01", "--batches", "1"}),
      {"the logit of token 0 is", "the model is broken"});
  expect_refusal(run(folder_.path(), {"bench", "run", "--long", "100"}), {"the model is broken"});
  const Outcome verified = run(folder_.path(), {"verify", "run", "--length", "2"});
  EXPECT_EQ(verified.code, 1);
  EXPECT_NE(verified.out.find("FAIL"), std::string::npos) << verified.out;
}

TEST_F(BadModel, AVocabularyOfAnotherModelIsRejected) {
  std::string vocabulary;
  for (int i = 0; i < 256; ++i)
    vocabulary +=
        std::to_string(i + 1) + " b'\\x" + "0123456789abcdef"[i / 16] + "0123456789abcdef"[i % 16] + "' 1\n";
  for (int i = 0; i < 40; ++i)
    vocabulary += std::to_string(257 + i) + " 'word" + std::to_string(10 + i) + "' 6\n";
  write(folder_ / "vocabulary.txt", vocabulary);
  expect_refusal(run(folder_.path(), generate_ + Arguments{"--tokenizer", "vocabulary.txt"}),
                 {"tokens", "256"});
}

TEST_F(BadModel, AModelWithoutATokenizerAsksForOne) {
  expect_refusal(run(folder_.path(), {"generate", (golden("rwkv-v7/model.pth")).string()}), {"--tokenizer"});
}

// No character but line ends and what a terminal prints.
void expect_tame(const Outcome& outcome) {
  for (const std::string& text : {outcome.out, outcome.err}) {
    for (const char c : text) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << text;
    for (const char* wild : {"\x7f", "\u009b", "\u202e"})
      EXPECT_EQ(text.find(wild), std::string::npos) << text;
  }
}

TEST_F(BadModel, TextFromAFileIsEscapedWhereverItIsShown) {
  const std::string wild = "\x1b[31m\n\u009b\u202e\x7f";
  fs::copy_file(golden("rwkv-v4/model.safetensors"), folder_ / "v4.st");
  rewrite_tensors(folder_ / "v4.st", [&](auto& tensors, auto& metadata) {
    tensors.push_back({wild + ".att.att_mask", Dtype::f32, {1}, std::string(4, '\0')});  // a buffer of RWKV-4
    metadata["tokenizer.chat_template"] = wild;
    metadata["aviary.step"] = wild;
  });
  for (const Arguments& flags : {Arguments{}, Arguments{"--tensors"}, Arguments{"--json"}}) {
    const Outcome outcome = run(folder_.path(), Arguments{"inspect", "v4.st"} + flags);
    EXPECT_NE(outcome.out.find("RWKV-4"), std::string::npos) << outcome.err;
    expect_tame(outcome);
  }
  expect_tame(run(folder_.path(), {"convert", "v4.st", "v4.pth", "--all", "--type", "f16"}));
  rewrite_tensors(model_, [&](auto& tensors, auto&) { tensors[0].name = wild; });
  for (const Arguments& command : {generate_, Arguments{"inspect", "run"}}) {
    const Outcome outcome = run(folder_.path(), command);
    expect_refusal(outcome, {"model.safetensors"});
    expect_tame(outcome);
  }
  change_config("\"version\"", "\"\\u001b[31m\": 1, \"version\"");
  const Outcome config = run(folder_.path(), generate_);
  expect_refusal(config, {"which this program does not know"});
  expect_tame(config);
}

TEST_F(BadModel, ACheckpointIsNotAModel) {
  expect_refusal(run(folder_.path(), {"generate", "run/checkpoint.safetensors"}),
                 {"run/checkpoint.safetensors"});
}

}  // namespace
}  // namespace aviary::program
