// Adapters in every form, against the model whose matrices were changed by hand.
#include "checkpoints/adapter_forms.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json.h"
#include "checkpoints/adapter_writer.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "support/test_adapters.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

class AdapterForms : public AdapterTest {
 protected:
  // Converts the adapter and returns what to give to --adapter.
  std::string converted(const std::string& from, const std::string& name, bool with_base = false) {
    const fs::path to = folder_ / name;
    PlainAdapter adapter = plain_adapter(adapter_request(from));
    if (with_base) add_base(adapter, read_tensor_file(model_), model_, false);
    notes_ = write_adapter_as(to, adapter);
    const bool says_no_alpha = to.extension() == ".pth" && !adapter.matrices[0].a.empty();
    int64_t rank = 0;  // the largest
    for (const AdapterMatrix& matrix : adapter.matrices) rank = std::max(rank, matrix.rank);
    return to.string() + (says_no_alpha ? fmt::format(",alpha={}", rank) : "");
  }
  // The logits of the model into which the adapter was merged.
  std::vector<double> merged(const std::string& request) const {
    const Checkpoint checkpoint = load_checkpoint(model_);
    apply_adapter(adapter_request(request), read_tensor_file(model_), model_, *checkpoint.model);
    for (Parameter& parameter : checkpoint.model->parameters()) parameter.weight.merge_adapters();
    return logits_of(*checkpoint.model);
  }
  void expect_in_every_form(const std::string& from, const std::vector<double>& expected) {
    for (const char* name : {"a.safetensors", "a.pth", "a.gguf", "a/"}) {
      SCOPED_TRACE(name);
      const std::string request = converted(from, name, true);
      expect_near(opened(request), expected);
      expect_near(merged(request), expected);
      // Without their base: these files say enough of it, except .pth.
      if (name == std::string("a.pth")) continue;
      for (const char* again : {"b.safetensors", "b.pth", "b.gguf", "b/"}) {
        SCOPED_TRACE(again);
        expect_near(opened(converted(request, again)), expected);
      }
    }
  }
  nlohmann::json peft_config(const std::string& name) const {
    return parse_json(read_file(folder_ / name / "adapter_config.json", 1 << 20), "");
  }
  std::string own(const AdapterInfo& info, const std::vector<AdapterMatrix>& matrices,
                  std::span<const TensorEntry> whole = {}) const {
    write_adapter(file_, info, matrices, whole);
    return file_.string();
  }

  std::vector<std::string> notes_;
};

TEST_F(AdapterForms, OfALoraAreTheSame) {
  expect_in_every_form(own({.alpha = 6, .base = base()}, matrices_), changed(2));
  EXPECT_EQ(peft_config("a")["lora_alpha"], 6.0);
  EXPECT_EQ(peft_config("a")["r"], 3);
}

TEST_F(AdapterForms, OfARankStabilizedLoraAreTheSame) {
  expect_in_every_form(own({.alpha = 6, .rank_stabilized = true}, matrices_), changed(6 / std::sqrt(3.0)));
}

TEST_F(AdapterForms, OfMissAreTheSame) {
  expect_in_every_form(own({.method = "miss", .alpha = 6}, miss()), changed(2, true));
  EXPECT_EQ(peft_config("a")["peft_type"], "MISS");
}

TEST_F(AdapterForms, TakeTheWeightOfTheRequestAlong) {
  expect_in_every_form(own({.alpha = 6}, matrices_) + ",weight=0.25", changed(0.5));
}

TEST_F(AdapterForms, OfPissaAreOneLora) {
  std::vector<AdapterMatrix> start = matrices_;
  for (AdapterMatrix& matrix : start)
    for (float& x : matrix.b) x *= -0.5f;
  write_adapter_as(folder_ / "trained.pth", {{}, {.alpha = rank}, matrices_});
  write_adapter_as(folder_ / "start.pth", {{}, {.alpha = rank}, start});
  expect_in_every_form((folder_ / "trained.pth").string() + ",init=" + (folder_ / "start.pth").string(),
                       changed(1.5));
}

TEST_F(AdapterForms, OfMatricesOfSeveralRanksAreTheSame) {
  const std::vector<double> expected = changed(1);
  AdapterMatrix& wide = matrices_[1];  // twice the rank, the second half of it 0: half of the scale
  const AdapterMatrix nothing{
      .name = wide.name, .rank = rank, .a = wide.a, .b = std::vector<float>(wide.b.size()), .in = wide.in};
  for (float& x : wide.b) x *= 2;
  wide = difference(wide, nothing);
  expect_in_every_form(own({.alpha = rank}, matrices_), expected);
  EXPECT_EQ(peft_config("a")["rank_pattern"], nlohmann::json({{"blocks.1.att.key", 3}}));
}

TEST_F(AdapterForms, SayWhatTheFileLeavesOpen) {
  converted(own({.alpha = 6, .base = base()}, matrices_), "a.pth");
  ASSERT_EQ(notes_.size(), 2u);
  EXPECT_NE(notes_[0].find("a.pth,alpha=3"), std::string::npos) << notes_[0];
  EXPECT_NE(notes_[1].find("which model"), std::string::npos) << notes_[1];
}

