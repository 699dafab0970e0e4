#include "formats/folder.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/random.h"
#include "checkpoints/checkpoint.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "support/test_bytes.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

class Folder : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  // Writes tensors [begin, end) of the golden RWKV-4; returns their names for the index.
  void write_part(const std::string& name, size_t begin, size_t end) {
    std::vector<TensorEntry> part(original_.tensors().begin() + static_cast<int64_t>(begin),
                                  original_.tensors().begin() + static_cast<int64_t>(end));
    write_safetensors(folder_ / name, unchanged(part));
    for (const TensorEntry& tensor : part)
      map_ += (map_.empty() ? "\"" : ", \"") + tensor.name + "\": \"" + name + "\"";
  }
  void write_index(const std::string& map) {
    write("model.safetensors.index.json",
          "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {" + map + "}}");
  }
  void write_two_parts() {
    write_part("model-00001-of-00002.safetensors", 0, 20);
    write_part("model-00002-of-00002.safetensors", 20, original_.tensors().size());
    write_index(map_);
  }
  void expect_read() {
    const TensorFile file = read_tensor_file(folder_.path());
    EXPECT_EQ(file.tensors().size(), original_.tensors().size());
    for (const TensorEntry& tensor : original_.tensors()) {
      const TensorEntry* read = file.find(tensor.name);
      ASSERT_NE(read, nullptr) << tensor.name;
      EXPECT_EQ(to_doubles(*read), to_doubles(tensor)) << tensor.name;
    }
    EXPECT_EQ(load_checkpoint(folder_.path()).model->config().version, "rwkv4");
  }
  void expect_refused(std::string_view part) {
    try {
      read_tensor_file(folder_.path());
      ADD_FAILURE() << "expected a refusal with " << part;
    } catch (const Error& error) {
      const std::string answer = error.what();
      EXPECT_EQ(answer.find(folder_.path().string()), 0u) << answer;
      EXPECT_NE(answer.find(part), std::string::npos) << answer;
    }
  }

  const TestFolder folder_;
  const fs::path model_ = golden("rwkv-v4/model.safetensors");
  const TensorFile original_ = read_tensor_file(model_);
  std::string map_;
};

TEST_F(Folder, OfOneFileIsRead) {
  fs::copy_file(model_, folder_ / "model.safetensors");
  expect_read();
}

TEST_F(Folder, OfSeveralFilesIsRead) {
  write_two_parts();
  expect_read();
  EXPECT_EQ(static_cast<uintmax_t>(read_tensor_file(folder_.path()).file_bytes()),
            fs::file_size(folder_ / "model-00001-of-00002.safetensors") +
                fs::file_size(folder_ / "model-00002-of-00002.safetensors"));
}

TEST_F(Folder, OfPyTorchIsRead) {
  fs::copy_file(golden("rwkv-v4/model.pth"), folder_ / "pytorch_model.bin");
  expect_read();
}

TEST_F(Folder, OfSeveralFilesOfPyTorchIsRead) {
  const auto& tensors = original_.tensors();
  write_pth(folder_ / "pytorch_model-00001-of-00002.bin", unchanged(std::span(tensors).first(7)));
  write_pth(folder_ / "pytorch_model-00002-of-00002.bin", unchanged(std::span(tensors).subspan(7)));
  for (size_t i = 0; i < tensors.size(); ++i)
    map_ += (i ? ", \"" : "\"") + tensors[i].name + "\": \"pytorch_model-0000" + (i < 7 ? "1" : "2") +
            "-of-00002.bin\"";
  write("pytorch_model.bin.index.json", "{\"weight_map\": {" + map_ + "}}");
  expect_read();
}

TEST_F(Folder, WithoutAModelIsAnErrorThatSaysWhatIsExpected) {
  expect_refused("there is no model in this folder");
}

TEST_F(Folder, WithAModelOfAnotherNameSuggestsThatFile) {
  write("b.pth", "");
  expect_refused("did you mean " + (folder_ / "b.pth").string() + "?");
  write("a.gguf", "");
  write("notes.txt", "");
  expect_refused("did you mean " + (folder_ / "a.gguf").string() + " or one of 1 more?");
}

