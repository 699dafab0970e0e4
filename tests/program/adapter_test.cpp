// Adapters beside a model, and merged into it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "formats/safetensors.h"
#include "program.h"

namespace aviary::program {
namespace {

std::vector<float> floats_in(const fs::path& path) {
  const std::string bytes = read(path);
  std::vector<float> numbers(bytes.size() / sizeof(float));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

class ProgramAdapters : public testing::Test {
 protected:
  // A tiny run, and a MiSS adapter [2, width] for one of its matrices.
  ProgramAdapters() {
    train_tiny(folder_.path(), 2);
    const int64_t width = read_tensor_file(folder_ / "run/model.safetensors").find("emb.weight")->shape[1];
    std::vector<float> numbers(static_cast<size_t>(2 * width));
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = std::sin(static_cast<float>(i));
    const TensorEntry entry{
        "blocks.0.ffn.value.disha", Dtype::f32, {2, width}, std::as_bytes(std::span(numbers))};
    write_safetensors(folder_ / "a.st", std::vector<StoredTensor>{{entry, Dtype::f32}});
  }

  std::vector<float> logits(const std::string& model, const Arguments& more = {}) {
    expect_success(run(
        folder_.path(),
        Arguments{"logits", model, "--tokens", "1,2,3", "--precision", "f32", "--raw", "out.f32"} + more));
    return floats_in(folder_ / "out.f32");
  }
  double difference(const std::vector<float>& a, const std::vector<float>& b) const {
    double largest = a.size() == b.size() ? 0 : 1;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
      largest = std::max(largest, static_cast<double>(std::abs(a[i] - b[i])));
    return largest;
  }

  const TestFolder folder_;
};

TEST_F(ProgramAdapters, AreTheSameBesideTheModelAndMerged) {
  const std::vector<float> plain = logits("run"), beside = logits("run", {"--adapter", "a.st"});
  expect_success(run(folder_.path(), {"merge", "run", "a.st", "--out", "merged.safetensors"}));
  EXPECT_LE(difference(beside, logits("merged.safetensors")), 1e-4);
  EXPECT_GT(difference(beside, plain), 1e-3);
  EXPECT_EQ(logits("run", {"--adapter", "a.st,weight=0"}), plain);
  // The tokenizer is merged along.
  expect_success(run(folder_.path(), {"generate", "merged.safetensors", "-p", "The", "-n", "2"}));
}

TEST_F(ProgramAdapters, AreNeverReplacedByWhatIsWritten) {
  const std::string before = read(folder_ / "a.st");
  for (const Arguments& command :
       {Arguments{"merge", "run", "a.st", "--out", "run/model.safetensors"},
        Arguments{"merge", "run", "a.st", "--out", "run/checkpoint.safetensors"},
        Arguments{"logits", "run", "--tokens", "1", "--adapter", "a.st", "--raw", "a.st"}})
    expect_refusal(run(folder_.path(), command), {"cannot be written"});
  fs::create_symlink("a.st", folder_ / "link.safetensors");
  expect_refusal(run(folder_.path(), {"merge", "run", "a.st", "--out", "link.safetensors"}),
                 {"cannot be written"});
  expect_refusal(run(folder_.path(), {"merge", "run", "a.st", "--out", "m.gguf"}),
                 {"m.gguf", "aviary convert"});
  EXPECT_EQ(read(folder_ / "a.st"), before);
}

TEST_F(ProgramAdapters, AreNotAddedTwice) {
  fs::create_directory(folder_ / "folder");  // as of a run of aviary tune
  fs::create_symlink("../a.st", folder_ / "folder/adapter.safetensors");
  for (const std::string again : {"a.st", "./a.st", "a.st,weight=0.5", "folder"}) {
    SCOPED_TRACE(again);
    expect_refusal(
        run(folder_.path(), {"logits", "run", "--tokens", "1", "--adapter", "a.st", "--adapter", again}),
        {"is given twice", "weight=2"});
    expect_refusal(run(folder_.path(), {"merge", "run", "a.st", again, "--out", "twice.safetensors"}),
                   {"is given twice"});
  }
  EXPECT_FALSE(fs::exists(folder_ / "twice.safetensors"));
  fs::copy_file(folder_ / "a.st", folder_ / "b.st");  // another file is another adapter
  EXPECT_NE(logits("run", {"--adapter", "a.st", "--adapter", "b.st"}), logits("run", {"--adapter", "a.st"}));
}

}  // namespace
}  // namespace aviary::program
