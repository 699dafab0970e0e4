#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/gguf_writer.h"
#include "formats/gguf.h"
#include "models/registry.h"
#include "models/run.h"
#include "numbers/encoding.h"
#include "support/test_folder.h"
#include "support/test_gguf.h"
#include "text/vocabulary_trainer.h"

namespace aviary {
namespace {

TensorFile original(const std::string& folder) {
  return read_tensor_file(golden(folder + "/model.safetensors"));
}

// A golden model of width 16, widened so that its rows are whole blocks of every type, with random numbers.
class WideModel {
 public:
  explicit WideModel(const std::string& folder) : file_(original(folder)) {
    constexpr int64_t width = 256;
    Random random(7);
    for (const TensorEntry& tensor : file_.tensors()) {
      TensorEntry& wide = tensors_.emplace_back(tensor);
      const bool heads = tensor.shape == std::vector<int64_t>{2, 8};
      for (int64_t& size : wide.shape)
        if (size == 16 || (tensor.name.find(".ffn.") != std::string::npos && size != 1))
          size = width;
        else if (heads && size == 2)
          size = width / 8;
      int64_t count = 1;
      for (int64_t size : wide.shape) count *= size;
      std::vector<float>& numbers = numbers_.emplace_back(static_cast<size_t>(count));
      for (float& x : numbers) x = static_cast<float>(random.normal());
      wide.data = std::as_bytes(std::span(numbers));
    }
  }

  std::vector<StoredTensor> stored_as(Dtype type) const {
    std::vector<StoredTensor> stored = unchanged(tensors_);
    for (StoredTensor& tensor : stored) tensor.type = type;
    return stored;
  }

