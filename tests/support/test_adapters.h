// A small model, two random matrices of adapters for it, and the model with these added by hand.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "checkpoints/adapter_file.h"
#include "checkpoints/checkpoint.h"
#include "models/run.h"
#include "support/test_folder.h"
#include "support/test_versions.h"

namespace aviary {
inline constexpr int64_t rank = 3;  // does not divide the widths, as MiSS permits

inline std::vector<double> logits_of(Model& model) {
  Runner runner(model, kernels::Precision::f32);
  State state = runner.new_state();
  return to_host(runner.all_logits(std::vector<int32_t>{5, 250, 7}, Sequences::uniform(1, 3), state));
}

class AdapterTest : public testing::Test {
 protected:
  AdapterTest() {
    save_checkpoint(
        model_,
        *noisy_model({.version = "rwkv7", .n_layer = 2, .n_embd = 64, .vocab_size = 256, .ctx_len = 16}),
        nullptr);
    const Checkpoint checkpoint = load_checkpoint(model_);
    for (const char* name : {"blocks.1.att.key.weight", "blocks.0.ffn.value.weight"}) {
      const Shape& shape = checkpoint.model->parameters().find(name)->spec.shape;
      AdapterMatrix& matrix = matrices_.emplace_back(AdapterMatrix{.name = name, .rank = rank});
      matrix.in = shape[1];
      matrix.a = numbers(rank * shape[1]);
      matrix.b = numbers(shape[0] * rank);
    }
  }

  std::vector<float> numbers(int64_t count) {
    std::vector<float> result(static_cast<size_t>(count));
    for (float& number : result) number = static_cast<float>(0.1 * random_.normal());
    return result;
  }
  std::vector<AdapterMatrix> miss() const {
    std::vector<AdapterMatrix> matrices = matrices_;
    for (AdapterMatrix& matrix : matrices) matrix.a.clear();
    return matrices;
  }
  // The logits of the model with W + factor B A; for MiSS, A is fixed.
  std::vector<double> changed(double factor, bool is_miss = false) const {
    const Checkpoint checkpoint = load_checkpoint(model_);
    for (const AdapterMatrix& m : matrices_) {
      float* w = checkpoint.model->parameters().find(m.name)->weight.value().as<float>();
      for (int64_t row = 0; row < std::ssize(m.b) / rank; ++row)
        for (int64_t col = 0; col < m.in; ++col)
          for (int64_t r = 0; r < rank; ++r) {
            const double a = is_miss ? (col % rank == r ? 1 : 0)
                                     : static_cast<double>(m.a[static_cast<size_t>(r * m.in + col)]);
            w[row * m.in + col] += static_cast<float>(
                factor * a * static_cast<double>(m.b[static_cast<size_t>(row * rank + r)]));
          }
    }
    return logits_of(*checkpoint.model);
  }
  std::vector<double> opened(const std::filesystem::path& adapter, bool any_base = false) const {
    AdapterRequest request = adapter_request(adapter.string());
    request.any_base = any_base;
    const std::vector<AdapterRequest> requests{request};
    return logits_of(*open_checkpoint(model_, kernels::Precision::f32, {}, requests).model);
  }
  void expect_near(const std::vector<double>& result, const std::vector<double>& expected) const {
    ASSERT_EQ(result.size(), expected.size());
    for (size_t i = 0; i < result.size(); ++i) ASSERT_NEAR(result[i], expected[i], 2e-5) << i;
    EXPECT_NE(expected, logits_of(*open_checkpoint(model_, kernels::Precision::f32).model));
  }
  BaseInfo base() const { return base_info_of(read_tensor_file(model_), model_); }
  template <typename Act>
  static std::string refusal(Act act) {
    try {
      act();
    } catch (const Error& error) {
      return error.what();
    }
    return "done";
  }

  const TestFolder folder_;
  const std::filesystem::path model_ = folder_ / "model.safetensors", file_ = folder_ / "adapter.safetensors";
  Random random_{7};
  std::vector<AdapterMatrix> matrices_;
};

}  // namespace aviary
