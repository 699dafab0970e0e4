#include "checkpoints/checkpoint.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "formats/safetensors.h"
#include "models/recognize.h"
#include "support/test_bytes.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

// The version in each golden folder, and its sizes: layers, width, vocabulary, feed-forward, head size.
struct Folder {
  const char *folder, *name;
  std::vector<int64_t> sizes;
};
const Folder folders[] = {
    {"aft", "aft", {2, 16, 23, 48, 0}},
    {"mha_pro", "mha_pro", {2, 16, 23, 40, 8}},
    {"mha_rotary", "mha_rotary", {2, 16, 23, 48, 8}},
    {"mha_rotary_shift", "mha_rotary", {2, 16, 23, 48, 8}},  // the same tensors
    {"rwkv-v1", "rwkv1", {2, 16, 23, 40, 8}},
    {"rwkv-v2", "rwkv2", {3, 16, 23, 64, 0}},
    {"rwkv-v2-ffnpre", "rwkv2", {3, 16, 23, 64, 0}},
    {"rwkv-v3", "rwkv3", {2, 16, 23, 64, 0}},
    {"rwkv-v3-ffnpre", "rwkv3", {2, 16, 23, 64, 0}},
    {"rwkv-v4", "rwkv4", {2, 16, 23, 64, 0}},
    {"rwkv-v4-ffnpre", "rwkv4", {2, 16, 23, 64, 0}},
    {"rwkv-v4-headqk", "rwkv4", {2, 16, 23, 64, 0}},
    {"rwkv-v4-mishglu", "rwkv4", {2, 16, 23, 64, 0}},
    {"rwkv-v4-selfattn", "rwkv4", {2, 32, 23, 40, 0}},
    {"rwkv-v4-selfattn-mishglu", "rwkv4", {2, 32, 23, 40, 0}},
    {"rwkv-v4a-tinyatt", "rwkv4", {2, 16, 23, 64, 0}},
    {"rwkv-v4neo-headqk", "rwkv4", {2, 16, 23, 64, 0}},
    {"rwkv-v4neo-preffn-dims", "rwkv4", {2, 16, 23, 40, 0}},
    {"rwkv-v5.0", "rwkv5.0", {2, 16, 23, 64, 8}},
    {"rwkv-v5.0-r2", "rwkv5.0", {2, 16, 23, 64, 8}},
    {"rwkv-v5.1", "rwkv5.1", {2, 16, 23, 64, 8}},
    {"rwkv-v5.1-r3", "rwkv5.1", {2, 16, 23, 64, 8}},
    {"rwkv-v5.2", "rwkv5.2", {2, 16, 23, 32, 8}},
    {"rwkv-v6", "rwkv6", {2, 16, 23, 32, 8}},
    {"rwkv-v6-state", "rwkv6", {2, 16, 23, 32, 8}},
    {"rwkv-v6-x060a", "rwkv6-x060a", {2, 16, 23, 32, 8}},
    {"rwkv-v6-x060b", "rwkv6-x060b", {2, 16, 23, 32, 8}},
    {"rwkv-v7", "rwkv7", {2, 16, 23, 64, 8}},
};

std::string refusal(const std::filesystem::path& path) {
  try {
    load_checkpoint(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "loaded";
}

void expect_recognized(const std::filesystem::path& path, const std::string& name,
                       const std::vector<int64_t>& sizes) {
  SCOPED_TRACE(path.string());
  const auto found = recognize(shapes_of(read_tensor_file(path)));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->name, name);
  const ModelConfig& config = found->config;
  EXPECT_EQ((std::vector<int64_t>{config.n_layer, config.n_embd, config.vocab_size, config.dim_ffn,
                                  config.head_size}),
            sizes);
  const std::string answer = refusal(path);
  if (found->runnable)
    EXPECT_EQ(answer, "loaded");
  else
    EXPECT_EQ(answer, path.string() + ": this is " + describe(*found) +
                          "; this program does not run it yet, it can be inspected and converted");
}

TEST(Config, IsNotReadFromWhatIsNestedTooDeep) {
  for (const std::string& text :
       {std::string(1'000'000, '['), "{\"version\": " + std::string(1'000'000, '[')})
    try {
      model_config_from_json(text, "a.safetensors");
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "a.safetensors: the JSON is nested more than 16 deep");
    }
}

