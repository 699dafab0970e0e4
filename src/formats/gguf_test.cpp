#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/difference.h"
#include "base/random.h"
#include "checkpoints/checkpoint.h"
#include "models/run.h"
#include "support/test_gguf.h"

namespace aviary {
namespace {

const std::string six_floats = le(1.f) + le(2.f) + le(3.f) + le(4.f) + le(5.f) + le(6.f);

void expect_gguf_refused(const std::string& text, std::string_view part) {
  const std::string answer = verdict(text);
  EXPECT_NE(answer.find(part), std::string::npos) << answer;
}

std::map<std::string, std::string> metadata_of(const std::vector<std::string>& keys) {
  const std::vector<std::byte> bytes = exact_copy(gguf_of(keys, {}, ""));
  return parse_tensors(bytes, "file").metadata;
}

TEST(Gguf, ReadsTensorsWithTheirSizesSlowestFirst) {
  for (uint32_t version : {2u, 3u}) {
    const std::vector<std::byte> bytes =
        exact_copy(gguf_of({}, {{"b", {3, 2}, 0, 32}, {"a", {2}, 1, 0}},
                           le(0x42003c00) + std::string(28, 0) + six_floats, version));
    const TensorTable table = parse_tensors(bytes, "file");
    EXPECT_EQ(table.format, "gguf");
    EXPECT_EQ(table.dialect, "");
    ASSERT_EQ(table.tensors.size(), 2u);
    EXPECT_EQ(table.tensors[0].name, "b");
    EXPECT_EQ(table.tensors[0].shape, (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(to_doubles(table.tensors[0]), (std::vector<double>{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(to_doubles(table.tensors[1]), (std::vector<double>{1, 3}));
  }
}

TEST(Gguf, UsesTheDataInPlace) {
  const std::vector<std::byte> bytes = exact_copy(gguf_of({}, {{}}, six_floats));
  const TensorTable table = parse_tensors(bytes, "file");
  EXPECT_EQ(table.tensors[0].data.data(), &bytes[bytes.size() - 24]);
  EXPECT_TRUE(table.buffers.empty());
}

TEST(Gguf, ReadsAllSupportedTypesOfGgml) {
  const std::pair<uint32_t, Dtype> types[] = {
      {0, Dtype::f32},   {1, Dtype::f16},   {2, Dtype::q4_0}, {3, Dtype::q4_1},
      {6, Dtype::q5_0},  {7, Dtype::q5_1},  {8, Dtype::q8_0}, {12, Dtype::q4_k},
      {13, Dtype::q5_k}, {14, Dtype::q6_k}, {24, Dtype::i8},  {25, Dtype::i16},
      {26, Dtype::i32},  {27, Dtype::i64},  {28, Dtype::f64}, {30, Dtype::bf16},
  };
  for (auto [id, dtype] : types) {
    const std::string data(static_cast<size_t>(bytes_of(dtype, 256)), '\0');
    const std::vector<std::byte> bytes = exact_copy(gguf_of({}, {{"x", {256}, id, 0}}, data));
    EXPECT_EQ(parse_tensors(bytes, "file").tensors[0].dtype, dtype) << id;
    expect_gguf_refused(gguf_of({}, {{"x", {256}, id, 0}}, data.substr(1)), "it is cut short");
  }
  expect_gguf_refused(gguf_of({}, {{"x", {32}, 10, 0}}, ""),
                      "tensor 'x' is stored as Q2_K, which is not supported");
  expect_gguf_refused(gguf_of({}, {{"x", {32}, 4, 0}}, ""), "'x' is of type 4, which ggml did not have");
}

TEST(Gguf, ScalarsAndStringsBecomeMetadata) {
  const auto metadata = metadata_of({
      gguf_key("u8", 0, le(uint8_t{255})),
      gguf_key("i8", 1, le(int8_t{-1})),
      gguf_key("u16", 2, le(uint16_t{65535})),
      gguf_key("i16", 3, le(int16_t{-2})),
      gguf_key("u32", 4, le(uint32_t{7})),
      gguf_key("i32", 5, le(int32_t{-7})),
      gguf_key("f32", 6, le(1e-5f)),
      gguf_key("bool", 7, le(uint8_t{1})),
      gguf_text_key("text", "a\nb"),
      gguf_key("array", 9, gguf_array(0, 3, "abc")),
      gguf_key("nested", 9, gguf_array(9, 2, gguf_array(8, 1, gguf_text("x")) + gguf_array(11, 1, le(1ull)))),
      gguf_key("u64", 10, le(~0ull)),
      gguf_key("i64", 11, le(int64_t{-3})),
      gguf_key("f64", 12, le(0.5)),
  });
  const std::map<std::string, std::string> expected = {
      {"u8", "255"}, {"i8", "-1"},     {"u16", "65535"}, {"i16", "-2"},    {"u32", "7"},
      {"i32", "-7"}, {"f32", "1e-05"}, {"bool", "true"}, {"text", "a\nb"}, {"u64", "18446744073709551615"},
      {"i64", "-3"}, {"f64", "0.5"},
  };
  EXPECT_EQ(metadata, expected);
}

TEST(Gguf, AnArrayOfTheArchitectureThatIsNotKnownIsTold) {
  const std::vector<std::byte> bytes = exact_copy(gguf_of(
      {gguf_text_key("general.architecture", "aviary"),
       gguf_key("aviary.feed_forward_length", 9, gguf_array(4, 1, le(7u))),
       gguf_key("aviary.scales", 9, gguf_array(4, 1, le(7u))), gguf_key("other", 9, gguf_array(0, 1, "a"))},
      {}, ""));
  const TensorTable table = parse_tensors(bytes, "file");
  ASSERT_EQ(table.notes.size(), 1u);
  EXPECT_NE(table.notes[0].find("the key 'aviary.scales', an array"), std::string::npos) << table.notes[0];
}

TEST(Gguf, RejectsOtherVersionsAndPartsOfModels) {
  expect_gguf_refused(gguf_of({}, {}, "", 1), "of version 1, expected 2 or 3");
  expect_gguf_refused(gguf_of({}, {}, "", 4), "of version 4, expected 2 or 3");
  expect_gguf_refused(gguf_of({}, {}, "", 0x03000000), "big-endian, which is not supported");
  expect_gguf_refused(gguf_of({gguf_key("split.count", 2, le(uint16_t{3}))}, {}, ""),
                      "one of 3 parts of a model");
}

TEST(Gguf, RejectsTensorsThatDoNotFitIntoTheFile) {
  auto one = [](TestGgufTensor tensor) { return gguf_of({}, {tensor}, six_floats); };
  EXPECT_EQ(verdict(one({})), "read");
  expect_gguf_refused(one({.sizes = {2, 4}}),
                      "needs 32 bytes from byte 0 of the data, but the file has only 24");
  expect_gguf_refused(one({.sizes = {1}, .offset = 32}), "needs 4 bytes from byte 32");
  expect_gguf_refused(one({.sizes = {1}, .offset = 4}), "begins at 4, expected a multiple of 32");
  expect_gguf_refused(one({.sizes = {1}, .offset = ~uint64_t{31}}), "from byte 18446744073709551584");
  expect_gguf_refused(one({.sizes = {~uint64_t{0}}}), "a dimension of 18446744073709551615");
  expect_gguf_refused(one({.sizes = {uint64_t{1} << 62, 4}}), "impossible shape");
  expect_gguf_refused(one({.sizes = {1, 1, 1, 1, 1}}), "'x' has 5 dimensions, expected at most 4");
  expect_gguf_refused(one({.sizes = {16}, .type = 8}),
                      "has rows of 16 numbers, expected a multiple of 32 for q8_0");
  expect_gguf_refused(gguf_of({}, {{}, {}}, six_floats), "two tensors are named 'x'");
  expect_gguf_refused(gguf_of({}, {{}, {"y", {1}, 0, 0}}, six_floats),
                      "the data of the tensors 'x' and 'y' overlap");
  EXPECT_EQ(verdict(gguf_of({}, {{"scalar", {}, 0, 0}, {"empty", {0, 7}, 0, 0}}, six_floats)), "read");
}

TEST(Gguf, UsesTheAlignmentOfTheFile) {
  auto with = [](uint32_t alignment) { return gguf_key("general.alignment", 4, le(alignment)); };
  const std::string data = le(1.f) + std::string(4, 0) + le(2.f);
  EXPECT_EQ(verdict(gguf_of({with(8)}, {{"a", {1}, 0, 0}, {"b", {1}, 0, 8}}, data, 3, 8)), "read");
  expect_gguf_refused(gguf_of({with(8)}, {{"b", {1}, 0, 4}}, data, 3, 8), "expected a multiple of 8");
  expect_gguf_refused(gguf_of({with(0)}, {}, ""), "general.alignment is '0', expected a power of two");
  expect_gguf_refused(gguf_of({with(24)}, {}, ""), "expected a power of two");
  expect_gguf_refused(gguf_of({gguf_text_key("general.alignment", "8 ")}, {}, ""), "expected a power of two");
  EXPECT_EQ(verdict(gguf_of({with(1u << 31)}, {}, "")), "read");
  expect_gguf_refused(gguf_of({with(1u << 31)}, {{}}, six_floats), "the file has only 0");
}

TEST(Gguf, RejectsCountsTooLargeForTheFile) {
  for (uint64_t huge : {uint64_t{1} << 20, uint64_t{1} << 32, uint64_t{1} << 61, ~uint64_t{0}}) {
    expect_gguf_refused("GGUF"s + le(3u) + le(huge) + le(uint64_t{0}), "tensors follow byte");
    expect_gguf_refused("GGUF"s + le(3u) + le(uint64_t{0}) + le(huge), "keys follow byte");
    const std::string text = le(huge) + "abc";
    expect_gguf_refused(gguf_of({text}, {}, ""), "bytes are expected at byte 32");
    expect_gguf_refused(gguf_of({gguf_key("k", 8, text)}, {}, ""), "the file is damaged or cut short");
    for (uint32_t type = 0; type <= 12; ++type)
      expect_gguf_refused(gguf_of({gguf_key("k", 9, gguf_array(type, huge, "abc"))}, {}, ""),
                          "values of an array follow byte");
  }
}

TEST(Gguf, RejectsKeysOfAnotherStructure) {
  expect_gguf_refused(gguf_of({gguf_key("k", 13, "")}, {}, ""),
                      "the value of 'k' is of type 13, expected 0 to 12");
  expect_gguf_refused(gguf_of({gguf_key("k", 9, gguf_array(13, 0, ""))}, {}, ""), "is of type 13");
  expect_gguf_refused(gguf_of({gguf_text_key("k", ""), gguf_text_key("k", "")}, {}, ""), "'k' appears twice");
  expect_gguf_refused(gguf_of({gguf_text_key(std::string(65536, 'k'), "")}, {}, ""), "a key has 65536 bytes");
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += le(9u) + le(uint64_t{1});
  expect_gguf_refused(gguf_of({gguf_key("k", 9, deep)}, {}, ""), "an array in an array more than 4 deep");
}

TEST(Gguf, NamesTheArchitectureOfAnotherModel) {
  expect_gguf_refused(gguf_of({gguf_text_key("general.architecture", "llama")}, {}, ""),
                      "a model of the architecture 'llama', expected rwkv7, rwkv6 or aviary");
}

// ---- Vocabularies

using Tokens = std::vector<std::pair<std::string, int32_t>>;  // text and type

Tokens end_of_text_and_bytes(size_t first_byte) {
  Tokens tokens = {{"<s>", 3}};
  for (size_t byte = first_byte; byte < 256; ++byte) tokens.emplace_back(fmt::format("\\x{:02x}", byte), 1);
  return tokens;
}

std::vector<std::string> vocabulary_keys(const Tokens& tokens) {
  std::string texts, types;
  for (const auto& [text, type] : tokens) {
    texts += gguf_text(text);
    types += le(type);
  }
  return {gguf_text_key("tokenizer.ggml.model", "rwkv"),
          gguf_key("tokenizer.ggml.tokens", 9, gguf_array(8, tokens.size(), texts)),
          gguf_key("tokenizer.ggml.token_type", 9, gguf_array(5, tokens.size(), types))};
}

TEST(Gguf, TheTokensOfAByteModelBecomeABytesTokenizer) {
  Tokens tokens = end_of_text_and_bytes(1);  // byte 0 is the end of text, as in llama.cpp's converter
  EXPECT_EQ(metadata_of(vocabulary_keys(tokens))["aviary.tokenizer"], "bytes");
  EXPECT_EQ(metadata_of(vocabulary_keys(tokens)).count("aviary.vocabulary"), 0u);
  tokens.emplace_back("[PAD256]", 5);
  EXPECT_EQ(metadata_of(vocabulary_keys(tokens))["aviary.tokenizer"], "bytes");
  tokens[0] = {"\\x00", 1};
  EXPECT_EQ(metadata_of(vocabulary_keys(tokens))["aviary.tokenizer"], "bytes");
  tokens[0] = {"other", 1};
  EXPECT_EQ(metadata_of(vocabulary_keys(tokens)).count("aviary.tokenizer"), 0u);
}

TEST(Gguf, AnRwkvVocabularyBecomesAWorldTokenizer) {
  Tokens tokens = end_of_text_and_bytes(0);  // ids 1 to 256 are the bytes
  for (std::string text : {"a\\\\b", "\\n\\t\\r", "\\'x\\xff", "unused", "th\u00e9"})
    tokens.emplace_back(text, text == "unused" ? 5 : 1);
  auto metadata = metadata_of(vocabulary_keys(tokens));
  EXPECT_EQ(metadata["aviary.tokenizer"], "world");
  const TokenizerPtr tokenizer = make_tokenizer("world", metadata["aviary.vocabulary"]);
  EXPECT_EQ(tokenizer->vocab_size(), 262);
  EXPECT_EQ(tokenizer->bytes_of(0), "");
  EXPECT_EQ(tokenizer->bytes_of(1), "\0"s);
  EXPECT_EQ(tokenizer->bytes_of(256), "\xff");
  EXPECT_EQ(tokenizer->bytes_of(257), "a\\b");
  EXPECT_EQ(tokenizer->bytes_of(258), "\n\t\r");
  EXPECT_EQ(tokenizer->bytes_of(259), "'x\xff");
  EXPECT_EQ(tokenizer->bytes_of(260), "");
  EXPECT_EQ(tokenizer->bytes_of(261), "th\u00e9");
}

TEST(Gguf, IgnoresVocabulariesOfOtherKinds) {
  std::vector<std::string> keys = vocabulary_keys(end_of_text_and_bytes(0));
  keys[0] = gguf_text_key("tokenizer.ggml.model", "gpt2");
  EXPECT_EQ(metadata_of(keys).count("aviary.tokenizer"), 0u);
  EXPECT_EQ(metadata_of({keys[1]}).count("aviary.tokenizer"), 0u);
}

TEST(Gguf, RejectsTokensThatCannotBeRead) {
  for (std::string token : {"\\", "a\\x", "\\x0", "\\xg0", "\\x+1"})
    expect_gguf_refused(gguf_of(vocabulary_keys({{token, 3}, {token, 1}}), {}, ""),
                        "of the vocabulary ends inside an escape");
  std::vector<std::string> keys = vocabulary_keys(end_of_text_and_bytes(0));
  keys[2] = vocabulary_keys({{"x", 1}})[2];
  expect_gguf_refused(gguf_of(keys, {}, ""), "has 257 tokens, but types for 1");
}

// ---- A file made by the rules of llama.cpp

TEST(Gguf, TheTinyModelGivesItsGoldenLogits) {
  const char* shared = std::getenv("AVIARY_SHARED");
  if (!shared) GTEST_SKIP() << "set AVIARY_SHARED to the folder with the models of others";
  const std::filesystem::path models = std::filesystem::path(shared) / "models";
  Checkpoint checkpoint = load_checkpoint(models / "gguf/tiny-rwkv-7v0-834K-F32.gguf");
  EXPECT_EQ(checkpoint.model->config().version, "rwkv7");
  ASSERT_NE(checkpoint.tokenizer, nullptr);
  EXPECT_EQ(checkpoint.tokenizer->kind(), "bytes");
  Runner runner(*checkpoint.model);
  State state = runner.new_state();
  const std::vector<int32_t> tokens = checkpoint.tokenizer->encode("\"in");
  const Tensor logits = runner.last_logits(tokens, Sequences::uniform(1, 3), state);
  const std::string golden = read_file(models / "rwkv.cpp/expected-logits-7v0-834K.bin", 1024);
  double worst = 0;
  for (size_t i = 0; i < 256; ++i) {
    float expected;
    std::memcpy(&expected, &golden[i * 4], 4);
    worst = larger(worst, static_cast<double>(std::abs(logits.as<float>()[i] - expected)));
  }
  EXPECT_LT(worst, 1e-4);
  RecordProperty("worst", fmt::format("{}", worst));
}

}  // namespace
}  // namespace aviary