 private:
  TensorFile file_;
  std::vector<TensorEntry> tensors_;
  std::vector<std::vector<float>> numbers_;
};

// The placeholder tensors of RWKV-7 in llama.cpp's files.
bool is_filler(const std::string& name) {
  return name == "blocks.0.att.v0" || name == "blocks.0.att.v1" || name == "blocks.0.att.v2";
}

void expect_same_tensors(const TensorFile& file, const TensorFile& expected) {
  size_t count = 0;
  for (const TensorEntry& tensor : expected.tensors()) {
    if (is_filler(tensor.name) && file.dialect() == "llama.cpp") continue;
    ++count;
    const TensorEntry* found = file.find(tensor.name);
    ASSERT_NE(found, nullptr) << tensor.name;
    EXPECT_EQ(found->dtype, tensor.dtype) << tensor.name;
    EXPECT_EQ(found->shape, tensor.shape) << tensor.name;
    EXPECT_EQ(as_text(found->data), as_text(tensor.data)) << tensor.name;
  }
  EXPECT_EQ(file.tensors().size(), count);
}

TEST(GgufWriter, TheRoundTripGivesTheSameModel) {
  TestFolder folder;
  for (std::string version : {"rwkv-v7", "rwkv-v6", "rwkv-v4"}) {
    const TensorFile file = original(version);
    const ModelConfig config = config_of(file, version);
    write_gguf(folder / "a.gguf", config, unchanged(file.tensors()));
    const TensorFile again = read_tensor_file(folder / "a.gguf");
    EXPECT_EQ(again.format(), "gguf");
    EXPECT_EQ(again.dialect(), version == "rwkv-v4" ? "" : "llama.cpp");
    expect_same_tensors(again, file);
    write_gguf(folder / "b.gguf", config, unchanged(again.tensors()), again.metadata());
    EXPECT_TRUE(read_file(folder / "a.gguf", 1 << 24) == read_file(folder / "b.gguf", 1 << 24)) << version;
  }
}

TEST(GgufWriter, TheModelAndItsTokenizerSurviveTheRoundTrip) {
  TestFolder folder;
  const Checkpoint before = load_checkpoint(golden("rwkv-v7/model.safetensors"));
  const TensorFile file = original("rwkv-v7");
  ModelConfig config = before.model->config();
  config.ctx_len = 32;
  const std::map<std::string, std::string> metadata = {{"aviary.step", "7"}, {"rwkv7.block_count", "text"}};
  write_gguf(folder / "a.gguf", config, unchanged(file.tensors()), metadata);
  const Checkpoint after = load_checkpoint(folder / "a.gguf");
  EXPECT_EQ(after.model->config(), config);
  EXPECT_EQ(after.tokenizer, nullptr);
  EXPECT_EQ(after.metadata.at("aviary.step"), "7");
  EXPECT_EQ(after.metadata.at("rwkv7.block_count"), "2");
  for (const Parameter& parameter : before.model->parameters()) {
    if (is_filler(parameter.spec.name)) continue;
    const Tensor& a = parameter.weight.value();
    const Tensor& b = after.model->parameters().find(parameter.spec.name)->weight.value();
    EXPECT_TRUE(std::equal(a.as<float>(), a.as<float>() + a.count(), b.as<float>())) << parameter.spec.name;
  }
}

// Fused, reordered and transposed for llama.cpp, and back: the result of the model is the same.
TEST(GgufWriter, AnRwkv6PredictsTheSameAfterTheRoundTrip) {
  TestFolder folder;
  auto logits = [](Model& model) {
    Runner runner(model);
    State state = runner.new_state();
    const std::vector<int32_t> tokens = {3, 1, 4, 1, 5, 9, 2, 6};
    return to_host(runner.all_logits(tokens, Sequences::uniform(1, 8), state));
  };
  const Checkpoint before = load_checkpoint(golden("rwkv-v6/model.safetensors"));
  write_gguf(folder / "a.gguf", before.model->config(), unchanged(original("rwkv-v6").tensors()));
  const Checkpoint after = load_checkpoint(folder / "a.gguf");
  EXPECT_EQ(after.model->config(), before.model->config());
  EXPECT_EQ(logits(*after.model), logits(*before.model));
  // When opened for inference, its low-rank matrices stay transposed.
  EXPECT_EQ(logits(*open_checkpoint(folder / "a.gguf").model), logits(*before.model));
}

TEST(GgufWriter, NaNIsFoundInMatricesThatStayTransposed) {
  TestFolder folder;
  const Checkpoint model = load_checkpoint(golden("rwkv-v7/model.safetensors"));
  const Tensor& pair = model.model->parameters().find("blocks.0.att.w1")->weight.value();
  pair.as<float>()[7] = NAN;  // row 0
  save_checkpoint(folder / "a.safetensors", *model.model, nullptr);
  write_gguf(folder / "a.gguf", model.model->config(),
             unchanged(read_tensor_file(folder / "a.safetensors").tensors()));
  try {
    open_checkpoint(folder / "a.gguf");
    FAIL() << "it was opened";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("blocks.0.att.w1 holds nan at element 7"), std::string::npos)
        << error.what();
  }
}

struct TinyModel {
  TensorFile file = original("rwkv-v4");
  ModelConfig config = config_of(file, "v4");
  std::vector<float> zeros;