TEST_F(Folder, FilesOutsideOfItAreNotOpened) {
  for (std::string path : {"../secret", "/etc/passwd", "sub/../../secret", "..", ""}) {
    write_index("\"emb.weight\": \"" + path + "\"");
    expect_refused("which is not inside the folder");
  }
}

TEST_F(Folder, AnInvalidIndexIsRejected) {
  for (std::string text :
       {"{", "[]", "{}", "{\"weight_map\": []}", "{\"weight_map\": {}}", "{\"weight_map\": {\"a\": 3}}"}) {
    write("model.safetensors.index.json", text);
    expect_refused("model.safetensors.index.json: ");
  }
}

TEST_F(Folder, AnIndexThatDisagreesWithTheFilesIsRejected) {
  write_two_parts();
  write_index(map_ + ", \"x\": \"model-00001-of-00002.safetensors\"");
  expect_refused("tensor 'x' is not in 'model-00001-of-00002.safetensors'");
  write_index(map_.substr(map_.find(',') + 1));
  expect_refused("but model.safetensors.index.json says that there is none");
  fs::remove(folder_ / "model-00002-of-00002.safetensors");
  write_index(map_);
  expect_refused("model-00002-of-00002.safetensors");
}

TEST_F(Folder, ATensorInTwoFilesIsRejected) {
  write_part("a.safetensors", 0, original_.tensors().size());
  const std::string map = map_;
  write_part("b.safetensors", 0, 1);
  write_index(map + ", \"y\": \"b.safetensors\"");
  expect_refused("says that it is in 'a.safetensors'");
}

TEST_F(Folder, AnIndexOfRandomBytesIsReadOrRejected) {
  write_two_parts();
  const std::string index = read_file(folder_ / "model.safetensors.index.json", 1 << 20);
  Random random(3);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string damaged = index;
    damaged[static_cast<size_t>(random.below(std::ssize(damaged)))] = static_cast<char>(random.below(256));
    write("model.safetensors.index.json", damaged);
    try {
      read_tensor_file(folder_.path());
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 200);
}

TEST_F(Folder, SharedEmbeddingsAreAlsoTheHead) {
  std::vector<TensorEntry> tensors;
  for (const TensorEntry& tensor : original_.tensors())
    if (tensor.name != "head.weight") tensors.push_back(tensor);
  write_safetensors(folder_ / "model.safetensors", unchanged(tensors));
  EXPECT_THROW(load_checkpoint(folder_.path()), Error);
  write("config.json", "{\"tie_word_embeddings\": true}");
  const TensorFile file = read_tensor_file(folder_.path());
  ASSERT_NE(file.find("head.weight"), nullptr);
  EXPECT_EQ(to_doubles(*file.find("head.weight")), to_doubles(*original_.find("emb.weight")));
  load_checkpoint(folder_.path());
}

TEST_F(Folder, AConfigOfAnotherModelIsRejected) {
  std::vector<TensorEntry> tensors(original_.tensors());
  for (TensorEntry& tensor : tensors) tensor.name = "rwkv." + tensor.name;
  write_safetensors(folder_ / "model.safetensors", unchanged(tensors));
  write("config.json", "{\"layer_norm_epsilon\": 1e-05, \"vocab_size\": 23}");
  read_tensor_file(folder_.path());
  write("config.json", "{\"layer_norm_epsilon\": 1e-06}");
  expect_refused("config.json: layer_norm_epsilon is '1e-06', expected 1e-05");
  write("config.json", "{\"layer_norm_epsilon\": \"much\"}");
  expect_refused("layer_norm_epsilon is '\"much\"'");
  write("config.json", "nonsense");
  expect_refused("config.json: not valid JSON");
  write("config.json", "[]");
  expect_refused("config.json: not a JSON object");
  write("config.json", std::string(1'000'000, '['));
  expect_refused("config.json: the JSON is nested more than 16 deep");
}

