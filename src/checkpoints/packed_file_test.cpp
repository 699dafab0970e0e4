#include "checkpoints/packed_file.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/random.h"
#include "checkpoints/checkpoint.h"
#include "formats/safetensors.h"
#include "models/run.h"
#include "support/test_folder.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

// The logits of a few tokens, read in one step and then one more token.
std::vector<double> packed_logits(Model& model) {
  Runner runner(model);
  State state = runner.new_state();
  const std::vector<int32_t> tokens{5, 250, 7};
  std::vector<double> all = to_host(runner.all_logits(tokens, Sequences::uniform(1, 3), state));
  const std::vector<double> last =
      to_host(runner.last_logits({tokens.data(), 1}, Sequences::uniform(1, 1), state));
  all.insert(all.end(), last.begin(), last.end());
  return all;
}

class PackedFile : public testing::Test {
 protected:
  void save(const std::string& version, uint64_t seed = 3) {
    const ModelConfig config{
        .version = version, .n_layer = 2, .n_embd = 64, .vocab_size = 256, .ctx_len = 16};
    const std::unique_ptr<Model> model = noisy_model(config);
    Random random(seed);
    const Tensor& embedding = model->parameters().begin()->weight.value();
    for (int64_t i = 0; i < embedding.count(); ++i)
      embedding.as<float>()[i] += static_cast<float>(0.1 * random.normal());
    save_checkpoint(path(), *model, nullptr);
  }
  std::string path() const { return folder_ / "model.safetensors"; }
  fs::path packed() const { return packed_path(path()); }

  // The logits of the model opened with the packed file, and whether the file was written.
  struct Opened {
    std::vector<double> logits;
    bool written;
    std::string reason;  // why not
  };
  Opened open(kernels::Precision precision = kernels::Precision::f32) const {
    Opened opened{{}, false, ""};
    const PackedCache cache{.progress = [&](int64_t, int64_t) { opened.written = true; },
                            .not_written = [&](const std::string& reason) { opened.reason = reason; }};
    const Checkpoint checkpoint = open_checkpoint(path(), precision, cache);
    opened.logits = packed_logits(*checkpoint.model);
    return opened;
  }
  std::vector<double> plain(kernels::Precision precision = kernels::Precision::f32) const {
    return packed_logits(*open_checkpoint(path(), precision).model);
  }
  void expect_made_anew() const {
    const Opened opened = open();
    EXPECT_TRUE(opened.written);
    EXPECT_EQ(opened.logits, plain());
    EXPECT_FALSE(open().written);
  }

  TestFolder folder_;
};

class PackedFileOfVersion : public PackedFile, public testing::WithParamInterface<std::string> {};

