#include "embed/vector_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "formats/tensor_file.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

const std::vector<std::vector<float>> vectors = {{0.1F, -2}, {3e-20F, 1.0F / 3}, {0, 5}};
const VectorTexts texts = {{"a \"b\"", "\xff", "\u4f60"}, {1, 2, 4}};

std::string written(const TestFolder& folder, const std::string& name) {
  write_vectors(folder / name, texts, vectors);
  return read_file(folder / name, 1 << 20);
}

TEST(VectorFile, JsonLinesHaveTextsAndTheSameNumbers) {
  const TestFolder folder;
  std::string rest = written(folder, "v.jsonl");
  for (size_t i = 0; i < vectors.size(); ++i) {
    const auto row = parse_json(rest.substr(0, rest.find('\n')), "row");
    rest.erase(0, rest.find('\n') + 1);
    EXPECT_EQ(row["embedding"].get<std::vector<float>>(), vectors[i]);
    EXPECT_EQ(row["line"], texts.lines[i]);
    EXPECT_EQ(row["text"], i == 1 ? "\ufffd" : texts.texts[i]);
  }
  EXPECT_TRUE(rest.empty());
}

TEST(VectorFile, NpyHasTheHeaderOfNumPyAndTheBytes) {
  const TestFolder folder;
  const std::string bytes = written(folder, "v.npy");
  ASSERT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const size_t begin = 10 + static_cast<uint8_t>(bytes[8]) + 256U * static_cast<uint8_t>(bytes[9]);
  EXPECT_EQ(begin % 64, 0U);
  EXPECT_EQ(bytes[begin - 1], '\n');
  EXPECT_NE(bytes.find("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"), bytes.npos);
  ASSERT_EQ(bytes.size(), begin + 24);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(std::memcmp(bytes.data() + begin + 8 * i, vectors[i].data(), 8), 0);
}

TEST(VectorFile, CsvAndSafetensorsHaveOneRowPerText) {
  const TestFolder folder;
  EXPECT_EQ(written(folder, "v.csv"), "0.1,-2\n3e-20,0.33333334\n0,5\n");
  write_vectors(folder / "v.safetensors", texts, vectors);
  const std::string bytes = read_file(folder / "v.safetensors", 1 << 20);
  const TensorTable table = parse_tensors(std::as_bytes(std::span(bytes)), "v");
  ASSERT_EQ(table.tensors.size(), 1U);
  EXPECT_EQ(table.tensors[0].name, "embeddings");
  EXPECT_EQ(table.tensors[0].shape, (std::vector<int64_t>{3, 2}));
}

TEST(VectorFile, AnotherNameIsRefused) {
  EXPECT_THROW(require_vector_file("v.txt"), Error);
  EXPECT_THROW(require_vector_file("v"), Error);
}

}  // namespace
}  // namespace aviary