TEST_F(Folder, AConfigThatContradictsTheTensorsIsRejected) {
  fs::copy_file(model_, folder_ / "model.safetensors");
  write("config.json",
        "{\"hidden_size\": 16, \"vocab_size\": 23, \"num_hidden_layers\": 2, \"attention_hidden_size\": 16, "
        "\"layer_norm_epsilon\": 1e-5, \"rescale_every\": 6, \"intermediate_size\": null}");
  expect_read();
  EXPECT_TRUE(read_tensor_file(folder_.path()).notes().empty());
  for (const char* key :
       {"hidden_size", "vocab_size", "num_hidden_layers", "attention_hidden_size", "intermediate_size"}) {
    write("config.json", fmt::format("{{\"{}\": 7}}", key));
    expect_refused(fmt::format("config.json: {} is '7', but ", key));
  }
  for (const char* key :
       {"layer_norm_epsilon", "layer_norm_eps", "norm_eps", "head_size_divisor", "logit_scale"}) {
    write("config.json", fmt::format("{{\"{}\": 0.5}}", key));
    expect_refused(fmt::format("config.json: {} is '0.5', expected ", key));
  }
  write("config.json", "{\"tie_word_embeddings\": true}");
  expect_refused("an output matrix that is not the embedding");
}

TEST_F(Folder, UnknownKeysOfAConfigAreTold) {
  fs::copy_file(model_, folder_ / "model.safetensors");
  write("config.json", "{\"model_type\": \"rwkv\", \"residual_scale\": 2, \"nothing\": null}");
  const TensorFile file = read_tensor_file(folder_.path());
  ASSERT_EQ(file.notes().size(), 1u);
  EXPECT_NE(file.notes()[0].find("does not know 'residual_scale' and leaves it out"), std::string::npos)
      << file.notes()[0];
}

TEST_F(Folder, FlashLinearAttentionWithOtherHeadsOrActivationIsRejected) {
  const TensorEntry pair{
      "model.layers.0.attn.w_lora.lora.0.weight", Dtype::f32, {1, 1}, original_.tensors()[0].data.first(4)};
  write_safetensors(folder_ / "model.safetensors", unchanged({&pair, 1}));
  for (auto [config, answer] :
       {std::pair{"{\"head_dim\": 32}", "head_dim is '32', expected 64"},
        std::pair{"{\"norm_eps\": 1e-6}", "norm_eps is '1e-06', expected 1e-05"},
        std::pair{"{\"hidden_act\": \"gelu\"}", "hidden_act is '\"gelu\"', expected sqrelu"}}) {
    write("config.json", config);
    expect_refused(answer);
  }
  write("config.json", "{\"head_dim\": 64, \"norm_eps\": 1e-5, \"hidden_act\": \"sqrelu\", \"attn\": null}");
  EXPECT_EQ(read_tensor_file(folder_.path()).dialect(), "fla");
}

// All single bytes, which a vocabulary must contain.
std::string small_vocabulary() {
  std::string text;
  for (int i = 0; i < 256; ++i) text += std::to_string(i + 1) + fmt::format(" b'\\x{:02x}' 1\n", i);
  return text;
}

// The model with a vocabulary of 300 tokens.
void write_larger_model(const fs::path& path, std::vector<TensorEntry> tensors) {
  const std::string larger(300 * 16 * 4, '\0');
  for (TensorEntry& tensor : tensors)
    if (tensor.name == "emb.weight" || tensor.name == "head.weight") {
      tensor.shape = {300, 16};
      tensor.data = std::as_bytes(std::span(larger));
    }
  write_safetensors(path, unchanged(tensors));
}

TEST_F(Folder, AWorldVocabularyInTheFolderIsTheTokenizer) {
  write_larger_model(folder_ / "model.safetensors", {original_.tensors().begin(), original_.tensors().end()});
  write("README.txt", "this is a model\n");
  write("empty.txt", " ");
  EXPECT_EQ(load_checkpoint(folder_.path()).tokenizer, nullptr);
  write("other.txt", small_vocabulary());
  const Checkpoint checkpoint = load_checkpoint(folder_.path());
  ASSERT_NE(checkpoint.tokenizer, nullptr);
  EXPECT_EQ(checkpoint.tokenizer->kind(), "world");
  EXPECT_EQ(checkpoint.tokenizer->vocab_size(), 257);
  write("rwkv_vocab_v20230424.txt", small_vocabulary() + "257 'ab' 2\n");
  EXPECT_EQ(load_checkpoint(folder_.path()).tokenizer->vocab_size(), 258);
  write("rwkv_vocab_v20230424.txt", "1 'a' 2\n");
  expect_refused("rwkv_vocab_v20230424.txt: not a vocabulary");
}

