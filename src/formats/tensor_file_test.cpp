#include "formats/tensor_file.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "base/random.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/gguf_writer.h"
#include "formats/gguf.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "support/test_bytes.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

// One small file of each format.
const std::string samples[] = {"pth-formats/expected.safetensors", "pth-formats/zip.pth",
                               "pth-formats/legacy.pth", "pth-formats/state_dict_metadata.pth",
                               "pth-formats/zip_with_strings.pth"};

// Every byte that a table refers to must be readable; the sum keeps the compiler from removing the reads.
double touch(const TensorTable& table) {
  double sum = 0;
  for (const TensorEntry& tensor : table.tensors)
    for (double value : to_doubles(tensor)) sum += value;
  return sum;
}

// Reads the file or throws Error; anything else is a crash.
bool is_read(const std::string& text) {
  std::vector<std::byte> bytes = exact_copy(text);
  try {
    volatile double sum = touch(parse_tensors(bytes, "file"));
    static_cast<void>(sum);
    return true;
  } catch (const Error&) {
    return false;
  }
}

TEST(TensorFile, ReadsEveryGoldenFile) {
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(golden(""))) {
    std::filesystem::path extension = entry.path().extension();
    if (extension != ".safetensors" && extension != ".pth") continue;
    TensorFile file = read_tensor_file(entry.path());
    EXPECT_EQ("."s + file.format(), extension) << entry.path();
    EXPECT_FALSE(file.tensors().empty()) << entry.path();
    for (const TensorEntry& tensor : file.tensors()) {
      int64_t bytes = expected_bytes(tensor, "");
      EXPECT_EQ(static_cast<size_t>(bytes), tensor.data.size()) << entry.path() << " " << tensor.name;
    }
    ++files;
  }
  EXPECT_GE(files, 100);
}

TEST(TensorFile, RecognizesTheFormatFromTheContentNotTheName) {
  TestFolder folder;
  std::filesystem::copy_file(golden("rwkv-v4/model.pth"), folder / "model.safetensors");
  std::filesystem::copy_file(golden("rwkv-v4/model.safetensors"), folder / "model.pth");
  EXPECT_EQ(read_tensor_file(folder / "model.safetensors").format(), "pth");
  TensorFile file = read_tensor_file(folder / "model.pth");
  EXPECT_EQ(file.format(), "safetensors");
  const TensorEntry* before = file.find("emb.weight");
  ASSERT_NE(before, nullptr);
  TensorFile moved = std::move(file);
  EXPECT_EQ(moved.find("emb.weight"), before);
}

TEST(TensorFile, TheErrorForAnUnknownFileSaysWhatItLooksLike) {
  auto expect = [](const std::string& text, std::string_view part) {
    std::string answer = verdict(text);
    EXPECT_NE(answer.find(part), std::string::npos) << answer;
    EXPECT_NE(answer.find("expected one of .pth, .safetensors, "), std::string::npos) << answer;
  };
  expect("lmgg....", "a ggml file of an old llama.cpp");
  expect("[{\"id\": {\"a\": 1}}]\n", "the file is text");
  expect("<!DOCTYPE html>", "a web page");
  expect("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer");
  expect("\x1f\x8b\x08", "compressed with gzip");
  expect("\x80\x04N.", "a Python pickle that torch.save did not write");
  expect(std::string(100, '\0'), "nothing but zeros");
  expect("\x01\x02\x03", "of an unknown kind");
}

TEST(TensorFile, NamesTheFileThatCannotBeRead) {
  TestFolder folder;
  write_file_atomically(folder / "a.pth", "text");
  for (std::string name : {"a.pth", "none.pth"}) try {
      read_tensor_file(folder / name);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find((folder / name).string()), 0u) << error.what();
    }
}

TEST(TensorFile, AFileTruncatedAnywhereIsRejected) {
  for (const std::string& sample : samples) {
    std::string text = read_file(golden(sample), 1 << 20);
    EXPECT_TRUE(is_read(text)) << sample;
    for (size_t i = 0; i < 64; ++i)
      EXPECT_FALSE(is_read(text.substr(0, text.size() * i / 64))) << sample << " " << i;
  }
}

TEST(TensorFile, DamagedFilesAreReadOrRejectedButNeverCrash) {
  Random random(20);
  for (const std::string& sample : samples) {
    std::string text = read_file(golden(sample), 1 << 20);
    int refused = 0;
    for (int round = 0; round < 2000; ++round) {
      std::string damaged = text;
      for (int64_t flips = 1 + random.below(4); flips > 0; --flips)
        damaged[static_cast<size_t>(random.below(static_cast<int64_t>(text.size())))] ^=
            static_cast<char>(1 << random.below(8));
      if (!is_read(damaged)) ++refused;
    }
    EXPECT_GT(refused, 100) << sample;
  }
}

