// Text through the public interface: a byte-level model, written by the rooms below.
#include "api/inside.h"
#include "base/utf8.h"
#include "models/registry.h"
#include "support/test_folder.h"
// After them, because of the names:
#include <aviary/aviary.h>
#include <gtest/gtest.h>
#include <aviary/aviary.hpp>

namespace aviary::inside {
namespace {

using Public = v0::Model;

class ApiText : public testing::Test {
 protected:
  ApiText() {
    auto network = create_model(
        {.version = "rwkv7", .recipe = "", .n_layer = 2, .n_embd = 16, .vocab_size = 256, .head_size = 8});
    network->parameters().initialize(1);
    Random random(2);
    for (Parameter& parameter : network->parameters()) {
      std::vector<double> values = to_host(parameter.weight.value());
      for (double& value : values) value += 0.3 * random.normal();
      from_host(values, parameter.weight.value());
    }
    const TokenizerPtr tokenizer = make_bytes_tokenizer();
    save_checkpoint(folder_ / "model.safetensors", *network, tokenizer.get());
    save_checkpoint(folder_ / "bare.safetensors", *network, nullptr);
  }

  TestFolder folder_;
};

TEST_F(ApiText, EncodesAndDecodesAnyBytes) {
  const Public model = Public::load(folder_.path());  // a run folder
  EXPECT_TRUE(model.has_tokenizer());
  const std::string text = "a\xc3\xa4\xff\n";
  EXPECT_EQ(model.encode(text).size(), text.size());
  EXPECT_EQ(model.decode(model.encode(text)), text);
  const std::vector<int32_t> negative{-1};
  EXPECT_THROW(model.decode(negative), Error);
}

TEST_F(ApiText, TheCInterfaceEncodesAndDecodes) {
  aviary_model* model = aviary_load(folder_.path().c_str(), nullptr);
  ASSERT_NE(model, nullptr) << aviary_last_error();
  int32_t tokens[8];
  char text[8];
  EXPECT_EQ(aviary_encode(model, "bird", 4, tokens, 8), 4);
  EXPECT_EQ(aviary_encode(model, "bird", 4, tokens, 2), 4) << "how many there are, not how many fit";
  EXPECT_EQ(aviary_decode(model, tokens, 4, text, 8), 4);
  EXPECT_EQ(std::string(text, 4), "bird");
  aviary_free(model);
}

TEST_F(ApiText, AModelOf256TokensNeedsNoTokenizerInItsFile) {
  EXPECT_EQ(Public::load(folder_ / "bare.safetensors").encode("az"), (std::vector<int32_t>{'a', 'z'}));
}

TEST_F(ApiText, GeneratesWhatTheLoopOfTokensGives) {
  Public model = Public::load(folder_.path());
  v0::Generation result = model.generate("Once", {.tokens = 12, .sampling = {.temperature = 0}});
  v0::State state = model.new_state();
  std::vector<float> logits = model.forward(model.encode("Once"), state);
  std::vector<int32_t> expected;
  while (expected.size() < 12) {
    expected.push_back(static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    logits = model.forward({&expected.back(), 1}, state);
  }
  EXPECT_EQ(result.tokens, 12);
  EXPECT_EQ(result.prompt_tokens, 4);
  EXPECT_EQ(result.end, v0::Generation::End::length);
  Utf8Stream characters;  // invalid UTF-8 is shown replaced
  EXPECT_EQ(result.text, characters.push(model.decode(expected)) + characters.flush());
}

TEST_F(ApiText, SameSeedSameTextAndTheCallbackMayStopAndUseTheModel) {
  Public model = Public::load(folder_.path());
  const v0::GenerateOptions options{.tokens = 50, .sampling = {.temperature = 2, .top_p = 1, .seed = 7}};
  const std::string text = model.generate("a", options).text;
  EXPECT_EQ(model.generate("a", options).text, text);
  std::string shown;
  const v0::Generation result = model.generate("a", options, [&](std::string_view piece) {
    v0::State state = model.new_state();
    model.forward(model.encode("something else"), state);
    shown += piece;
    return shown.size() < 10;
  });
  EXPECT_EQ(result.end, v0::Generation::End::interrupted);
  EXPECT_TRUE(text.starts_with(shown)) << shown;
  EXPECT_GE(shown.size(), 10u);
}

TEST_F(ApiText, RejectsInvalidOptions) {
  Public model = Public::load(folder_.path());
  EXPECT_THROW(model.generate("a", {.tokens = -1}), Error);
  EXPECT_THROW(model.generate("a", {.sampling = {.top_p = 2}}), Error);
  EXPECT_THROW(model.generate("a", {.stop = {""}}), Error);
}

}  // namespace
}  // namespace aviary::inside
