#include "formats/llama_keys.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace aviary {
namespace {

// A table with the shapes of a small RWKV-7, and this key.
TensorTable table_with(const std::string& key, const std::string& value) {
  TensorTable table;
  table.tensors = {{"emb.weight", Dtype::f32, {23, 16}, {}},
                   {"blocks.0.att.r_k", Dtype::f32, {2, 8}, {}},
                   {"blocks.0.att.w1", Dtype::f32, {16, 5}, {}},
                   {"blocks.1.ffn.key.weight", Dtype::f32, {64, 16}, {}}};
  table.metadata[key] = value;
  return table;
}

std::string verdict_on(const std::string& key, const std::string& value) {
  TensorTable table = table_with(key, value);
  try {
    check_llama_keys(table, "rwkv7", "file");
  } catch (const Error& error) {
    return error.what();
  }
  return table.notes.empty() ? "fine" : table.notes[0];
}

TEST(LlamaKeys, WhatThisProgramDoesNotComputeIsRefused) {
  EXPECT_EQ(verdict_on("rwkv7.attention.layer_norm_epsilon", "1e-05"), "fine");
  EXPECT_EQ(
      verdict_on("rwkv7.attention.layer_norm_epsilon", "0.01"),
      "file: the key rwkv7.attention.layer_norm_epsilon is '0.01', expected 1e-05, with which this program "
      "computes");
  EXPECT_EQ(verdict_on("rwkv7.token_shift_count", "2"), "fine");
  for (const char* key : {"token_shift_count", "attention.group_norm_epsilon", "attention.causal"})
    for (const char* value : {"1", "nan", "", "false"})
      EXPECT_NE(verdict_on(std::string("rwkv7.") + key, value).find(key), std::string::npos) << key << value;
}

TEST(LlamaKeys, SizesMustAgreeWithTheTensors) {
  for (auto [key, value] :
       {std::pair("embedding_length", "16"), std::pair("block_count", "2"), std::pair("wkv.head_size", "8"),
        std::pair("attention.decay_lora_rank", "5"), std::pair("vocab_size", "23")}) {
    EXPECT_EQ(verdict_on(std::string("rwkv7.") + key, value), "fine") << key;
    EXPECT_NE(verdict_on(std::string("rwkv7.") + key, "7").find("shows "), std::string::npos) << key;
    EXPECT_NE(verdict_on(std::string("rwkv7.") + key, "many").find("is 'many'"), std::string::npos) << key;
  }
}

TEST(LlamaKeys, WhatHasNoEffectIsPassedOverAndWhatIsUnknownIsTold) {
  EXPECT_EQ(verdict_on("rwkv7.context_length", "4096"), "fine");
  EXPECT_EQ(verdict_on("rwkv7.attention.head_count", "0"), "fine");
  EXPECT_EQ(verdict_on("general.author", "somebody"), "fine");
  EXPECT_EQ(verdict_on("rwkv7.residual\nscale", "0.5"),
            "the file has the key 'rwkv7.residual\\nscale' = '0.5', which this program does not know and "
            "leaves out "
            "of account");
}

}  // namespace
}  // namespace aviary
