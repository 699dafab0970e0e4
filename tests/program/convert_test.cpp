// aviary convert: converts a trained model to other formats and number types.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "program.h"
#include "support/repository.h"

namespace aviary::program {
namespace {

using Json = nlohmann::json;

class Convert : public testing::Test {
 protected:
  Convert() { train_tiny(folder_.path(), 10); }

  Outcome convert(const Arguments& arguments) {
    return run(folder_.path(), Arguments{"convert"} + arguments);
  }
  // The most probable next tokens after a prompt, as the program prints them.
  std::string logits(const std::string& model) {
    const Outcome outcome =
        run(folder_.path(), {"logits", model, "--tokens", "104,101,32", "--threads", "1"});
    expect_success(outcome);
    return outcome.out;
  }
  Json inspect(const std::string& model) {
    const Outcome outcome = run(folder_.path(), {"inspect", model, "--json"});
    expect_success(outcome);
    return Json::parse(outcome.out);
  }

  // Type, shape and statistics of every tensor by its name.
  std::map<std::string, Json> tensors_of(const std::string& model) {
    std::map<std::string, Json> tensors;
    const Json all = inspect(model);
    for (const Json& tensor : all["tensors"]) tensors[tensor["name"]] = tensor;
    return tensors;
  }

  const TestFolder folder_;
};

TEST_F(Convert, TheRoundTripGivesTheSameFile) {
  for (const std::string ending : {".pth", ".safetensors", ".gguf"}) {
    expect_success(convert({"run", "there" + ending}));
    EXPECT_EQ(logits("there" + ending), logits("run")) << ending;
    expect_success(convert({"there" + ending, "back.safetensors", "--tokenizer", "bytes"}));
    const auto before = tensors_of("run"), after = tensors_of("back.safetensors");
    EXPECT_GE(after.size() + 3,
              before.size());  // layer 0 has three unused ones, which GGUF cannot store
    for (const auto& [name, tensor] : after) EXPECT_EQ(tensor, before.at(name)) << ending;
  }
}

TEST_F(Convert, ATypeAppliesToMatricesOnly) {
  expect_success(convert({"run", "half.safetensors", "--type", "bf16"}));
  const Json half = inspect("half.safetensors");
  for (const Json& tensor : half["tensors"]) {
    const bool matrix = tensor["shape"].size() == 2 && tensor["name"].get<std::string>().ends_with(".weight");
    EXPECT_EQ(tensor["dtype"], matrix ? "bf16" : "f32") << tensor["name"];
  }
  EXPECT_EQ(half["tokenizer"], "bytes");
}

TEST_F(Convert, AGgufFileKeepsTheTokenizerAndQuantizedTypes) {
  expect_success(convert({"run", "small.gguf", "--type", "q8_0"}));
  const Json small = inspect("small.gguf");
  EXPECT_EQ(small["format"], "gguf");
  EXPECT_EQ(small["tokenizer"], "bytes");
  EXPECT_GT(small["stored_as"]["q8_0"], 0);
  expect_success(run(folder_.path(), {"generate", "small.gguf", "--prompt", "the", "--tokens", "3"}));
}

TEST_F(Convert, AReportShowsTheDifferenceInPredictions) {
  const Outcome outcome = convert({"run", "half.safetensors", "--type", "f16", "--report", "text.txt"});
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("perplexity"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("divergence 0.0000"), std::string::npos) << outcome.out;
}

TEST_F(Convert, TypesAreChosenForASizeAndForAQuality) {
  write(folder_ / "some.txt", prose(1500, 7));
  const auto whole = [&] {
    expect_success(convert({"run", "whole.gguf"}));
    return fs::file_size(folder_ / "whole.gguf");
  }();
  expect_success(convert({"run", "small.gguf", "--fit", std::to_string(whole * 8 / 10)}));
  EXPECT_LE(fs::file_size(folder_ / "small.gguf"), whole * 8 / 10) << "the whole file counts";
  expect_success(convert({"run", "good.gguf", "--max-kl", "0.001", "--report", "some.txt"}));
  EXPECT_LT(fs::file_size(folder_ / "good.gguf"), whole);
  expect_refusal(convert({"run", "none.gguf", "--fit", "1k"}), {"smallest", "larger than 1,000 bytes"});
  expect_refusal(convert({"run", "none.pth", "--fit", "1M"}), {"none.pth", ".gguf"});
  expect_refusal(convert({"run", "none.gguf", "--max-kl", "0.1"}), {"--report"}, 2);
  EXPECT_FALSE(fs::exists(folder_ / "none.gguf"));
}

TEST_F(Convert, SizesAreReadAsPeopleWriteThem) {
  expect_success(convert({"run", "small.gguf", "--fit", "0.08M"}));
  EXPECT_LE(fs::file_size(folder_ / "small.gguf"), 80'000u);
  const std::string small = read(folder_ / "small.gguf");
  for (const char* size : {"80000", "80k", "80KB", "0.00008 G"}) {
    expect_success(convert({"run", "same.gguf", "--fit", size}));
    EXPECT_EQ(read(folder_ / "same.gguf"), small) << size;
  }
  expect_success(convert({"run", "report.gguf", "--fit", "76KiB", "--report", "text.txt"}));
  EXPECT_LE(fs::file_size(folder_ / "report.gguf"), 76u << 10);
  for (const char* size : {"0", "-1", "nan", "M", "1e6", "0.0000001"})
    expect_refusal(convert({"run", "none.gguf", "--fit", size}), {"--fit:", "expected"}, 2);
  expect_refusal(convert({"run", "none.gguf", "--max-kl", "nan", "--report", "text.txt"}),
                 {"--max-kl: 'nan'"}, 2);
  expect_refusal(convert({"run", "none.gguf", "--max-kl", "0", "--report", "text.txt"}), {"--max-kl: 0"}, 2);
  EXPECT_FALSE(fs::exists(folder_ / "none.gguf"));
}

TEST_F(Convert, ATokenizerForAFileWithoutAPlaceForOneIsRejected) {
  expect_refusal(convert({"run", "none.pth", "--tokenizer", "bytes"}), {"none.pth", "--tokenizer"});
  EXPECT_FALSE(fs::exists(folder_ / "none.pth"));
}

TEST_F(Convert, UnknownFormatsAndTypesAreRejected) {
  expect_refusal(convert({"run", "out.bin"}), {"out.bin", ".safetensors", ".pth"});
  expect_refusal(convert({"run", "out.safetensors", "--type", "q4_0"}), {"q4_0", ".gguf"});
  expect_refusal(convert({"run", "out.pth", "--type", "q8_0"}), {"q8_0", ".gguf"});
  expect_refusal(convert({"run", "out.pth", "--type", "q9"}), {"--type", "q9"}, 2);
  EXPECT_FALSE(fs::exists(folder_ / "out.safetensors"));
}

TEST_F(Convert, ExtensionsAndTypesOfOtherProgramsAreAccepted) {
  expect_success(convert({"run", "half.SafeTensors", "--type", "FP16"}));
  EXPECT_GT(inspect("half.SafeTensors")["stored_as"]["f16"], 0);
  expect_success(convert({"run", "small.GGUF", "--type", "Q4_K_M"}));
  EXPECT_EQ(inspect("small.GGUF")["format"], "gguf");
}

TEST_F(Convert, QuantizedTypesThatAFormatLacksAreRejectedBeforeTheWorkStarts) {
  expect_success(convert({"run", "small.gguf", "--type", "q8_0", "--tokenizer", "bytes"}));
  for (const char* out : {"small.pth", "small.safetensors"}) {
    const Outcome outcome = convert({"small.gguf", out});
    expect_refusal(outcome, {out, "q8_0", "--type"});
    EXPECT_EQ(outcome.out, "");
  }
  expect_success(convert({"small.gguf", "small.safetensors", "--type", "f16"}));
}

TEST_F(Convert, AnUnwritablePathIsRejectedBeforeTheWorkStarts) {
  for (const char* out : {"none/small.gguf", "run/none/small.pth"}) {
    const Outcome outcome = convert({"run", out, "--type", "f16"});
    expect_refusal(outcome, {out, "there is no folder"});
    EXPECT_EQ(outcome.out, "");
  }
}

TEST_F(Convert, AGgufFileWithoutATokenizerCausesAWarning) {
  rewrite_tensors(folder_ / "run/model.safetensors", [](auto&, auto& metadata) {
    metadata.erase("aviary.tokenizer");
    metadata.erase("aviary.tokenizer_hash");
  });
  const Outcome without = convert({"run", "small.gguf"});
  EXPECT_EQ(without.code, 0);
  EXPECT_NE(without.err.find("small.gguf: it has no tokenizer"), std::string::npos) << without.err;
  const Outcome with = convert({"run", "with.gguf", "--tokenizer", "bytes"});
  EXPECT_EQ(with.err.find("tokenizer"), std::string::npos) << with.err;
}

TEST_F(Convert, TheTokenizerOfAnotherModelCanBeUsed) {
  expect_success(convert({"run", "tokens.pth"}));  // without a tokenizer
  expect_success(convert({"tokens.pth", "again.gguf", "--tokenizer", "run/model.safetensors"}));
  EXPECT_EQ(inspect("again.gguf")["tokenizer"], "bytes");
}

TEST_F(Convert, AFileIsNeverOverwrittenByItself) {
  const std::string before = read(folder_ / "run/model.safetensors");
  expect_refusal(convert({"run", "run/model.safetensors", "--type", "f16"}), {"run/model.safetensors"});
  EXPECT_EQ(read(folder_ / "run/model.safetensors"), before);
}

TEST_F(Convert, NoFileOfARunOrOfASideInputIsOverwritten) {
  fs::copy_file(folder_ / "run/model.safetensors", folder_ / "other.safetensors");
  fs::create_symlink("run/checkpoint.safetensors", folder_ / "link.safetensors");
  fs::create_hard_link(folder_ / "run/model.safetensors", folder_ / "hard.safetensors");
  write(folder_ / "text.pth", prose(500));
  const auto before = files_below(folder_.path());
  for (const char* model : {"run", "run/model.safetensors"})
    for (const char* out : {"run/checkpoint.safetensors", "run/../run/checkpoint.safetensors",
                            "link.safetensors", "hard.safetensors"})
      expect_refusal(convert({model, out, "--type", "f16"}), {out, "another file"});
  expect_refusal(convert({"run", "other.safetensors", "--tokenizer", "other.safetensors"}),
                 {"other.safetensors: cannot be written, since it is read"});
  expect_refusal(convert({"run", "text.pth", "--report", "text.pth"}),
                 {"text.pth", "read by the same command"});
  EXPECT_EQ(files_below(folder_.path()), before);
  expect_success(convert({"run", "run/half.safetensors", "--type", "f16"}));  // a new file is welcome there
  expect_success(convert({"run", "run/half.safetensors", "--type", "bf16"}));
}

TEST_F(Convert, NoFileOfAFolderOfHuggingFaceIsOverwritten) {
  fs::create_directories(folder_ / "hf");
  fs::copy_file(golden("rwkv-v4/model.safetensors"), folder_ / "hf/part.safetensors");
  Json map;
  const TensorFile file = read_tensor_file(folder_ / "hf/part.safetensors");
  for (const TensorEntry& tensor : file.tensors()) map[tensor.name] = "part.safetensors";
  write(folder_ / "hf/model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  const auto before = files_below(folder_.path());
  expect_refusal(convert({"hf", "hf/part.safetensors", "--type", "bf16"}),
                 {"hf/part.safetensors", "a file of hf"});
  EXPECT_EQ(files_below(folder_.path()), before);
  expect_success(convert({"hf", "hf/new.safetensors", "--type", "bf16"}));
}

TEST_F(Convert, ALinkToAFileThatIsNotThereYetIsFollowed) {
  fs::create_directories(folder_ / "disk");
  fs::create_symlink("disk/model.st", folder_ / "link.st");
  expect_success(convert({"run", "link.st"}));
  EXPECT_TRUE(fs::is_symlink(folder_ / "link.st"));
  EXPECT_EQ(logits("disk/model.st"), logits("run"));
}

TEST_F(Convert, ASettingThatAFileCannotSayIsNamedAndNothingIsWritten) {
  expect_success(
      run(folder_.path(),
          Arguments{"train", "text.txt", "--out", "tk", "--steps", "2", "--token-shift", "4,2,1"} + tiny));
  for (const char* out : {"tk.pth", "tk.gguf"}) {
    expect_refusal(convert({"tk", out}), {out, "token_shift \"4,2,1\"", ".safetensors", "--force"});
    EXPECT_FALSE(fs::exists(folder_ / out));
  }
  expect_success(convert({"tk", "tk.safetensors"}));
  EXPECT_EQ(logits("tk.safetensors"), logits("tk"));
  const Outcome forced = convert({"tk", "tk.pth", "--force"});
  EXPECT_EQ(forced.code, 0);
  EXPECT_NE(forced.err.find("no place for the token_shift \"4,2,1\""), std::string::npos) << forced.err;
  // A file that llama.cpp would compute differently does not claim to be one of llama.cpp.
  const Outcome gguf = convert({"tk", "tk.gguf", "--force"});
  EXPECT_NE(gguf.err.find("only this program reads"), std::string::npos) << gguf.err;
  EXPECT_EQ(read_tensor_file(folder_ / "tk.gguf").metadata().at("general.architecture"), "aviary");
  EXPECT_EQ(logits("tk.gguf"), logits("tk"));
}

TEST_F(Convert, AHeadSizeThatLlamaCppDoesNotComputeIsTold) {
  const Outcome narrow = convert({"run", "narrow.gguf"});  // heads of 8
  EXPECT_EQ(narrow.code, 0);
  EXPECT_NE(narrow.err.find("only with heads of 64, and this model has heads of 8"), std::string::npos)
      << narrow.err;
  Arguments wide = tiny;
  *(std::find(wide.begin(), wide.end(), "--width") + 1) = "64";
  expect_success(run(folder_.path(), Arguments{"train", "text.txt", "--out", "wide", "--steps", "1"} + wide));
  EXPECT_EQ(convert({"wide", "wide.gguf"}).err.find("heads"), std::string::npos);
}

TEST_F(Convert, NumbersThatATypeCannotRepresentKeepABetterOne) {
  rewrite_tensors(folder_ / "run/model.safetensors", [](auto& tensors, auto&) {
    for (EditableTensor& tensor : tensors)
      if (tensor.name == "blocks.1.ffn.key.weight") {
        const float large = 1e6f;  // beyond the range of f16
        std::memcpy(tensor.data.data(), &large, sizeof large);
      }
  });
  expect_success(convert({"run", "half.safetensors", "--type", "f16"}));
  const Json half = inspect("half.safetensors");
  for (const Json& tensor : half["tensors"]) {
    const bool large = tensor["name"] == "blocks.1.ffn.key.weight";
    EXPECT_TRUE(!large || tensor["dtype"] != "f16");
  }
}

TEST_F(Convert, ABrokenModelIsWrittenOnlyIfForced) {
  rewrite_tensors(folder_ / "run/model.safetensors", [](auto& tensors, auto&) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (EditableTensor& tensor : tensors)
      if (tensor.name == "blocks.1.att.key.weight") std::memcpy(tensor.data.data(), &nan, sizeof nan);
  });
  expect_refusal(convert({"run", "half.safetensors", "--type", "f16"}),
                 {"half.safetensors", "blocks.1.att.key.weight", "--force"});
  EXPECT_FALSE(fs::exists(folder_ / "half.safetensors"));
  expect_success(convert({"run", "half.safetensors", "--type", "f16", "--force"}));
  EXPECT_TRUE(fs::exists(folder_ / "half.safetensors"));
}

TEST_F(Convert, KeepsTheTensorsOfAnotherVersion) {
  const std::string v6 = golden("rwkv-v6/model.pth");
  const Outcome outcome = convert({v6, "v6.safetensors"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(inspect("v6.safetensors")["tensors"] == inspect(v6)["tensors"]);
}

}  // namespace
}  // namespace aviary::program
