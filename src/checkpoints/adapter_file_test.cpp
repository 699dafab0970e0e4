// Adapters in the dialects of the trainers, written here from the formulas, against models whose matrices
// were changed by hand.
#include "checkpoints/adapter_file.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/error.h"
#include "base/files.h"
#include "base/random.h"
#include "checkpoints/checkpoint.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "models/run.h"
#include "support/test_bytes.h"
#include "support/test_folder.h"
#include "support/test_gguf.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

using Floats = std::vector<float>;

constexpr int64_t small_rank = 3;  // does not divide the widths, as MiSS permits
constexpr const char* modules[] = {"blocks.1.att.key", "blocks.0.ffn.value"};

std::vector<double> adapted_logits(Model& model) {
  Runner runner(model, kernels::Precision::f32);
  State state = runner.new_state();
  return to_host(runner.all_logits(std::vector<int32_t>{5, 250, 7}, Sequences::uniform(1, 3), state));
}

Floats transposed(const Floats& from, int64_t rows, int64_t cols) {
  Floats to(from.size());
  for (int64_t i = 0; i < rows * cols; ++i)
    to[static_cast<size_t>(i % cols * rows + i / cols)] = from[static_cast<size_t>(i)];
  return to;
}

class Adapters : public testing::Test {
 protected:
  Adapters() {
    const std::unique_ptr<Model> model =
        noisy_model({.version = "rwkv7", .n_layer = 2, .n_embd = 64, .vocab_size = 256, .ctx_len = 16});
    save_checkpoint(path(), *model, nullptr);
    Random random(7);
    auto numbers = [&](int64_t count) {
      Floats result(static_cast<size_t>(count));
      for (float& number : result) number = static_cast<float>(0.1 * random.normal());
      return result;
    };
    for (const char* module : modules) {
      const Shape& shape = model->parameters().find(std::string(module) + ".weight")->spec.shape;
      matrices_.push_back(
          {module, shape[0], shape[1], numbers(small_rank * shape[1]), numbers(shape[0] * small_rank)});
    }
  }

  struct Matrix {
    std::string module;
    int64_t out, in;
    Floats a, b;  // [rank, in], [out, rank]
  };

  fs::path path() const { return folder_ / "model.safetensors"; }
  StoredTensor tensor(const std::string& name, std::vector<int64_t> shape, const Floats& numbers) {
    const Floats& kept = data_.emplace_back(numbers);
    return {{name, Dtype::f32, std::move(shape), std::as_bytes(std::span(kept))}, Dtype::f32};
  }
  // The tensors of a LoRA: prefix + module + the endings.
  std::vector<StoredTensor> lora(const std::string& prefix, const char* a, const char* b) {
    std::vector<StoredTensor> tensors;
    for (const Matrix& m : matrices_) {
      tensors.push_back(tensor(prefix + m.module + a, {small_rank, m.in}, m.a));
      tensors.push_back(tensor(prefix + m.module + b, {m.out, small_rank}, m.b));
    }
    return tensors;
  }
  std::vector<StoredTensor> miss(const std::string& prefix, const char* ending) {
    std::vector<StoredTensor> tensors;
    for (const Matrix& m : matrices_)
      tensors.push_back(
          tensor(prefix + m.module + ending, {small_rank, m.out}, transposed(m.b, m.out, small_rank)));
    return tensors;
  }

