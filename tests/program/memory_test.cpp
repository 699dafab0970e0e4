// What the program may take of the machine's memory. Models here are of real shapes, with random weights.
#include <gtest/gtest.h>

#include "formats/pth.h"
#include "models/model.h"
#include "program.h"

namespace aviary::program {
namespace {

constexpr int64_t slack = int64_t{48} << 20;  // the program, its threads, its scratch memory

// A .pth in bf16, as checkpoints are published. Returns the number of parameters.
int64_t write_random_model(const fs::path& path) {
  ModelConfig config;
  config.version = "rwkv7";
  config.n_layer = 6;
  config.n_embd = 1024;
  config.vocab_size = 256;
  config.head_size = 64;
  const std::unique_ptr<Model> model = create_model(model_version("rwkv7").complete(config));
  Random random(1);
  std::vector<StoredTensor> tensors;
  for (Parameter& parameter : model->parameters()) {
    const Tensor& value = parameter.weight.value();
    for (int64_t i = 0; i < value.count(); ++i)
      value.as<float>()[i] = static_cast<float>(random.uniform(-0.05, 0.05));
    TensorEntry entry{.name = parameter.spec.name, .dtype = Dtype::f32, .shape = {}, .data = {}};
    for (int i = 0; i < value.shape().rank(); ++i) entry.shape.push_back(value.shape()[i]);
    entry.data = {static_cast<const std::byte*>(value.data()), static_cast<size_t>(value.bytes())};
    tensors.push_back({entry, Dtype::bf16});
  }
  write_pth(path, tensors);
  return model->parameters().count();
}

TEST(MemoryLong, GeneratingTakesTheFileAndTheWeightsOnce) {
  if (sanitized) GTEST_SKIP() << "sanitizers use memory of their own";
  const TestFolder folder;
  const int64_t parameters = write_random_model(folder / "model.pth");
  const int64_t file = static_cast<int64_t>(fs::file_size(folder / "model.pth"));
  ASSERT_GT(file, 100 << 20);
  const Outcome outcome = run(folder.path(), {"logits", "model.pth", "--tokens", "1,2,3"});
  expect_success(outcome);
  EXPECT_LT(outcome.peak_bytes, file + parameters * 4 + slack);
}

}  // namespace
}  // namespace aviary::program