TEST_F(Folder, ItsTokenizerConfigSaysWhetherTextsBeginWithAToken) {
  write_larger_model(folder_ / "model.safetensors", {original_.tensors().begin(), original_.tensors().end()});
  write("rwkv_vocab_v20230424.txt", small_vocabulary());
  const std::string said = "aviary.begin_token", none;
  const std::tuple<std::string, std::string, std::string> cases[] = {
      // content, begin_token, note
      {R"({})", none, none},
      {R"({"add_bos_token": null, "add_eos_token": false})", none, none},
      {R"({"add_bos_token": false, "bos_token": "<s>"})", "none", none},
      {R"({"add_bos_token": true, "bos_token": "<s>"})", "end_of_text", none},
      {R"({"add_bos_token": true, "bos_token": {"content": "<|endoftext|>"}})", "end_of_text", none},
      {R"({"add_bos_token": true, "bos_token": "<b>", "added_tokens_decoder": {"0": {"content": "<b>"}}})",
       "end_of_text", none},
      {R"({"add_bos_token": true, "bos_token": "<s>", "added_tokens_decoder": {"9": {"content": "<s>"}}})",
       none, "add_bos_token asks for the token '<s>'"},
      {R"({"add_bos_token": true, "bos_token": "<b>"})", none, "add_bos_token"},
      {R"({"add_bos_token": true, "bos_token": 3})", none, "add_bos_token"},
      {R"({"add_eos_token": true})", none, "add_eos_token"}};
  for (const auto& [content, begin, note] : cases) {
    write("tokenizer_config.json", content);
    const Checkpoint checkpoint = load_checkpoint(folder_.path());
    EXPECT_EQ(checkpoint.metadata.contains(said) ? checkpoint.metadata.at(said) : none, begin) << content;
    EXPECT_EQ(begin_token_of(checkpoint.metadata, *checkpoint.tokenizer, ""),
              begin == "end_of_text" ? std::optional<int32_t>(0) : std::nullopt)
        << content;
    ASSERT_EQ(checkpoint.notes.size(), note.empty() ? 0u : 1u) << content;
    for (const std::string& told : checkpoint.notes) EXPECT_NE(told.find(note), std::string::npos) << told;
  }
  write("tokenizer_config.json", "[]");
  expect_refused("tokenizer_config.json");
  fs::remove(folder_ / "rwkv_vocab_v20230424.txt");  // the vocabulary is not known
  write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": "<s>"})");
  EXPECT_EQ(load_checkpoint(folder_.path()).notes.size(), 1u);
}

TEST_F(Folder, ATokenizerJsonInTheFolderIsTheTokenizer) {
  fs::copy_file(model_, folder_ / "model.safetensors");
  write("tokenizer.json", "{\"what\": \"nobody knows\"}");
  EXPECT_EQ(load_checkpoint(folder_.path()).tokenizer, nullptr);
  write("tokenizer.json", "{\"0\": \"a\", \"1\": \"b\"}");
  const Checkpoint checkpoint = load_checkpoint(folder_.path());
  ASSERT_NE(checkpoint.tokenizer, nullptr);
  EXPECT_TRUE(checkpoint.notes.empty());
  EXPECT_EQ(checkpoint.tokenizer->encode("ab"), (std::vector<int32_t>{0, 1}));
}

TEST_F(Folder, ATokenizerJsonThatCannotBeReadIsTold) {
  fs::copy_file(model_, folder_ / "model.safetensors");
  for (const char* broken : {"", "{\"model\": {\"type\": \"BPE\"", "{\"what\": \"nobody knows\"}"}) {
    write("tokenizer.json", broken);
    const TensorFile file = read_tensor_file(folder_.path());
    ASSERT_EQ(file.notes().size(), 1u) << broken;
    EXPECT_NE(file.notes()[0].find("the folder's tokenizer.json is not used: "), std::string::npos)
        << file.notes()[0];
  }
}

}  // namespace
}  // namespace aviary
