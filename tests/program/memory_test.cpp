// Bounds on the memory of the program. The models have real shapes and random weights.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <memory>

#include "formats/pth.h"
#include "models/registry.h"
#include "program.h"

namespace aviary::program {
namespace {

constexpr int64_t of_the_program = int64_t{16} << 20;  // code, threads, scratch memory

// Writes a .pth in bf16, the usual form of published checkpoints. Returns the number of parameters.
int64_t write_random_model(const fs::path& path, int64_t vocabulary, int64_t layers, int64_t width) {
  ModelConfig config;
  config.version = "rwkv7";
  config.n_layer = layers;
  config.n_embd = width;
  config.vocab_size = vocabulary;
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

// Every matrix is packed once, and the memory that it was packed from is released meanwhile.
TEST(MemoryLong, RunningTakesATenthMoreThanTheWeights) {
  if (sanitized) GTEST_SKIP() << "sanitizers use memory of their own";
  const TestFolder folder;
  write_random_model(folder / "model.pth", 65536, 4, 1024);
  expect_success(run(folder.path(), {"convert", "model.pth", "model.gguf", "--type", "q8_0"}));
  for (const char* model : {"model.pth", "model.gguf"}) {
    const int64_t file = static_cast<int64_t>(fs::file_size(folder / model));
    ASSERT_GT(file, 190 << 20);
    const Outcome outcome = run(folder.path(), {"logits", model, "--tokens", "1,2,3"});
    expect_success(outcome);
    EXPECT_LT(outcome.peak_bytes, file + file / 10 + of_the_program) << model;
  }
}

// While it exists, limits the memory of the programs that are started: heap, stacks and other private pages,
// but not mapped files.
class PrivateMemoryLimit {
 public:
  explicit PrivateMemoryLimit(rlim_t bytes) {
    getrlimit(RLIMIT_DATA, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_DATA, &limit);
  }
  ~PrivateMemoryLimit() { setrlimit(RLIMIT_DATA, &before_); }
  PrivateMemoryLimit(const PrivateMemoryLimit&) = delete;
  PrivateMemoryLimit& operator=(const PrivateMemoryLimit&) = delete;

 private:
  rlimit before_{};
};

TEST(MemoryLong, ConvertingTakesLittleMemoryForModelsOfAnySize) {
  if (sanitized) GTEST_SKIP() << "sanitizers use memory of their own";
  const TestFolder folder;
  ASSERT_GT(write_random_model(folder / "model.pth", 65536, 4, 512) * 4, 300'000'000);
  for (const Arguments& to : {Arguments{"model.gguf", "--type", "q8_0"}, Arguments{"model.safetensors"},
                              Arguments{"f32.pth", "--type", "f32"}}) {
    const auto limit = std::make_unique<PrivateMemoryLimit>(rlim_t{200} << 20);
    const Outcome outcome = run(folder.path(), Arguments{"convert", "model.pth"} + to);
    expect_success(outcome);
    fs::remove(folder / to[0]);
  }
}

}  // namespace
}  // namespace aviary::program
