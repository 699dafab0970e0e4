#include "models/config.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "models/registry.h"

namespace aviary {
namespace {

TEST(Options, OnesThatAreOffAreNotThere) {
  Options options{{"head_qk", 8}, {"mish_glu", 0}, {"token_shift", ""}};
  EXPECT_EQ(options, (Options{{"head_qk", 8}}));
  EXPECT_EQ(options.number("head_qk"), 8);
  EXPECT_EQ(options.number("mish_glu"), 0);
  EXPECT_EQ(options.text("token_shift"), "");
  options.set("token_shift", "4,2,1");
  EXPECT_EQ(options.text("token_shift"), "4,2,1");
  EXPECT_EQ(options.number("token_shift"), 0);
  options.set("head_qk", 0);
  EXPECT_EQ(options, (Options{{"token_shift", "4,2,1"}}));
}

TEST(Options, EveryVersionSaysWhatItHas) {
  for (const ModelVersion* version : model_versions())
    for (const ModelOption* option : version->options) {
      SCOPED_TRACE(testing::Message() << version->name << ", " << option->name);
      EXPECT_NE(std::string(option->help), "");
      EXPECT_EQ(version->find_option(option->name), option) << "there twice";
      EXPECT_EQ(option->kind == OptionKind::text, *option->sample_text != '\0');
      EXPECT_LE(option->sample, option->most);
      if (option->needs) {
        EXPECT_EQ(version->find_option(option->needs->name), option->needs);
      }
      // Files and flags refer to an option by its name only.
      for (const ModelOption* other : model_options()) {
        if (std::string(other->name) != option->name) continue;
        EXPECT_EQ(other->kind, option->kind);
      }
    }
}

std::string refusal(const Options& options) {
  try {
    complete({.version = "rwkv3", .n_layer = 2, .n_embd = 32, .vocab_size = 9, .options = options});
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Options, OthersAreRefusedAndSoAreValuesOfAnotherKind) {
  EXPECT_EQ(refusal({{"pre_ffn", 1}, {"token_shift", "2"}}), "accepted");
  EXPECT_EQ(refusal({{"mish_glu", 1}}),
            "rwkv3 has no option mish_glu (1 was given); it has head_qk, head_qk_max, token_shift, pre_ffn, "
            "small_init_emb");
  EXPECT_EQ(refusal({{"head_qk", "8"}}), "rwkv3: option head_qk is \"8\", expected a number from 0 to 65536");
  EXPECT_EQ(refusal({{"head_qk", 1 << 20}}),
            "rwkv3: option head_qk is 1048576, expected a number from 0 to 65536");
  EXPECT_EQ(refusal({{"token_shift", 2}}), "rwkv3: option token_shift is 2, expected a text");
}

TEST(Options, AFlagHasDashes) { EXPECT_EQ(flag_of(option::head_qk_max), "--head-qk-max"); }

}  // namespace
}  // namespace aviary