  // The golden model with another vocabulary size.
  std::vector<StoredTensor> with_vocabulary(int64_t size) {
    config.vocab_size = size;
    zeros.assign(static_cast<size_t>(size * config.n_embd), 0.f);
    std::vector<StoredTensor> tensors = unchanged(file.tensors());
    for (StoredTensor& tensor : tensors)
      if (tensor.source.name == "emb.weight" || tensor.source.name == "head.weight") {
        tensor.source.shape = {size, config.n_embd};
        tensor.source.data = std::as_bytes(std::span(zeros));
      }
    return tensors;
  }
};

TEST(GgufWriter, WritesVocabularyHashAndChatTemplate) {
  TestFolder folder;
  TinyModel model;
  const TokenizerPtr tokenizer = make_world_tokenizer(
      train_vocabulary("the heron\n\nand the heron's th\u00e9 \\ the\n\n" + std::string(100, 'x'), 300));
  const std::vector<StoredTensor> tensors = model.with_vocabulary(tokenizer->vocab_size() + 3);
  const std::map<std::string, std::string> metadata = {{"tokenizer.chat_template", "{{ a }}"},
                                                       {"general.name", "heron"}};
  write_gguf(folder / "a.gguf", model.config, tensors, metadata, tokenizer.get());
  const Checkpoint after = load_checkpoint(folder / "a.gguf");
  ASSERT_NE(after.tokenizer, nullptr);
  EXPECT_EQ(after.tokenizer->hash(), tokenizer->hash());
  EXPECT_EQ(after.metadata.at("tokenizer.chat_template"), "{{ a }}");
  EXPECT_EQ(after.metadata.at("general.name"), "heron");
  EXPECT_EQ(after.metadata.at("tokenizer.ggml.eos_token_id"), "0");
  EXPECT_EQ(tokenizer->bytes_of(std::stoi(after.metadata.at("tokenizer.ggml.eot_token_id"))), "\n\n");
  EXPECT_THROW(write_gguf(folder / "b", model.config, model.with_vocabulary(200), {}, tokenizer.get()),
               Error);

  const TokenizerPtr bytes = make_bytes_tokenizer();
  write_gguf(folder / "b.gguf", model.config, model.with_vocabulary(256),
             {{"tokenizer.chat_template", "world"}}, bytes.get());
  const Checkpoint of_bytes = load_checkpoint(folder / "b.gguf");
  EXPECT_EQ(of_bytes.tokenizer->kind(), "bytes");
  EXPECT_EQ(of_bytes.metadata.at("tokenizer.chat_template"), "rwkv-world");  // llama.cpp's name
  const TokenizerPtr characters = make_characters_tokenizer(R"({"0": "a", "1": "b"})");
  write_gguf(folder / "c.gguf", model.config, model.with_vocabulary(2), {}, characters.get());
  EXPECT_EQ(load_checkpoint(folder / "c.gguf").tokenizer->hash(), characters->hash());
}

TEST(GgufWriter, ThePublishedWorldVocabularyGetsItsChatTemplate) {
  const char* shared = std::getenv("AVIARY_SHARED");
  if (!shared) GTEST_SKIP() << "set AVIARY_SHARED to the folder with the vocabularies of others";
  TestFolder folder;
  TinyModel model;
  const TokenizerPtr tokenizer = make_world_tokenizer(
      read_file(std::filesystem::path(shared) / "data/rwkv_vocab_v20230424.txt", 1 << 21));
  const std::vector<StoredTensor> tensors = model.with_vocabulary(65536);
  write_gguf(folder / "a.gguf", model.config, tensors, {}, tokenizer.get());
  const Checkpoint after = load_checkpoint(folder / "a.gguf");
  EXPECT_EQ(after.tokenizer->hash(), tokenizer->hash());
  EXPECT_EQ(after.metadata.at("tokenizer.chat_template"), "rwkv-world");
  EXPECT_EQ(after.metadata.at("tokenizer.ggml.eot_token_id"), "261");
}

TEST(GgufWriter, StoresMatricesAsRequestedAndOthersAsLlamaCppRequires) {
  TestFolder folder;
  const WideModel model("rwkv-v7");
  const ModelConfig config{.version = "rwkv7",
                           .recipe = "",
                           .n_layer = 2,
                           .n_embd = 256,
                           .vocab_size = 23,
                           .head_size = 8,
                           .dim_ffn = 256,
                           .rank_decay = 32,
                           .rank_a = 32,
                           .rank_v = 32,
                           .rank_gate = 32};
  const std::pair<Dtype, const char*> types[] = {{Dtype::f32, "0"},  {Dtype::f16, "1"},  {Dtype::bf16, "32"},
                                                 {Dtype::q8_0, "7"}, {Dtype::q5_1, "9"}, {Dtype::q5_0, "8"},
                                                 {Dtype::q4_1, "3"}, {Dtype::q4_0, "2"}};
  for (auto [type, file_type] : types) {
    write_gguf(folder / "a.gguf", config, model.stored_as(type));
    const TensorFile again = read_tensor_file(folder / "a.gguf");
    EXPECT_EQ(again.metadata().at("general.file_type"), file_type) << name_of(type);
    auto type_of = [&](const char* name) { return again.find(name)->dtype; };
    for (const char* name :
         {"emb.weight", "head.weight", "blocks.1.att.key.weight", "blocks.0.ffn.value.weight"})
      EXPECT_EQ(type_of(name), type) << name;
    for (const char* name :
         {"blocks.0.ln0.weight", "blocks.1.ln1.bias", "blocks.1.att.x_r", "blocks.1.att.w0",
          "blocks.1.att.w1", "blocks.1.att.r_k", "blocks.1.ffn.x_k", "ln_out.weight"})
      EXPECT_EQ(type_of(name), Dtype::f32) << name;
    EXPECT_EQ(type_of("blocks.1.att.a1"), is_quantized(type) ? Dtype::f16 : type);
    EXPECT_NO_THROW(load_checkpoint(folder / "a.gguf"));
  }
}

TEST(GgufWriter, UndoesTheRescalingOfRwkv6ExactlyInEveryType) {
  TestFolder folder;
  const TensorFile file = original("rwkv-v6");
  const WideModel model("rwkv-v6");
  for (Dtype type : weight_types) {
    write_gguf(folder / "a.gguf", config_of(file, "v6"), model.stored_as(type));
    const std::string plain = read_file(folder / "a.gguf", 1 << 24);
    // The same file, marked as divided by 2 after each layer.
    const std::string key = gguf_text("rwkv6.rescale_every_n_layers") + le(4u);
    std::string rescaled = plain;
    rescaled[plain.find(key) + key.size()] = 1;
    const std::vector<std::byte> bytes = exact_copy(plain), rescaled_bytes = exact_copy(rescaled);
    const TensorTable a = parse_tensors(bytes, "a"), b = parse_tensors(rescaled_bytes, "b");
    ASSERT_EQ(a.tensors.size(), b.tensors.size());
    int changed = 0;
    for (size_t i = 0; i < a.tensors.size(); ++i) {
      const std::string& name = a.tensors[i].name;
      std::vector<double> expected = to_doubles(a.tensors[i]);
      if (name == "blocks.1.att.output.weight" || name == "blocks.1.ffn.value.weight") {
        for (double& x : expected) x *= 2;
        ++changed;
      }
      EXPECT_TRUE(to_doubles(b.tensors[i]) == expected) << name_of(type) << " " << name;
    }
    EXPECT_EQ(changed, 2) << name_of(type);
  }
}

TEST(GgufWriter, AFileThatAsksForAnotherEpsilonIsNotOpened) {
  TestFolder folder;
  for (const std::string version : {"6", "7"}) {
    const TensorFile file = original("rwkv-v" + version);
    write_gguf(folder / "a.gguf", config_of(file, ""), unchanged(file.tensors()));
    const std::string key = gguf_text("rwkv" + version + ".attention.layer_norm_epsilon") + le(6u);
    std::string other = read_file(folder / "a.gguf", 1 << 24);
    other.replace(other.find(key) + key.size(), 4, le(1e-2f));
    EXPECT_NE(verdict(other).find("layer_norm_epsilon is '0.01', expected 1e-05"), std::string::npos)
        << verdict(other);
  }
}

TEST(GgufWriter, WhatLlamaCppCannotSayIsWrittenUnderOurOwnArchitecture) {
  TestFolder folder;
  const TensorFile file = original("rwkv-v7");
  ModelConfig config = config_of(file, "v7");
  config.options.set("token_shift", "4,2,1");
  write_gguf(folder / "a.gguf", config, unchanged(file.tensors()));
  const TensorFile again = read_tensor_file(folder / "a.gguf");
  EXPECT_EQ(again.metadata().at("general.architecture"), "aviary");
  EXPECT_EQ(config_of(again, "a"), config);
  expect_same_tensors(again, file);
}

TEST(GgufWriter, ReportsTensorsThatLlamaCppNeeds) {
  TestFolder folder;
  const TensorFile file = original("rwkv-v7");
  const ModelConfig config = config_of(file, "v7");
  auto refused = [&](auto change, std::string_view part) {
    std::vector<StoredTensor> tensors = unchanged(file.tensors());
    change(tensors);
    try {
      write_gguf(folder / "a", config, tensors);
      ADD_FAILURE() << "written: " << part;
    } catch (const Error& error) {
      EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "a"));
  };
  using Tensors = std::vector<StoredTensor>;
  refused([](Tensors& t) { std::erase_if(t, [](auto& x) { return x.source.name == "blocks.1.att.v1"; }); },
          "the tensor blocks.1.att.v1 is missing; llama.cpp loads no rwkv7 without it");
  refused([](Tensors& t) { t[0].source.name = "blocks.0.att.time_state"; }, "is missing");
  refused(
      [](Tensors& t) {
        t.push_back(t[0]);
        t.back().source.name = "blocks.0.ffn.s_emb";
      },
      "'blocks.0.ffn.s_emb' has no place in a GGUF file of rwkv7");
  refused([](Tensors& t) { t.push_back(t[0]); }, "two tensors are named");
  refused([](Tensors& t) { t[0].source.shape.push_back(2); }, "its shape needs");
  refused(
      [](Tensors& t) {
        for (StoredTensor& tensor : t)
          if (tensor.source.name == "emb.weight") tensor.type = Dtype::q4_k;
      },
      "has rows of 16 numbers, expected a multiple of 256 for q4_k");
  refused(
      [](Tensors& t) {
        for (StoredTensor& tensor : t)
          if (tensor.source.name == "emb.weight") tensor.type = Dtype::boolean;
      },
      "would be stored as bool, which GGUF does not have");
}

