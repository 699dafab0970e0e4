// Adapters and tuned states through the public interfaces.
#include <gtest/gtest.h>

#include "api/inside.h"
#include "checkpoints/adapter_writer.h"
#include "checkpoints/state_writer.h"
#include "support/repository.h"
#include "support/test_folder.h"
// After the rooms, which have a Model and a State of their own.
#include <aviary/aviary.h>
#include <aviary/aviary.hpp>

namespace aviary {
namespace {

using ApiModel = v0::Model;

const std::vector<int32_t> tokens = {3, 1, 4};

class ApiTuned : public testing::Test {
 protected:
  ApiTuned() {
    AdapterMatrix matrix{.name = "blocks.0.att.key.weight", .rank = 1};
    matrix.a = std::vector<float>(16, 0.5f);
    matrix.b = std::vector<float>(16, 0.25f);
    write_adapter(adapter_, {.base = base_info_of(read_tensor_file(model_), model_)}, std::span(&matrix, 1));
    const Checkpoint checkpoint = load_checkpoint(model_);
    inside::NetworkState state(checkpoint.model->state_specs(), Dtype::f32);
    for (size_t i = 0; i < state.size(); ++i)
      from_host(std::vector<double>(static_cast<size_t>(state[i].count()), 0.5), state[i]);
    save_state(state_, state, *checkpoint.model, {.base = base_info_of(read_tensor_file(model_), model_)});
    from_host(std::vector<double>(16, 0.5),
              checkpoint.model->parameters().find("ln_out.bias")->weight.value());
    save_checkpoint(other_, *checkpoint.model, nullptr);
  }
  static std::vector<float> logits(ApiModel model, const std::filesystem::path& state = {}) {
    v0::State start = state.empty() ? model.new_state() : model.tuned_state(state);
    return model.forward(tokens, start);
  }
  std::string refusal(const v0::LoadOptions& options, const std::filesystem::path& state = {}) const {
    try {
      logits(ApiModel::load(other_, options), state);
    } catch (const Error& error) {
      return error.what();
    }
    return "done";
  }

  const TestFolder folder_;
  const std::filesystem::path model_ = golden("rwkv-v7/model.safetensors"),
                              other_ = folder_ / "other.safetensors",
                              adapter_ = folder_ / "adapter.safetensors",
                              state_ = folder_ / "state.safetensors";
};

TEST_F(ApiTuned, AreAddedToAModel) {
  const std::vector<float> plain = logits(ApiModel::load(model_));
  EXPECT_NE(logits(ApiModel::load(model_, {.adapters = {adapter_.string()}})), plain);
  EXPECT_EQ(logits(ApiModel::load(model_, {.adapters = {adapter_.string() + ",weight=0"}})), plain);
  EXPECT_NE(logits(ApiModel::load(model_), state_), plain);
}

TEST_F(ApiTuned, OfAnotherModelAreRefusedUnlessAnyWillDo) {
  EXPECT_NE(refusal({.adapters = {adapter_.string()}}).find("any_base"), std::string::npos);
  EXPECT_NE(refusal({}, state_).find("any_base"), std::string::npos);
  EXPECT_EQ(refusal({.adapters = {adapter_.string()}, .any_base = true}, state_), "done");
}

TEST_F(ApiTuned, AreTakenFromC) {
  const std::string file = adapter_.string();
  const char* adapters[] = {file.c_str(), nullptr};
  aviary_load_options options = {};
  options.adapters = adapters;
  EXPECT_EQ(aviary_load(other_.c_str(), &options), nullptr);
  EXPECT_NE(std::string(aviary_last_error()).find("any_base"), std::string::npos);
  options.any_base = 1;
  aviary_model* model = aviary_load(other_.c_str(), &options);
  ASSERT_NE(model, nullptr) << aviary_last_error();
  aviary_state* state = aviary_state_tuned(model, state_.c_str());
  ASSERT_NE(state, nullptr) << aviary_last_error();
  std::vector<float> found(23);
  EXPECT_EQ(aviary_eval(model, state, tokens.data(), tokens.size(), found.data()), 0);
  EXPECT_EQ(found, logits(ApiModel::load(other_, {.adapters = {file}, .any_base = true}), state_));
  EXPECT_EQ(aviary_state_tuned(model, other_.c_str()), nullptr);
  aviary_state_free(state);
  aviary_free(model);
}

}  // namespace
}  // namespace aviary
