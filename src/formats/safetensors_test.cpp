#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <numeric>

#include "support/test_bytes.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

std::string with_header(const std::string& header, const std::string& data = "") {
  return le(uint64_t{header.size()}) + header + data;
}

void expect_safetensors_refused(const std::string& text, std::string_view part) {
  std::string answer = verdict(text);
  EXPECT_NE(answer.find(part), std::string::npos) << text << "\n" << answer;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\""s + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":" + offsets + "}";
}

TEST(Safetensors, SavingALoadedFileGivesTheSameBytes) {
  TestFolder folder;
  std::vector<std::byte> data(200);
  std::iota(reinterpret_cast<uint8_t*>(data.data()), reinterpret_cast<uint8_t*>(data.data()) + 200,
            uint8_t{0});
  std::span<const std::byte> bytes(data);
  std::vector<TensorEntry> tensors = {{"z", Dtype::f64, {2, 3}, bytes.first(48)},
                                      {"f32", Dtype::f32, {2}, bytes.subspan(1, 8)},
                                      {"scalar", Dtype::i64, {}, bytes.first(8)},
                                      {"empty", Dtype::f32, {0, 4}, {}},
                                      {"half", Dtype::f16, {1, 3}, bytes.first(6)},
                                      {"brain", Dtype::bf16, {3}, bytes.first(6)},
                                      {"bool", Dtype::boolean, {5}, bytes.first(5)},
                                      {"i8 \"quoted\"\n\u00e9", Dtype::i8, {3}, bytes.first(3)},
                                      {"u8", Dtype::u8, {3}, bytes.first(3)},
                                      {"i16", Dtype::i16, {3}, bytes.first(6)},
                                      {"i32", Dtype::i32, {2, 1, 2}, bytes.first(16)}};
  std::map<std::string, std::string> metadata = {{"format", "pt"}, {"config", "{\"a\": 1}\n"}};
  write_safetensors(folder / "a", unchanged(tensors), metadata);
  TensorFile file = read_tensor_file(folder / "a");
  EXPECT_EQ(file.format(), "safetensors");
  EXPECT_EQ(file.metadata(), metadata);
  ASSERT_EQ(file.tensors().size(), tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const TensorEntry& tensor = file.tensors()[i];
    EXPECT_EQ(tensor.name, tensors[i].name);
    EXPECT_EQ(tensor.dtype, tensors[i].dtype);
    EXPECT_EQ(tensor.shape, tensors[i].shape);
    EXPECT_EQ(as_text(tensor.data), as_text(tensors[i].data)) << tensor.name;
    EXPECT_EQ(file.find(tensor.name), &tensor);
  }
  EXPECT_EQ(file.find("none"), nullptr);
  write_safetensors(folder / "b", unchanged(file.tensors()), file.metadata());
  std::string text = read_file(folder / "a", 10'000);
  EXPECT_EQ(read_file(folder / "b", 10'000), text);
  EXPECT_EQ((8 + static_cast<size_t>(text[0])) % 8, 0u);
}

TEST(Safetensors, AFileCanBeWrittenOverItselfWhileItIsOpen) {
  TestFolder folder;
  std::filesystem::copy_file(golden("rwkv-v4/model.safetensors"), folder / "a");
  TensorFile file = read_tensor_file(folder / "a");
  write_safetensors(folder / "a", unchanged(file.tensors()));
  TensorFile again = read_tensor_file(folder / "a");
  ASSERT_EQ(again.tensors().size(), file.tensors().size());
  for (size_t i = 0; i < file.tensors().size(); ++i)
    EXPECT_EQ(as_text(again.tensors()[i].data), as_text(file.tensors()[i].data));
}

TEST(Safetensors, ReadsAnEmptyFileOfNoTensors) {
  EXPECT_EQ(verdict(with_header("{}")), "read");
  EXPECT_EQ(verdict(with_header("{\"__metadata__\":{}}      ")), "read");
}

TEST(Safetensors, OrdersTensorsByTheirData) {
  std::string text =
      with_header("{"s + entry("b", "U8", "[2]", "[1,3]") + "," + entry("e", "U8", "[0]", "[1,1]") + "," +
                      entry("a", "I8", "[1]", "[0,1]") + "}",
                  "abc");
  std::vector<std::byte> bytes = exact_copy(text);
  TensorTable table = parse_tensors(bytes, "file");
  ASSERT_EQ(table.tensors.size(), 3u);
  EXPECT_EQ(table.tensors[0].name, "a");
  EXPECT_EQ(table.tensors[1].name, "e");
  EXPECT_EQ(as_text(table.tensors[2].data), "bc");
}

TEST(Safetensors, RejectsAnImpossibleHeaderLength) {
  for (uint64_t absurd : {uint64_t{100'000'001}, uint64_t{1} << 63, ~uint64_t{0}})
    expect_safetensors_refused(le(absurd) + "{}", "the safetensors header says that it has");
  expect_safetensors_refused(le(uint64_t{3}) + "{}", "but only 2 follow; the file is cut short");
}

TEST(Safetensors, RejectsDataThatDoesNotMatchItsShapeOrTheFile) {
  auto one = [](const std::string& shape, const std::string& offsets) {
    return with_header("{"s + entry("x", "F32", shape, offsets) + "}", "12345678");
  };
  EXPECT_EQ(verdict(one("[2]", "[0,8]")), "read");
  expect_safetensors_refused(one("[3]", "[0,12]"),
                             "ends at byte 12, but the file has only 8 bytes of data; it is cut short");
  expect_safetensors_refused(one("[1]", "[0,4]"), "4 bytes follow the data of the last tensor");
  expect_safetensors_refused(one("[3]", "[0,8]"), "its shape [3] of f32 needs 12 bytes");
  expect_safetensors_refused(one("[2]", "[8,0]"), "begins at byte 8, expected 0");
  expect_safetensors_refused(one("[1]", "[4,8]"), "begins at byte 4, expected 0");
  expect_safetensors_refused(one("[2]", "[0,9223372036854775807]"), "needs 8 bytes");
  expect_safetensors_refused(one("[2]", "[0,18446744073709551616]"), "a fraction");
  expect_safetensors_refused(one("[2]", "[0,9223372036854775808]"), "a number beyond 2^63");
  expect_safetensors_refused(one("[4611686018427387904]", "[0,0]"), "impossible shape");
  expect_safetensors_refused(one("[4294967296,4294967296,4]", "[0,8]"), "impossible shape");
  expect_safetensors_refused(one("[0,9223372036854775807,9223372036854775807]", "[0,0]"), "impossible shape");
  expect_safetensors_refused(one("[1,1,1,1,1,1,1,1,2]", "[0,8]"), "9 dimensions, expected at most 8");
  expect_safetensors_refused(
      with_header("{"s + entry("a", "U8", "[2]", "[0,2]") + "," + entry("b", "U8", "[2]", "[1,3]") + "}",
                  "abc"),
      "'b' begins at byte 1, expected 2");
}

TEST(Safetensors, RejectsAHeaderOfAnotherStructure) {
  std::string good = entry("x", "F32", "[0]", "[0,0]");
  EXPECT_EQ(verdict(with_header("{"s + good + "}")), "read");
  expect_safetensors_refused(with_header("{"s + good + "," + good + "}"), "two tensors named 'x'");
  expect_safetensors_refused(with_header("{"s + entry("x", "F8_E4M3", "[0]", "[0,0]") + "}"),
                             "the dtype 'F8_E4M3', which is not supported");
  expect_safetensors_refused(with_header("{"s + entry("x", "F32", "[-1]", "[0,0]") + "}"),
                             "a negative number");
  expect_safetensors_refused(with_header("{"s + entry("x", "F32", "[1.0]", "[0,0]") + "}"), "a fraction");
  expect_safetensors_refused(with_header("{"s + entry("x", "F32", "[[0]]", "[0,0]") + "}"),
                             "a list where none is expected");
  expect_safetensors_refused(with_header("{"s + entry("x", "F32", "[0]", "[0]") + "}"), "the end of a list");
  expect_safetensors_refused(with_header("{"s + entry("x", "F32", "[0]", "[0,0,0]") + "}"),
                             "a number where none is expected");
  expect_safetensors_refused(with_header("{"s + entry("x", "F32", "0", "[0,0]") + "}"),
                             "a number where none is expected");
  expect_safetensors_refused(with_header("{"s + entry("x", "F32", "[0]", "null") + "}"),
                             "null where none is expected");
  expect_safetensors_refused(with_header("{\"x\":{\"dtype\":\"F32\",\"shape\":[0]}}"),
                             "lacks dtype, shape or data_offsets");
  expect_safetensors_refused(with_header("{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F32\"}}"),
                             "'x' has 'dtype' twice");
  expect_safetensors_refused(with_header("{\"x\":{\"stride\":[1]}}"), "unknown field 'stride'");
  expect_safetensors_refused(with_header("{\"x\":[]}"), "a list where none is expected");
  expect_safetensors_refused(with_header("{\"__metadata__\":{\"a\":1}}"), "a number where none is expected");
  expect_safetensors_refused(with_header("{\"__metadata__\":{\"a\":{}}}"),
                             "an object where none is expected");
  expect_safetensors_refused(with_header("{\"__metadata__\":{\"a\":\"\",\"a\":\"\"}}"),
                             "two metadata values of the same name");
  expect_safetensors_refused(with_header("{\"a\xff\":{}}"), "not valid JSON");
  expect_safetensors_refused(with_header("{} {}"), "not valid JSON");
  expect_safetensors_refused(with_header("{"), "not valid JSON");
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
  expect_safetensors_refused(with_header(deep), "unknown field 'a'");
  expect_safetensors_refused(with_header("{\"a\":" + std::string(100'000, '[')),
                             "a list where none is expected");
}

TEST(Safetensors, RejectsInvalidTensorsWhenWritingAndKeepsTheOldFile) {
  TestFolder folder;
  write_file_atomically(folder / "a", "old");
  std::vector<std::byte> data(8);
  auto refused = [&](std::vector<TensorEntry> tensors, std::string_view part) {
    try {
      write_safetensors(folder / "a", unchanged(tensors));
      ADD_FAILURE() << "written: " << part;
    } catch (const Error& error) {
      EXPECT_NE(std::string_view(error.what()).find(part), std::string_view::npos) << error.what();
    }
    EXPECT_EQ(read_file(folder / "a", 100), "old");
  };
  TensorEntry good{"x", Dtype::f32, {2}, data};
  refused({good, good}, "two tensors, or a tensor and the metadata, are named 'x'");
  refused({{"__metadata__", Dtype::f32, {2}, data}}, "are named '__metadata__'");
  refused({{"x", Dtype::f32, {3}, data}}, "'x' has 8 bytes of data, its shape needs 12");
  refused({{"x", Dtype::f32, {int64_t{1} << 62}, data}}, "impossible shape");
  refused({{"\xff", Dtype::f32, {2}, data}}, "is not UTF-8");
}

}  // namespace
}  // namespace aviary
