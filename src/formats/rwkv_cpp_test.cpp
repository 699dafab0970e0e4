#include "formats/rwkv_cpp.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "support/test_bytes.h"

namespace aviary {
namespace {

TestBinTensor tensor_of(const std::string& name, std::vector<int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape) count *= size;
  return {name, std::move(shape), floats(std::vector<double>(static_cast<size_t>(count), 1.0))};
}
const TestBinTensor emb_tensor = tensor_of("emb.weight", {2, 3});

TensorTable parse_text(const std::string& text) {
  static std::vector<std::byte> bytes;  // the tables point into it
  bytes = exact_copy(text);
  return parse_rwkv_cpp(bytes, "file");
}

TEST(RwkvCpp, ReadsNamesShapesTypesAndNumbers) {
  const std::string block = le(to_f16(0.5f).bits) + std::string(32, '\4');
  const TensorTable table =
      parse_text(bin_of({{"emb.weight", {2, 3}, floats({1, 2, 3, 4, 5, 6})},
                         {"blocks.0.a", {1, 1, 2}, le(to_f16(1.5f).bits) + le(to_f16(-2).bits), 1},
                         {"blocks.1.b", {32}, block, 9}}));
  EXPECT_EQ(table.format, "rwkv.cpp");
  ASSERT_EQ(table.tensors.size(), 3u);
  EXPECT_EQ(table.tensors[0].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(to_doubles(table.tensors[0]), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(table.tensors[1].shape, (std::vector<int64_t>{1, 1, 2}));
  EXPECT_EQ(to_doubles(table.tensors[1]), (std::vector<double>{1.5, -2}));
  EXPECT_EQ(table.tensors[2].dtype, Dtype::q8_0);
  EXPECT_EQ(to_doubles(table.tensors[2]), std::vector<double>(32, 2));
}

void expect_rwkv_cpp_refused(const std::string& text, std::string_view part) {
  const std::string answer = verdict(text);
  EXPECT_EQ(answer.find("file: "), 0u) << answer;
  EXPECT_NE(answer.find(part), std::string::npos) << answer;
}

TEST(RwkvCpp, UnsupportedTypesAndVersionsAreNamed) {
  expect_rwkv_cpp_refused(bin_of({emb_tensor}, 99), "version 99, expected 100 or 101");
  expect_rwkv_cpp_refused(bin_of({emb_tensor}, 101, 4), "the file is of type Q4_1_O, which is not read");
  expect_rwkv_cpp_refused(bin_of({emb_tensor}, 101, 12), "Q3_K");
  expect_rwkv_cpp_refused(bin_of({emb_tensor}, 101, 40), "of type 40, which rwkv.cpp does not have");
  expect_rwkv_cpp_refused(bin_of({emb_tensor}, 100, 7), "Q5_0 in a file of version 100");
  expect_rwkv_cpp_refused(bin_of({emb_tensor, {"x", {32}, std::string(20, 'x'), 3}}, 100),
                          "tensor 'x' is of type Q4_1 in a file of version 100");
  expect_rwkv_cpp_refused(bin_of({emb_tensor, {"x", {32}, std::string(20, 'x'), 5}}),
                          "tensor 'x' is of type Q4_2");
  EXPECT_EQ(verdict(bin_of({emb_tensor}, 100, 1)), "read");
}

TEST(RwkvCpp, RejectsInvalidContent) {
  const std::string good = bin_of({emb_tensor});
  EXPECT_EQ(verdict(good), "read");
  expect_rwkv_cpp_refused(good.substr(0, 20), "4 bytes are expected at byte 20");
  expect_rwkv_cpp_refused(good.substr(0, 24), "emb.weight is missing");
  expect_rwkv_cpp_refused(bin_of({emb_tensor, emb_tensor}), "two tensors are named 'emb.weight'");
  expect_rwkv_cpp_refused(bin_of({emb_tensor, tensor_of("", {1})}), "has no name");
  expect_rwkv_cpp_refused(bin_of({emb_tensor, {"x", {}, ""}}), "has 0 dimensions");
  expect_rwkv_cpp_refused(bin_of({emb_tensor, {"x", {1, 1, 1, 1}, "...."}}), "has 4 dimensions");
  expect_rwkv_cpp_refused(bin_of({emb_tensor, {"x", {3, 0}, ""}}), "shape [3, 0]");
  expect_rwkv_cpp_refused(bin_of({emb_tensor, {"x", {33}, std::string(34, 'x'), 9}}), "rows of 33 numbers");
  expect_rwkv_cpp_refused(bin_of({emb_tensor, {"x", {0xffffffff, 0xffffffff, 0xffffffff}, ""}}),
                          "impossible shape");
  expect_rwkv_cpp_refused(bin_of({emb_tensor, {"x", {0x40000000, 0x10000000}, ""}}), "bytes are expected");
  expect_rwkv_cpp_refused(
      good + le(uint32_t{1}) + le(uint32_t{0xffffffff}) + le(uint32_t{0}) + le(uint32_t{1}),
      "4294967295 bytes are expected");
  std::string layers = good;
  layers[16] = 7;
  expect_rwkv_cpp_refused(layers, "the header says 7 layers, but the tensors are of 0");
  std::string width = good;
  width[12] = 4;
  expect_rwkv_cpp_refused(width, "the header says 2 tokens and width 4, but emb.weight has the shape [2, 3]");
}

// ---- Malicious files.

// The golden RWKV-6 as a .bin file.
std::string sample() {
  std::vector<TestBinTensor> tensors;
  const TensorFile file = read_tensor_file(golden("rwkv-v6/model.safetensors"));
  for (const TensorEntry& tensor : file.tensors())
    tensors.push_back({tensor.name, tensor.shape, floats(to_doubles(tensor))});
  return bin_of(tensors);
}

TEST(RwkvCpp, AFileTruncatedAnywhereIsRejected) {
  const std::string text = sample();
  EXPECT_EQ(verdict(text), "read");
  for (size_t i = 0; i < 64; ++i) EXPECT_NE(verdict(text.substr(0, text.size() * i / 64)), "read") << i;
}

TEST(RwkvCpp, DamagedFilesAreReadOrRejectedButNeverCrash) {
  const std::string text = sample();
  Random random(21);
  std::vector<size_t> numbers;  // where headers and names are, half of the time; anywhere else otherwise
  for (size_t i = text.find("blocks."); i != std::string::npos; i = text.find("blocks.", i + 1))
    numbers.push_back(i);
  int refused = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = text;
    const size_t name = numbers[static_cast<size_t>(random.below(std::ssize(numbers)))];
    const size_t at = round % 2 ? name - 24 + static_cast<size_t>(random.below(40))
                                : static_cast<size_t>(random.below(std::ssize(text)));
    damaged[at] = static_cast<char>(random.below(256));
    const std::string answer = verdict(damaged);
    if (answer == "read") continue;
    EXPECT_EQ(answer.find("file: "), 0u) << answer;
    ++refused;
  }
  EXPECT_GT(refused, 400);
}

}  // namespace
}  // namespace aviary