// ---- Malicious files

std::string small_file() {
  TestFolder folder;
  const std::unique_ptr<Model> model = create_model({.version = "rwkv7",
                                                     .recipe = "",
                                                     .n_layer = 1,
                                                     .n_embd = 8,
                                                     .vocab_size = 16,
                                                     .head_size = 8,
                                                     .dim_ffn = 8,
                                                     .rank_decay = 2,
                                                     .rank_a = 2,
                                                     .rank_v = 2,
                                                     .rank_gate = 2});
  save_checkpoint(folder / "a", *model, nullptr);
  const TensorFile file = read_tensor_file(folder / "a");
  write_gguf(folder / "b", model->config(), unchanged(file.tensors()), {{"note", "text"}});
  return read_file(folder / "b", 1 << 20);
}

// Reads the file or throws Error; anything else is a crash.
bool is_read(const std::string& text) {
  const std::vector<std::byte> bytes = exact_copy(text);
  try {
    double sum = 0;
    for (const TensorEntry& tensor : parse_tensors(bytes, "file").tensors)
      for (double value : to_doubles(tensor)) sum += value;
    volatile double kept = sum;
    static_cast<void>(kept);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// The end of the tensor descriptions.
size_t head_of(const std::string& file) { return file.rfind("blk.0.time_mix_lerp_fused.weight") + 80; }

TEST(GgufWriter, HugeNumbersAnywhereInTheHeaderAreReadOrRejected) {
  const std::string file = small_file();
  ASSERT_TRUE(is_read(file));
  int refused = 0;
  for (size_t at = 4; at + 8 < head_of(file); ++at)
    for (uint64_t huge : {~uint64_t{0}, uint64_t{1} << (at % 2 == 0 ? 63 : 40)}) {
      std::string damaged = file;
      damaged.replace(at, 8, le(huge));
      refused += !is_read(damaged);
    }
  EXPECT_GT(refused, 1000);
}

TEST(GgufWriter, AFileTruncatedAnywhereIsRejected) {
  const std::string file = small_file();
  for (size_t i = 0; i < 64; ++i) EXPECT_FALSE(is_read(file.substr(0, file.size() * i / 64))) << i;
}

TEST(GgufWriter, DamagedFilesAreReadOrRejected) {
  const std::string file = small_file();
  Random random(31);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = file;
    const size_t range = round % 2 == 0 ? file.size() : head_of(file);
    for (int64_t flips = 1 + random.below(4); flips > 0; --flips)
      damaged[static_cast<size_t>(random.below(static_cast<int64_t>(range)))] ^=
          static_cast<char>(1 << random.below(8));
    refused += !is_read(damaged);
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace aviary