TEST(TensorFile, ConvertsEveryDtypeToNumbers) {
  auto check = [](Dtype dtype, const std::string& data, std::vector<double> expected) {
    std::vector<std::byte> bytes = exact_copy("?"s + data);  // one byte in: not aligned
    TensorEntry tensor{"x", dtype, {static_cast<int64_t>(expected.size())}, std::span(bytes).subspan(1)};
    EXPECT_EQ(to_doubles(tensor), expected) << name_of(dtype);
    std::vector<float> floats(expected.size());
    to_floats(tensor, floats);
    for (size_t i = 0; i < floats.size(); ++i)
      EXPECT_EQ(floats[i], static_cast<float>(expected[i])) << name_of(dtype);
  };
  check(Dtype::f32, le(1.5f) + le(-0.1f), {1.5, static_cast<double>(-0.1f)});
  check(Dtype::f64, le(1.5) + le(-0.1), {1.5, -0.1});
  check(Dtype::f16, le(uint16_t{0x3c00}) + le(uint16_t{0xc100}), {1.0, -2.5});
  check(Dtype::bf16, le(uint16_t{0x3f80}) + le(uint16_t{0xc020}), {1.0, -2.5});
  check(Dtype::i8, le(int8_t{-128}) + le(int8_t{127}), {-128, 127});
  check(Dtype::u8, le(uint8_t{0}) + le(uint8_t{255}), {0, 255});
  check(Dtype::i16, le(int16_t{-32768}) + le(int16_t{7}), {-32768, 7});
  check(Dtype::i32, le(int32_t{-5}) + le(int32_t{1 << 30}), {-5, 1 << 30});
  check(Dtype::i64, le(int64_t{-5}) + le(int64_t{1} << 40), {-5, 0x1p40});
  check(Dtype::boolean, std::string("\0\1\2", 3), {0, 1, 1});
  check(Dtype::f32, "", {});
}

// Writes the tensors of a model, the large ones as another type, with each of the writers.
using Writer = std::function<void(const std::filesystem::path&, const WriteProgress&)>;
std::map<std::string, Writer> writers(const TensorFile& file) {
  std::vector<StoredTensor> tensors = unchanged(file.tensors());
  for (StoredTensor& tensor : tensors)
    if (is_matrix(tensor.source)) tensor.type = Dtype::bf16;
  const ModelConfig config = config_of(file, "model");
  return {
      {"a.safetensors", [=](auto& path, auto& progress) { write_safetensors(path, tensors, {}, progress); }},
      {"a.pth", [=](auto& path, auto& progress) { write_pth(path, tensors, progress); }},
      {"a.gguf",
       [=](auto& path, auto& progress) { write_gguf(path, config, tensors, {}, nullptr, progress); }}};
}

TEST(Writers, ReportProgress) {
  TestFolder folder;
  const TensorFile file = read_tensor_file(golden("rwkv-v7/model.safetensors"));
  for (const auto& [name, write] : writers(file)) {
    SCOPED_TRACE(name);
    int64_t before = 0, all = 0;
    write(folder / name, [&](int64_t written, int64_t total) {
      EXPECT_GT(written, before);
      EXPECT_TRUE(all == 0 || all == total);
      before = written;
      all = total;
    });
    EXPECT_EQ(before, all) << name;
    EXPECT_GT(all, 10000) << name;
    EXPECT_LT(all, static_cast<int64_t>(std::filesystem::file_size(folder / name))) << name;
  }
}

TEST(Writers, AreStoppedByAnExceptionAndKeepTheOldFile) {
  TestFolder folder;
  const TensorFile file = read_tensor_file(golden("rwkv-v7/model.safetensors"));
  for (const auto& [name, write] : writers(file)) {
    write_file_atomically(folder / name, "before");
    const auto stop = [](int64_t written, int64_t total) {
      if (written > total / 2) throw 1;
    };
    EXPECT_THROW(write(folder / name, stop), int) << name;
    EXPECT_EQ(read_file(folder / name, 100), "before") << name;
  }
  const std::filesystem::directory_iterator files(folder.path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 3) << "a temporary file is left";
}

TEST(TensorFile, RejectsASpanOfAnotherSize) {
  std::vector<std::byte> data(8);
  TensorEntry tensor{"x", Dtype::f32, {2}, data};
  std::vector<float> floats(3);
  EXPECT_THROW(to_floats(tensor, floats), Error);
}

}  // namespace
}  // namespace aviary