TEST_F(AdapterForms, KeepWholeTensorsOrRefuseThemByName) {
  const std::vector<float> twos(64, 2.0f);
  const TensorEntry norm{"ln_out.weight", Dtype::f32, {64}, std::as_bytes(std::span(twos))},
      mix{"blocks.0.att.x_r", Dtype::f32, {1, 1, 64}, std::as_bytes(std::span(twos))};
  const Checkpoint checkpoint = load_checkpoint(model_);
  save_checkpoint(folder_ / "kept.safetensors", *checkpoint.model, nullptr);
  from_host(std::vector<double>(64, 2.0),
            checkpoint.model->parameters().find("ln_out.weight")->weight.value());
  save_checkpoint(model_, *checkpoint.model, nullptr);
  const std::vector<double> expected = changed(1);
  fs::copy_file(folder_ / "kept.safetensors", model_, fs::copy_options::overwrite_existing);
  const std::string from = own({.alpha = rank, .base = base()}, matrices_, std::span(&norm, 1));
  for (const char* name : {"a.safetensors.st", "a.pth", "a/"})
    expect_near(opened(converted(from, name)), expected);
  EXPECT_EQ(peft_config("a")["modules_to_save"], nlohmann::json({"ln_out"}));
  EXPECT_NE(refusal([&] { converted(from, "a.gguf"); }).find("'ln_out.weight'"), std::string::npos);
  own({.alpha = rank, .base = base()}, matrices_, std::span(&mix, 1));
  EXPECT_NE(refusal([&] { converted(from, "b/"); }).find("'blocks.0.att.x_r'"), std::string::npos);
  own({.method = "parts"}, {}, std::span(&mix, 1));
  EXPECT_NE(refusal([&] { converted(from, "b/"); }).find("whole tensors alone"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder_ / "a.gguf") || fs::exists(folder_ / "b"));
}

TEST_F(AdapterForms, AskForTheModelWhereTheFileDoesNotSayEnough) {
  write_adapter_as(folder_ / "miss.pth", {{}, {.method = "miss", .alpha = rank}, miss()});
  const std::string from = (folder_ / "miss.pth").string();
  EXPECT_NE(refusal([&] { converted(from, "a.gguf"); }).find("--base"), std::string::npos);
  EXPECT_NE(refusal([&] { converted(from, "a.safetensors"); }).find("blocks.1.att.key"), std::string::npos);
  expect_near(opened(converted(from, "a.gguf", true)), changed(1, true));
}

TEST_F(AdapterForms, ThatDoNotFitTheModelAreRefused) {
  const std::string from = own({.alpha = rank}, matrices_);
  PlainAdapter adapter = plain_adapter(adapter_request(from));
  save_checkpoint(
      model_,
      *noisy_model({.version = "rwkv7", .n_layer = 1, .n_embd = 64, .vocab_size = 256, .ctx_len = 16}),
      nullptr);
  EXPECT_NE(
      refusal([&] { add_base(adapter, read_tensor_file(model_), model_, false); }).find("does not have"),
      std::string::npos);
  EXPECT_NE(refusal([&] { plain_adapter(adapter_request(from + ",weight=0")); }).find("adds nothing"),
            std::string::npos);
}

TEST_F(AdapterForms, HoldHalvesIfTheNumbersFit) {
  PlainAdapter adapter = plain_adapter(adapter_request(own({.alpha = rank, .base = base()}, matrices_)));
  for (const char* name : {"a.pth", "a.gguf", "a/"}) {
    write_adapter_as(folder_ / name, adapter, Dtype::f16);
    EXPECT_EQ(read_adapter(folder_ / name).table.tensors[0].dtype, Dtype::f16);
  }
  EXPECT_NE(refusal([&] { write_adapter_as(folder_ / "b.st", adapter, Dtype::f16); }).find("--type"),
            std::string::npos);
  EXPECT_NE(refusal([&] { write_adapter_as(folder_ / "b.pth", adapter, Dtype::q8_0); }).find("not as q8_0"),
            std::string::npos);
  adapter.matrices[0].a[0] = 1e6f;
  EXPECT_NE(refusal([&] { write_adapter_as(folder_ / "b.gguf", adapter, Dtype::f16); }).find("65504"),
            std::string::npos);
}

TEST_F(AdapterForms, AreRecognizedByContent) {
  const std::string from = own({.alpha = rank, .base = base()}, matrices_);
  for (const char* name : {"a.safetensors", "a.pth", "a.gguf", "a/"}) {
    converted(from, name);
    EXPECT_TRUE(looks_like_adapter(folder_ / name));
  }
  EXPECT_FALSE(looks_like_adapter(model_));
  EXPECT_FALSE(looks_like_adapter(folder_ / "missing"));
  EXPECT_TRUE(looks_like_adapter(folder_.path()));  // with adapter.safetensors, as the folder of a run
  EXPECT_EQ(describe(read_adapter(folder_.path())), describe(read_adapter(from)));
  fs::remove(folder_ / "adapter.safetensors");
  EXPECT_FALSE(looks_like_adapter(folder_.path()));
}

}  // namespace
}  // namespace aviary