  // The logits of the model with W + factor B A; for MiSS, A is fixed.
  std::vector<double> changed(double factor, bool is_miss = false) const {
    const Checkpoint checkpoint = load_checkpoint(path());
    for (const Matrix& m : matrices_) {
      float* w = checkpoint.model->parameters().find(m.module + ".weight")->weight.value().as<float>();
      for (int64_t row = 0; row < m.out; ++row)
        for (int64_t col = 0; col < m.in; ++col)
          for (int64_t r = 0; r < small_rank; ++r) {
            const double a = is_miss ? (col % small_rank == r ? 1 : 0)
                                     : static_cast<double>(m.a[static_cast<size_t>(r * m.in + col)]);
            w[row * m.in + col] += static_cast<float>(
                factor * a * static_cast<double>(m.b[static_cast<size_t>(row * small_rank + r)]));
          }
    }
    return adapted_logits(*checkpoint.model);
  }
  std::vector<double> opened(const std::string& request, std::optional<PackedCache> cache = {}) const {
    const std::vector<AdapterRequest> requests{adapter_request(request)};
    const Checkpoint checkpoint = open_checkpoint(path(), kernels::Precision::f32, cache, requests);
    return adapted_logits(*checkpoint.model);
  }
  void expect_near(const std::vector<double>& result, const std::vector<double>& expected) const {
    ASSERT_EQ(result.size(), expected.size());
    for (size_t i = 0; i < result.size(); ++i) ASSERT_NEAR(result[i], expected[i], 2e-5) << i;
    EXPECT_NE(expected, opened_plain());
  }
  std::vector<double> opened_plain() const {
    return adapted_logits(*open_checkpoint(path(), kernels::Precision::f32).model);
  }
  std::string refusal(const std::string& request) const {
    try {
      opened(request);
    } catch (const Error& error) {
      return error.what();
    }
    return "opened";
  }
  std::string file(const char* name) const { return (folder_ / name).string(); }
  // Writes a folder of PEFT.
  std::string peft(const std::string& config, const std::vector<StoredTensor>& tensors) {
    fs::create_directory(folder_ / "peft");
    write_file_atomically(folder_ / "peft/adapter_config.json", std::as_bytes(std::span(config)));
    write_safetensors(folder_ / "peft/adapter_model.safetensors", tensors);
    return file("peft");
  }

  const TestFolder folder_;
  std::vector<Matrix> matrices_;
  std::deque<Floats> data_;
};

TEST_F(Adapters, OfRwkvTrainersNeedTheAlphaThatTheirFileDoesNotSay) {
  write_pth(folder_ / "lora.pth", lora("", ".lora_A", ".lora_B"));
  EXPECT_NE(refusal(file("lora.pth")).find("does not say its alpha"), std::string::npos);
  expect_near(opened(file("lora.pth") + ",alpha=6"), changed(2));
  expect_near(opened(file("lora.pth") + ",alpha=6,weight=0.25"), changed(0.5));
  EXPECT_EQ(opened(file("lora.pth") + ",alpha=6,weight=0"), opened_plain());
}

TEST_F(Adapters, AreTheSameMergedAndBesideTheModel) {
  write_pth(folder_ / "lora.pth", lora("", ".lora_A", ".lora_B"));
  const Checkpoint merged = load_checkpoint(path());
  const AdapterRequest request = adapter_request(file("lora.pth") + ",alpha=6");
  add_adapter(read_adapter(request.path), request, *merged.model);
  for (Parameter& parameter : merged.model->parameters()) parameter.weight.merge_adapters();
  expect_near(adapted_logits(*merged.model), changed(2));
}

TEST_F(Adapters, ReplaceWholeTensorsThatTheirFileHolds) {
  std::vector<StoredTensor> tensors = lora("model.", ".lora_A", ".lora_B");
  tensors.push_back(tensor("model.ln_out.weight", {64}, Floats(64, 2.0f)));
  write_pth(folder_ / "lora.pth", tensors);
  const Checkpoint checkpoint = load_checkpoint(path());
  save_checkpoint(folder_ / "other.safetensors", *checkpoint.model, nullptr);
  from_host(std::vector<double>(64, 2.0),
            checkpoint.model->parameters().find("ln_out.weight")->weight.value());
  save_checkpoint(path(), *checkpoint.model, nullptr);
  const std::vector<double> expected = changed(1);
  fs::copy_file(folder_ / "other.safetensors", path(), fs::copy_options::overwrite_existing);
  expect_near(opened(file("lora.pth") + ",alpha=3"), expected);
}

TEST_F(Adapters, OfPissaAreMeasuredFromTheirStart) {
  write_pth(folder_ / "pissa.pth", lora("", ".lora_A", ".lora_B"));
  for (Matrix& m : matrices_)
    for (float& number : m.b) number *= 0.75f;
  write_pth(folder_ / "init.pth", lora("model.", ".init_lora_A", ".init_lora_B"));
  for (Matrix& m : matrices_)
    for (float& number : m.b) number /= 3.0f;  // 1 - 3/4 of the first ones
  expect_near(opened(file("pissa.pth") + ",init=" + file("init.pth")), changed(1));
}