TEST_P(PackedFileOfVersion, ChangesNoBit) {
  save(GetParam());
  for (kernels::Precision precision : {kernels::Precision::f32, kernels::Precision::bf16}) {
    const std::vector<double> expected = plain(precision);
    const Opened first = open(precision), second = open(precision);
    EXPECT_TRUE(first.written);
    EXPECT_FALSE(second.written);
    EXPECT_EQ(first.logits, expected);
    EXPECT_EQ(second.logits, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, PackedFileOfVersion, testing::ValuesIn(version_names()), test_name);

TEST_F(PackedFile, IsRewrittenForOtherNumbers) {
  save("rwkv7", 3);
  open();
  const fs::file_time_type time = fs::last_write_time(path());
  save("rwkv7", 4);
  fs::last_write_time(path(), time);
  expect_made_anew();
}

TEST_F(PackedFile, IsRewrittenForAnotherInstructionSetWithAnotherLayout) {
  save("rwkv7");
  open();
  auto layout = [&] { return packed_key(read_tensor_file(path())).layout; };
  const kernels::Isa before = kernels::isa();
  const uint64_t best = layout();
  kernels::set_isa(kernels::Isa::baseline);
  const bool differs = layout() != best;
  if (differs) expect_made_anew();
  kernels::set_isa(before);
  if (!differs) GTEST_SKIP() << "all instruction sets of this CPU have one layout";
}

TEST_F(PackedFile, IsRewrittenIfTheModelFileWasRewritten) {
  save("rwkv7");
  open();
  fs::last_write_time(path(), fs::last_write_time(path()) + std::chrono::seconds(1));
  expect_made_anew();
}

TEST_F(PackedFile, IsNextToAFolder) {
  EXPECT_EQ(packed_path("/models/a/"), fs::path("/models/a.packed"));
  EXPECT_EQ(packed_path("/models/a/."), fs::path("/models/a.packed"));
  EXPECT_EQ(packed_path("/models/a.gguf"), fs::path("/models/a.gguf.packed"));
}

TEST_F(PackedFile, IsOptionalIfItCannotBeWritten) {
  save("rwkv7");
  fs::create_directory(packed());
  const Opened opened = open();
  EXPECT_EQ(opened.logits, plain());
  EXPECT_NE(opened.reason.find(".packed"), std::string::npos) << opened.reason;
}

TEST_F(PackedFile, HasThePermissionsOfTheModel) {
  save("rwkv7");
  fs::permissions(path(), fs::perms::owner_read | fs::perms::owner_write);
  open();
  EXPECT_EQ(fs::status(packed()).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(PackedFile, IsRewrittenIfItIsDamaged) {
  save("rwkv7");
  open();
  fs::resize_file(packed(), fs::file_size(packed()) - 1);
  expect_made_anew();
  write_file_atomically(packed(), "something else");
  expect_made_anew();
}

TEST_F(PackedFile, IsRewrittenIfANumberHasChanged) {
  save("rwkv7");
  open();
  const std::string good = read_file(packed(), 1 << 30);
  uint64_t header = 0;
  std::memcpy(&header, good.data(), sizeof(header));
  const size_t first = 8 + header;
  Random random(7);
  for (int i = 0; i < 20; ++i) {
    std::string bad = good;
    const size_t at =
        i == 0   ? first
        : i == 1 ? good.size() - 1
                 : first + static_cast<size_t>(random.below(std::ssize(good) - static_cast<int64_t>(first)));
    bad[at] = static_cast<char>(bad[at] ^ (1 << i % 8));
    write_file_atomically(packed(), bad);
    SCOPED_TRACE(at);
    expect_made_anew();
    EXPECT_EQ(read_file(packed(), 1 << 30), good);
  }
}

// Its header is untrusted input, too.
class StrangePackedFile : public PackedFile, public testing::WithParamInterface<std::string> {};

TEST_P(StrangePackedFile, IsRewrittenIfItsMatricesAreNotThoseOfTheModel) {
  save(GetParam());
  open();
  const TensorFile good = read_tensor_file(packed());
  const char* entry = "aviary.packed_matrices";
  using Json = nlohmann::json;
  auto with = [&](auto change) {
    std::map<std::string, std::string> metadata = good.metadata();
    Json matrices = Json::parse(metadata.at(entry));
    change(matrices);
    metadata[entry] = matrices.dump();
    write_safetensors(packed(), unchanged(good.tensors()), metadata);
    expect_made_anew();
  };
  for (const Json& size : {Json(1 << 20), Json(-64), Json("many"), Json(1e300), Json(INT64_MAX), Json(true)})
    for (const char* key : {"k", "n"}) with([&](Json& matrices) { matrices.back()[key] = size; });
  with([](Json& matrices) { matrices[0]["type"] = "i64"; });
  with([](Json& matrices) { matrices[0]["weight"] = "blocks.0.nobody"; });
  with([](Json& matrices) { matrices[0].erase("weight"); });
  with([](Json& matrices) { matrices.push_back(matrices[0]); });
  with([](Json& matrices) { matrices = Json::array(); });
  with([](Json& matrices) { matrices = 5; });
  with([](Json& matrices) { matrices = nullptr; });
}

// Matrices of the right sizes, but transposed: the weights are packed from the model instead.
TEST_P(StrangePackedFile, WithTransposedMatricesChangesNoBit) {
  save(GetParam());
  open();
  const TensorFile good = read_tensor_file(packed());
  std::map<std::string, std::string> metadata = good.metadata();
  nlohmann::json matrices = nlohmann::json::parse(metadata.at("aviary.packed_matrices"));
  for (nlohmann::json& matrix : matrices) std::swap(matrix["k"], matrix["n"]);
  metadata["aviary.packed_matrices"] = matrices.dump();
  write_safetensors(packed(), unchanged(good.tensors()), metadata);
  EXPECT_EQ(open().logits, plain());
}

INSTANTIATE_TEST_SUITE_P(Versions, StrangePackedFile, testing::Values("rwkv4", "rwkv6", "rwkv7"), test_name);

TEST_F(PackedFile, WithAnyByteOfItsHeaderChangedDoesNotPreventLoading) {
  save("rwkv7");
  open();
  const std::string good = read_file(packed(), 1 << 30);
  const std::vector<double> expected = plain();
  uint64_t header = 0;
  std::memcpy(&header, good.data(), sizeof(header));
  for (size_t at = 0; at < 8 + header; at += at < 64 ? 1 : 29) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    write_file_atomically(packed(), bad);
    ASSERT_EQ(open().logits.size(), expected.size()) << "byte " << at;
  }
}

TEST_F(PackedFile, IsNotAModelItself) {
  save("rwkv7");
  open();
  try {
    open_checkpoint(packed());
    FAIL() << "it was opened as a model";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("name the model itself"), std::string::npos) << error.what();
  }
}

TEST_F(PackedFile, DoesNotHideThatTheModelIsBroken) {
  save("rwkv7");
  std::string bytes = read_file(path(), 1 << 30);
  const std::string not_a_number = "\xff\xff\xff\xff";
  bytes.replace(bytes.size() - 4, 4, not_a_number);
  write_file_atomically(path(), bytes);
  EXPECT_THROW(open(), Error);
  EXPECT_FALSE(fs::exists(packed()));
}

}  // namespace
}  // namespace aviary
