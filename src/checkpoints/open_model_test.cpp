#include "checkpoints/open_model.h"

#include <gtest/gtest.h>

#include "formats/safetensors.h"
#include "support/repository.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

// A folder, and a model with a vocabulary of 23 and without a tokenizer to put into it.
class OpenModel : public testing::Test {
 protected:
  void put(const std::string& name, const std::string& text) { write_file_atomically(folder_ / name, text); }
  // Two shards with an index, as used by Hugging Face for large models.
  void put_in_parts() {
    const TensorFile file = read_tensor_file(model_);
    const std::span<const TensorEntry> all = file.tensors();
    write_safetensors(folder_ / "a.safetensors", unchanged(all.first(5)));
    write_safetensors(folder_ / "b.safetensors", unchanged(all.subspan(5)));
    std::string map;
    for (size_t i = 0; i < all.size(); ++i)
      map += fmt::format("{}\"{}\": \"{}.safetensors\"", i ? ", " : "", all[i].name, i < 5 ? "a" : "b");
    put("model.safetensors.index.json", "{\"weight_map\": {" + map + "}}");
  }

  const fs::path model_ = golden("rwkv-v7/model.safetensors");
  TestFolder folder_;
};

constexpr const char* characters = "{\"0\": \"a\", \"1\": \"b\"}";

TEST_F(OpenModel, AFolderOfARunIsToldFromOneOfHuggingFace) {
  fs::copy_file(model_, folder_ / "model.safetensors");
  EXPECT_EQ(model_file_at(folder_.path()), folder_.path());
  EXPECT_EQ(model_file_at(model_), model_);
  write_safetensors(folder_ / "model.safetensors", unchanged(read_tensor_file(model_).tensors()),
                    {{"aviary.config", "{}"}});
  EXPECT_EQ(model_file_at(folder_.path()), folder_ / "model.safetensors");
  put("model.safetensors", "damaged");
  EXPECT_EQ(model_file_at(folder_.path()), folder_ / "model.safetensors");
  fs::remove(folder_ / "model.safetensors");
  EXPECT_EQ(model_file_at(folder_.path()), folder_.path());
  EXPECT_THROW(open_model(folder_.path()), Error);
}

TEST_F(OpenModel, AFolderInPartsWithATokenizerBesideIsOpened) {
  put_in_parts();
  EXPECT_EQ(open_model(folder_.path()).tokenizer, nullptr);
  put("tokenizer.json", characters);
  const Checkpoint checkpoint = open_model(folder_.path());
  EXPECT_EQ(checkpoint.model->config().version, "rwkv7");
  ASSERT_NE(checkpoint.tokenizer, nullptr);
  EXPECT_EQ(checkpoint.tokenizer->encode("ba"), (std::vector<int32_t>{1, 0}));
}

TEST_F(OpenModel, ATokenizerIsTakenFromAFileOrFromAnotherModel) {
  put_in_parts();
  put("tokenizer.json", characters);
  const TestFolder other;
  write_file_atomically(other / "vocab.json", std::string_view(characters));
  for (const fs::path& from : {folder_.path(), other / "vocab.json"}) {
    const Checkpoint checkpoint = open_model(model_, {.tokenizer = from.string()});
    ASSERT_NE(checkpoint.tokenizer, nullptr) << from;
    EXPECT_EQ(checkpoint.tokenizer->kind(), "characters");
  }
  EXPECT_THROW(open_model(model_, {.tokenizer = "bytes"}), Error) << "256 tokens do not fit";
  EXPECT_THROW(open_tokenizer(model_.string()), Error) << "it has none";
  EXPECT_EQ(tokenizer_of_model(model_), nullptr);
  EXPECT_EQ(open_tokenizer("bytes")->vocab_size(), 256);
}

TEST_F(OpenModel, ATokenizerThatIsKnownNotToBeTheModelsIsRefused) {
  put_in_parts();
  put("tokenizer.json", characters);
  const TestFolder other;
  write_file_atomically(other / "vocab.json", std::string_view("{\"0\": \"b\", \"1\": \"a\"}"));
  const std::string own = (folder_ / "tokenizer.json").string(), swapped = (other / "vocab.json").string();
  EXPECT_EQ(open_model(folder_.path(), {.tokenizer = own}).tokenizer->encode("a")[0], 0);
  EXPECT_THROW(open_model(folder_.path(), {.tokenizer = swapped}), Error);
  EXPECT_EQ(
      open_model(folder_.path(), {.tokenizer = swapped, .any_tokenizer = true}).tokenizer->encode("a")[0], 1);
}

TEST_F(OpenModel, TheTokenBeforeATextIsTheOneThatTheModelNames) {
  std::string vocabulary;
  for (int byte = 0; byte < 256; ++byte) vocabulary += fmt::format("{} b'\\x{:02x}' 1\n", byte + 1, byte);
  const TokenizerPtr world = make_world_tokenizer(vocabulary);
  const std::string begin = "aviary.begin_token", bos = "tokenizer.ggml.add_bos_token";
  EXPECT_FALSE(begin_token_of({}, *world, "x")) << "this is not the vocabulary of the World models";
  EXPECT_EQ(begin_token_of({{begin, "end_of_text"}}, *world, "x"), 0);
  EXPECT_EQ(begin_token_of({{bos, "true"}}, *world, "x"), 0);
  EXPECT_FALSE(begin_token_of({{begin, "none"}, {bos, "true"}}, *world, "x"));
  EXPECT_FALSE(begin_token_of({{begin, "end_of_text"}}, *make_bytes_tokenizer(), "x")) << "it has none";
  EXPECT_THROW(begin_token_of({{begin, "yes"}}, *world, "x"), Error);
}

}  // namespace
}  // namespace aviary