TEST(ModelConfigText, HasOptionsByName) {
  const ModelConfig config{
      .version = "rwkv4", .n_layer = 2, .options = {{"head_qk", 8}, {"mish_glu", 1}, {"token_shift", "4,2"}}};
  EXPECT_EQ(to_json(config),
            R"({"head_qk":8,"mish_glu":1,"n_layer":2,"recipe":"","token_shift":"4,2","version":"rwkv4"})");
  EXPECT_EQ(model_config_from_json(to_json(config), "here"), config);
}

TEST(ModelConfigText, RefusesOptionsOfAnotherKind) {
  auto refusal = [](const std::string& text) -> std::string {
    try {
      model_config_from_json(text, "here");
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal(R"({"version": "rwkv4", "head_qk": "8"})"),
            "here: head_qk is '\"8\"', expected a number from 0 to 65536");
  EXPECT_EQ(refusal(R"({"version": "rwkv4", "head_qk": 65537})"),
            "here: head_qk is '65537', expected a number from 0 to 65536");
  EXPECT_EQ(refusal(R"({"version": "rwkv4", "token_shift": 2})"),
            "here: token_shift is '2', expected a text");
}

TEST(ModelConfigText, RefusesWhatItDoesNotKnow) {
  const std::string text = R"({"version": "rwkv7", "n_layer": 2, "sliding_window": 128})";
  try {
    model_config_from_json(text, "here");
    FAIL() << "it was read";
  } catch (const Error& error) {
    EXPECT_NE(
        std::string(error.what()).find("here: it has 'sliding_window', which this program does not know"),
        std::string::npos)
        << error.what();
  }
}

TEST(Recognition, NamesEveryGoldenFolder) {
  size_t seen = 0;
  for (const Folder& row : folders)
    expect_recognized(golden(row.folder + "/model.safetensors"s), row.name, row.sizes);
  for (const auto& entry : std::filesystem::directory_iterator(golden("")))
    if (std::filesystem::exists(entry.path() / "model.safetensors")) ++seen;
  EXPECT_EQ(seen, std::size(folders)) << "a golden folder is not in the table";
}

TEST(Recognition, NamesTheFullReferenceModels) {
  if (outside("AVIARY_GOLDEN", "").empty())
    GTEST_SKIP() << "set AVIARY_GOLDEN to the folder of the full reference data";
  for (const Folder& row : std::initializer_list<Folder>{
           {"rwkv-v7a", "rwkv7a", {2, 64, 97, 256, 16}},
           {"rwkv-v7b", "rwkv7b", {2, 64, 97, 256, 16}},
           {"rwkv-v8-rc00", "rwkv8", {2, 64, 97, 256, 16}},
           {"rwkv-v8-rc00-hybrid", "rwkv8-hybrid", {2, 64, 97, 256, 16}},
           {"rwkv-v7-h64", "rwkv7", {2, 128, 97, 512, 64}},
           {"real-rwkv8-rosaqkv-digit20", "rwkv8-rosa", {2, 128, 13, 512, 16}},
       })
    expect_recognized(outside("AVIARY_GOLDEN", row.folder + "/model.pth"s), row.name, row.sizes);
}

TEST(Recognition, NamesAModelOfRwkvCpp) {
  if (shared_file("models").empty()) GTEST_SKIP() << "set AVIARY_SHARED to a folder that has models/rwkv.cpp";
  for (const std::string type : {"FP32", "FP16", "Q5_0", "Q5_1"})
    expect_recognized(shared_file("models/rwkv.cpp/tiny-rwkv-5v2-730K-" + type + ".bin"), "rwkv5.2",
                      {12, 64, 256, 256, 8});
}

TEST(Recognition, NamesTheTensorThatAnRwkv7Lacks) {
  const TestFolder folder;
  const TensorFile file = read_tensor_file(golden("rwkv-v7/model.safetensors"));
  for (const TensorEntry& left_out : file.tensors()) {
    std::vector<TensorEntry> rest;
    for (const TensorEntry& tensor : file.tensors())
      if (tensor.name != left_out.name) rest.push_back(tensor);
    write_safetensors(folder / "x.st", unchanged(rest));
    const bool unused = left_out.name.starts_with("blocks.0.att.v") && left_out.name.size() == 15;
    EXPECT_EQ(refusal(folder / "x.st"), unused ? "loaded"
                                               : (folder / "x.st").string() +
                                                     ": this is an RWKV-7 Goose with the tensor " +
                                                     left_out.name + " missing");
  }
}

}  // namespace
}  // namespace aviary