TEST_F(Adapters, OfMissAddRowsAgainAndAgain) {
  for (const char* ending : {".bone", ".disha"}) {
    write_pth(folder_ / "miss.pth", miss("", ending));
    expect_near(opened(file("miss.pth")), changed(1, true));
  }
  expect_near(opened(peft(R"({"peft_type": "MISS", "r": 3})", miss("base_model.model.", ".miss_block"))),
              changed(1, true));
}

TEST_F(Adapters, OfPeftSayTheirAlpha) {
  const auto tensors = lora("base_model.model.", ".lora_A.weight", ".lora_B.weight");
  expect_near(opened(peft(R"({"peft_type": "LORA", "lora_alpha": 6})", tensors)), changed(2));
  expect_near(opened(peft(R"({"peft_type": "LORA", "lora_alpha": 6, "use_rslora": true})", tensors)),
              changed(6 / std::sqrt(3.0)));
}

TEST_F(Adapters, OfPeftWithSettingsThatMeanSomethingElseAreRefused) {
  const auto tensors = lora("base_model.model.", ".lora_A.weight", ".lora_B.weight");
  const std::pair<const char*, const char*> settings[] = {{"use_dora", "true"},
                                                          {"fan_in_fan_out", "true"},
                                                          {"alpha_pattern", R"({"att.key": 3})"},
                                                          {"init_lora_weights", R"("pissa_niter_4")"},
                                                          {"init_weights", R"("mini")"},
                                                          {"init_weights", R"("bat")"}};
  for (const auto& [key, value] : settings) {
    const std::string answer = refusal(
        peft(fmt::format(R"({{"peft_type": "LORA", "lora_alpha": 6, "{}": {}}})", key, value), tensors));
    EXPECT_NE(answer.find(key), std::string::npos) << answer;
  }
  expect_near(opened(peft(R"({"peft_type": "LORA", "lora_alpha": 6, "use_dora": false, "alpha_pattern": {},
                             "layer_replication": null, "init_lora_weights": true})",
                          tensors)),
              changed(2));
}

TEST_F(Adapters, OfPeftInTheFormBatAreRefused) {
  const std::string answer =
      refusal(peft(R"({"peft_type": "MISS", "r": 4})",
                   {tensor("base_model.model.blocks.1.att.key.miss_block", {16, 4, 4}, Floats(256))}));
  EXPECT_NE(answer.find("bat"), std::string::npos) << answer;
}

TEST_F(Adapters, AreFoundBehindThePrefixesOfTrainers) {
  for (const char* prefix : {"module.", "_orig_mod.", "module.model."}) {
    write_pth(folder_ / "lora.pth", lora(prefix, ".lora_A", ".lora_B"));
    expect_near(opened(file("lora.pth") + ",alpha=3"), changed(1));
  }
}

TEST_F(Adapters, OfAFolderWithAdapterJsonAreScaled) {
  std::vector<StoredTensor> tensors;
  for (const Matrix& m : matrices_)
    tensors.push_back(tensor(m.module + ".weight.D", {m.out, small_rank}, m.b));
  fs::create_directory(folder_ / "native");
  const std::string config = R"({"format_version": 1, "method": "miss", "rank": 3, "alpha": 6})";
  write_file_atomically(folder_ / "native/adapter.json", std::as_bytes(std::span(config)));
  write_pth(folder_ / "native/adapter.pth", tensors);
  expect_near(opened(file("native")), changed(2, true));
}

TEST_F(Adapters, OfWebRwkvHaveTheirFirstMatrixTransposed) {
  std::vector<StoredTensor> tensors;
  for (const Matrix& m : matrices_) {
    tensors.push_back(tensor(m.module + ".lora.0", {m.in, small_rank}, transposed(m.a, small_rank, m.in)));
    tensors.push_back(tensor(m.module + ".lora.1", {m.out, small_rank}, m.b));
  }
  write_safetensors(folder_ / "a.lora", tensors);
  expect_near(opened(file("a.lora") + ",alpha=3"), changed(1));
}

TEST_F(Adapters, OfLlamaCppWithoutAlphaAreAddedWhole) {
  const std::pair<const char*, const char*> names[] = {{"blk.1.time_mix_key", "blk.0.channel_mix_value"}};
  for (const bool says_alpha : {false, true}) {
    std::vector<std::string> keys{gguf_text_key("general.type", "adapter"),
                                  gguf_text_key("general.architecture", "rwkv7")};
    if (says_alpha) keys.push_back(gguf_key("adapter.lora.alpha", 6, le(6.0f)));
    std::vector<TestGgufTensor> tensors;
    std::string data;
    auto add = [&](const std::string& name, std::vector<uint64_t> sizes, const Floats& numbers) {
      tensors.push_back({name, sizes, 0, data.size()});
      for (float number : numbers) data += le(number);
      data.resize((data.size() + 31) / 32 * 32);
    };
    for (size_t i = 0; i < matrices_.size(); ++i) {
      const Matrix& m = matrices_[i];
      const std::string name = i == 0 ? names[0].first : names[0].second;
      add(name + ".weight.lora_a", {static_cast<uint64_t>(m.in), small_rank}, m.a);
      add(name + ".weight.lora_b", {small_rank, static_cast<uint64_t>(m.out)}, m.b);
    }
    const std::string bytes = gguf_of(keys, tensors, data);
    write_file_atomically(folder_ / "lora.gguf", std::as_bytes(std::span(bytes)));
    expect_near(opened(file("lora.gguf")), changed(says_alpha ? 2 : 1));
  }
}

TEST_F(Adapters, AreAddedToACachedModelToo) {
  write_pth(folder_ / "lora.pth", lora("", ".lora_A", ".lora_B"));
  for (int time = 0; time < 2; ++time)
    expect_near(opened(file("lora.pth") + ",alpha=3", PackedCache{}), changed(1));
}

TEST_F(Adapters, ThatDoNotFitAreRefusedWithTheReason) {
  auto expect_refused = [&](const std::vector<StoredTensor>& tensors, const char* options,
                            const char* words) {
    write_pth(folder_ / "a.pth", tensors);
    const std::string answer = refusal(file("a.pth") + options);
    EXPECT_EQ(answer.find(file("a.pth")), 0u) << answer;
    EXPECT_NE(answer.find(words), std::string::npos) << answer;
  };
  const std::string key = "blocks.0.att.key";
  expect_refused({tensor(key + ".lora_A", {3, 64}, Floats(192))}, "", "no second one");
  expect_refused(
      {tensor(key + ".lora_A", {3, 64}, Floats(192)), tensor(key + ".lora_B", {64, 4}, Floats(256))}, "",
      "ranks 3 and 4");
  expect_refused(
      {tensor(key + ".lora_A", {3, 32}, Floats(96)), tensor(key + ".lora_B", {64, 3}, Floats(192))},
      ",alpha=1", "64 x 64");
  expect_refused({tensor("blocks.7.att.key.disha", {3, 64}, Floats(192))}, "", "does not have");
  expect_refused({tensor("head.disha", {3, 256}, Floats(768))}, "", "not a matrix inside a block");
  expect_refused({tensor(key + ".disha", {3, 64}, Floats(192))}, ",alpha=1", "leave it out");
  expect_refused({tensor(key + ".bone", {21, 3, 3}, Floats(189))}, "", "bat");
  expect_refused({tensor("emb.weight", {2, 2}, Floats(4))}, "", "no adapter");
  // Stored the wrong way round.
  expect_refused(
      {tensor(key + ".lora_A", {64, 3}, Floats(192)), tensor(key + ".lora_B", {64, 3}, Floats(192))},
      ",alpha=1", "ranks 64 and 3");
  expect_refused(
      {tensor(key + ".lora_A", {3, 64}, Floats(192)), tensor(key + ".lora_B", {3, 64}, Floats(192))},
      ",alpha=1", "ranks 3 and 64");
  expect_refused(
      {tensor(key + ".lora.0", {3, 64}, Floats(192)), tensor(key + ".lora.1", {64, 3}, Floats(192))},
      ",alpha=1", "ranks 64 and 3");
  expect_refused({tensor(key + ".disha", {64, 3}, Floats(192))}, "", "64 x 64");
  expect_refused({tensor(key + ".weight.D", {3, 64}, Floats(192))}, ",alpha=1", "64 x 64");
  Floats broken(192);
  broken[5] = std::nanf("");
  expect_refused({tensor(key + ".disha", {3, 64}, broken)}, "", "NaN");
  EXPECT_NE(refusal("a.pth,alpha=much").find("'much' is not a number"), std::string::npos);
  EXPECT_NE(refusal("a.pth,scale=2").find("none of weight=W"), std::string::npos);
}

}  // namespace
}  // namespace aviary
