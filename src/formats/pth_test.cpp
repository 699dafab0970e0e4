#include "formats/pth.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "support/test_bytes.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

void expect_same_tensor(const TensorEntry& tensor, const TensorEntry& expected) {
  EXPECT_EQ(tensor.dtype, expected.dtype) << tensor.name;
  EXPECT_EQ(tensor.shape, expected.shape) << tensor.name;
  EXPECT_EQ(as_text(tensor.data), as_text(expected.data)) << tensor.name;
}

// Every tensor of the .pth file equals the tensor with the same name, prefixed by `prefix`, in the other
// file.
void expect_same_tensors(const std::string& pth, const std::string& safetensors, size_t count,
                         const std::string& prefix = "") {
  TensorFile file = read_tensor_file(golden(pth)), expected = read_tensor_file(golden(safetensors));
  EXPECT_EQ(file.format(), "pth");
  EXPECT_EQ(file.tensors().size(), count) << pth;
  for (const TensorEntry& tensor : file.tensors()) {
    const TensorEntry* found = expected.find(prefix + tensor.name);
    ASSERT_NE(found, nullptr) << pth << " " << tensor.name;
    expect_same_tensor(tensor, *found);
  }
}

void expect_pth_refused(const std::string& text, std::string_view part) {
  std::string answer = verdict(text);
  EXPECT_NE(answer.find(part), std::string::npos) << answer;
}

TensorTable parse_bytes(const std::vector<std::byte>& bytes) { return parse_tensors(bytes, "file"); }

TEST(Pth, ReadsEveryDtypeViewsParametersAndTransposedTensors) {
  expect_same_tensors("pth-formats/zip.pth", "pth-formats/expected.safetensors", 15);
}

TEST(Pth, ReadsTheLegacyFormatWithoutZip) {
  expect_same_tensors("pth-formats/legacy.pth", "pth-formats/expected.safetensors", 15);
  expect_same_tensors("rwkv-v4/model.legacy.pth", "rwkv-v4/model.safetensors", 42);
}

TEST(Pth, ReadsTheModelsOfTheOriginalCode) {
  for (std::string folder : {"rwkv-v4", "rwkv-v6", "rwkv-v7"})
    expect_same_tensors(folder + "/model.pth", folder + "/model.safetensors",
                        read_tensor_file(golden(folder + "/model.safetensors")).tensors().size());
}

TEST(Pth, ReadsAModelInBf16) {
  TensorFile file = read_tensor_file(golden("rwkv-v5.2/model.bf16.pth"));
  TensorFile exact = read_tensor_file(golden("rwkv-v5.2/model.safetensors"));
  ASSERT_EQ(file.tensors().size(), exact.tensors().size());
  for (const TensorEntry& tensor : file.tensors()) {
    const TensorEntry* expected = exact.find(tensor.name);
    ASSERT_NE(expected, nullptr) << tensor.name;
    EXPECT_EQ(tensor.shape, expected->shape);
    ASSERT_EQ(tensor.dtype, Dtype::bf16);
    std::vector<double> rounded = to_doubles(tensor), values = to_doubles(*expected);
    for (size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(rounded[i], to_float(to_bf16(static_cast<float>(values[i])))) << tensor.name << " " << i;
  }
}

TEST(Pth, ReadsAStateDictWithMetadataAndKeepsItsOrder) {
  TensorFile file = read_tensor_file(golden("pth-formats/state_dict_metadata.pth"));
  expect_same_tensors("pth-formats/state_dict_metadata.pth", "pth-formats/expected.safetensors", 3, "sd.");
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.tensors()[0].name, "mask");
  EXPECT_EQ(file.tensors()[1].name, "l.weight");
  EXPECT_EQ(file.tensors()[1].shape, (std::vector<int64_t>{3, 2}));
  EXPECT_EQ(file.tensors()[2].name, "l.bias");
}

TEST(Pth, IgnoresValuesThatAreNotTensors) {
  expect_same_tensors("pth-formats/zip_with_strings.pth", "pth-formats/expected.safetensors", 1);
}

TEST(Pth, ReadsTheTrainedModelsOfTheSharedFolder) {
  const char* shared = std::getenv("AVIARY_SHARED");
  if (!shared) GTEST_SKIP() << "AVIARY_SHARED is not set";
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(shared)) {
    if (entry.path().extension() != ".pth") continue;
    TensorFile file = read_tensor_file(entry.path());
    EXPECT_FALSE(file.tensors().empty()) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 0);
}

TEST(Pth, UsesContiguousTensorsInPlaceAndCopiesOthers) {
  std::string storage(24, '\0');
  for (size_t i = 0; i < 24; ++i) storage[i] = static_cast<char>(i);
  std::vector<std::byte> bytes = exact_copy(pth_of(pickle_of({}), storage));
  TensorTable table = parse_bytes(bytes);
  EXPECT_EQ(as_text(table.tensors.at(0).data), storage);
  EXPECT_TRUE(table.buffers.empty());
  EXPECT_GE(table.tensors[0].data.data(), bytes.data());
  EXPECT_LT(table.tensors[0].data.data(), bytes.data() + bytes.size());

  bytes = exact_copy(pth_of(
      pickle_of({.type = "ByteStorage", .count = 24, .offset = 1, .sizes = {2, 1, 3}, .strides = {1, 99, 4}}),
      storage));
  table = parse_bytes(bytes);
  EXPECT_EQ(as_text(table.tensors.at(0).data), std::string_view("\x01\x05\x09\x02\x06\x0a", 6));
  EXPECT_EQ(table.buffers.size(), 1u);
}

TEST(Pth, NeverRunsCodeNamedInAPickle) {
  expect_pth_refused(pth_of("\x80\x02"
                            "cos\nsystem\n"s +
                            pickle_text("echo") + "\x85R."),
                     "'os.system', which is never loaded");
  expect_pth_refused(pth_of("\x80\x02"
                            "ctorch\nload\n"s +
                            pickle_text("echo") + "\x85R."),
                     "'torch.load', which is never loaded");
  expect_pth_refused(pth_of(pickle_of({.type = "QUInt8Storage"})),
                     "'torch.QUInt8Storage', which is never loaded");
}

TEST(Pth, RejectsTensorsOutsideTheirStorage) {
  EXPECT_EQ(verdict(pth_of(pickle_of({}))), "read");
  EXPECT_EQ(verdict(pth_of(pickle_of({.offset = 5, .sizes = {}, .strides = {}}))), "read");
  expect_pth_refused(pth_of(pickle_of({.offset = 6, .sizes = {}, .strides = {}})),
                     "element 6 of a storage of 6");
  expect_pth_refused(pth_of(pickle_of({.offset = 1})), "'x' reaches element 6 of a storage of 6");
  expect_pth_refused(pth_of(pickle_of({.sizes = {3, 3}})), "reaches element 8");
  expect_pth_refused(pth_of(pickle_of({.strides = {4, 1}})), "reaches element 6");
  expect_pth_refused(pth_of(pickle_of({.strides = {-3, 1}})), "not a positive integer");
  expect_pth_refused(pth_of(pickle_of({.offset = -1})), "its offset is not a positive integer");
  expect_pth_refused(pth_of(pickle_of({.sizes = {6}})), "not as many strides as sizes");
  expect_pth_refused(pth_of(pickle_of({.sizes = {1, 1, 1, 1, 1, 1, 1, 1, 1}})),
                     "not a tuple of at most 8 sizes");
}

TEST(Pth, RejectsNumbersNear2To63) {
  constexpr int64_t huge = INT64_MAX;
  for (int64_t absurd : {huge, huge / 4 + 1, int64_t{1} << 32}) {
    EXPECT_NE(verdict(pth_of(pickle_of({.count = absurd}))), "read");
    EXPECT_NE(verdict(pth_of(pickle_of({.offset = absurd}))), "read");
    EXPECT_NE(verdict(pth_of(pickle_of({.sizes = {absurd, absurd}}))), "read");
    EXPECT_NE(verdict(pth_of(pickle_of({.sizes = {absurd, 1}, .strides = {0, 0}}))), "read");
    EXPECT_NE(verdict(pth_of(pickle_of({.strides = {absurd, absurd}}))), "read");
  }
  expect_pth_refused(pth_of(pickle_of({.sizes = {0, huge}})), "impossible shape");
  EXPECT_EQ(verdict(pth_of(pickle_of({.sizes = {0, 4}, .strides = {huge, huge}}))), "read");
}

TEST(Pth, RejectsAnExpandedTensorThatIsLargerThanTheFile) {
  expect_pth_refused(pth_of(pickle_of({.sizes = {1000, 1000}, .strides = {0, 0}})),
                     "'x': the tensors have more than 4 times the bytes of the file");
  EXPECT_EQ(verdict(pth_of(pickle_of({.sizes = {2, 3}, .strides = {0, 1}}))), "read");
}

TEST(Pth, RejectsManyViewsOfOneStorage) {
  std::string pickle = "\x80\x02}"s;
  for (int i = 0; i < 1000; ++i)
    pickle += pickle_text(fmt::format("{}", i)) +
              pickle_tensor({.count = 60'000, .sizes = {60'000}, .strides = {1}}) + "s";
  expect_pth_refused(pth_of(pickle + ".", std::string(240'000, 'x')),
                     "the tensors have more than 4 times the bytes");
}

TEST(Pth, RejectsStoragesThatAreMissingOrOfAnotherSize) {
  expect_pth_refused(pth_of(pickle_of({.key = "1"})), "the storage '1' is missing");
  expect_pth_refused(pth_of(pickle_of({.key = std::string(1000, '1')})), "not described as torch.save does");
  expect_pth_refused(pth_of(pickle_of({}), std::string(23, 'x')),
                     "the storage '0' has 23 bytes, expected 24");
  expect_pth_refused(pth_of(pickle_of({.type = "DoubleStorage"})),
                     "the storage '0' has 24 bytes, expected 48");
  std::string two = "\x80\x02}"s + pickle_text("x") + pickle_tensor({}) + "s" + pickle_text("y");
  EXPECT_EQ(verdict(pth_of(two + pickle_tensor({}) + "s.")), "read");
  expect_pth_refused(pth_of(two + pickle_tensor({.type = "IntStorage"}) + "s."),
                     "the storage '0' is described in two ways");
}

TEST(Pth, RejectsArchivesThatAreNotADictOfTensors) {
  expect_pth_refused(zip_of({{"any/version", "3\n"}}), "no data.pkl; expected a file of torch.save");
  expect_pth_refused(zip_of({{"a/data.pkl", "\x80\x02}."}, {"b/data.pkl", "\x80\x02}."}}),
                     "more than one data.pkl");
  expect_pth_refused(zip_of({{"a/data.pkl", "\x80\x02}."}, {"a/byteorder", "big"}}), "big-endian");
  expect_pth_refused(pth_of("\x80\x02]."), "something other than a dict");
  expect_pth_refused(pth_of("\x80\x02"s + pickle_tensor({}) + "."), "something other than a dict");
  expect_pth_refused(pth_of("\x80\x02}"s + pickle_text("state_dict") + "}s."),
                     "holds no tensors, its first entry is 'state_dict'");
  expect_pth_refused(pth_of("\x80\x02}"s + pickle_integer(7) + pickle_tensor({}) + "s."),
                     "a name that is not a text");
  std::string item = pickle_text("x") + pickle_tensor({}) + "s";
  expect_pth_refused(pth_of("\x80\x02}"s + item + item + "."), "two tensors are named 'x'");
  expect_pth_refused(pth_of("\x80\x02}.."), "bytes follow the end of data.pkl");
  EXPECT_EQ(verdict(pth_of("\x80\x02}.")), "read");
}

// The pickle of a dict with these entries, without its frame.
std::string pickle_dict(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string text = "}";
  for (const auto& [name, value] : entries) text += pickle_text(name) + value + "s";
  return text;
}
std::string pth_with(const std::string& value) { return pth_of("\x80\x02"s + value + "."); }

TEST(Pth, FindsTheModelWhereTrainersKeepIt) {
  const std::string model = pickle_dict({{"x", pickle_tensor({})}, {"y", pickle_tensor({})}});
  const std::string one = pickle_tensor({.sizes = {}, .strides = {}});
  const std::string optimizer =
      pickle_dict({{"state", "}" + pickle_integer(0) + pickle_dict({{"exp_avg", pickle_tensor({})}}) + "s"},
                   {"param_groups", "]"}});
  for (const std::string& root :
       {model, pickle_dict({{"model", model}}),
        pickle_dict({{"state_dict", model}, {"epoch", pickle_integer(3)}}),
        pickle_dict({{"module", model}, {"optimizer", optimizer}}), pickle_dict({{"anything", model}}),
        // of nanoGPT: a loss that is a tensor, sizes under "model_args"
        pickle_dict({{"model_args", pickle_dict({{"n_layer", pickle_integer(2)}})},
                     {"best_val_loss", one},
                     {"optimizer", optimizer},
                     {"model", model}}),
        pickle_dict({{"checkpoint", pickle_dict({{"note", pickle_text("x")}})},
                     {"model", pickle_dict({{"state_dict", model}})}}),
        pickle_dict({{"model_state_dict", model}, {"ema", model}})}) {
    const std::vector<std::byte> bytes = exact_copy(pth_with(root));
    const TensorTable table = parse_bytes(bytes);
    ASSERT_EQ(table.tensors.size(), 2u);
    EXPECT_EQ(table.tensors[0].name, "x");
  }
  expect_pth_refused(pth_with(pickle_dict({{"a", model}, {"b", model}})),
                     "several dicts of tensors, 'a' and 'b' among them");
  expect_pth_refused(pth_with(pickle_dict({{"model", pickle_dict({{"n", pickle_integer(1)}})}})),
                     "holds no tensors, its first entry is 'model'");
  // A dict that contains itself.
  expect_pth_refused(pth_with("}q\x00"s + pickle_text("model") + "h\x00s"s), "holds no tensors");
}

TEST(Pth, PassesOverSettingsThatTrainersSave) {
  const std::string model = pickle_dict({{"x", pickle_tensor({})}});
  const std::string settings = "cargparse\nNamespace\n)\x81" + pickle_dict({{"lr", pickle_integer(1)}}) + "b";
  const std::string number = "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n(" + pickle_text("f8") +
                             "\x89\x88tR(" + pickle_integer(3) + pickle_text("<") + "tbc_codecs\nencode\n" +
                             pickle_text("12345678") + pickle_text("latin1") + "\x86R\x86R";
  EXPECT_EQ(verdict(pth_with(pickle_dict({{"args", settings}, {"loss", number}, {"state_dict", model}}))),
            "read");
  EXPECT_EQ(verdict(pth_with(pickle_dict({{"x", pickle_tensor({})}, {"loss", number}}))), "read");
  expect_pth_refused(pth_with(pickle_dict({{"args", "clightning\nModule\n)\x81"}, {"state_dict", model}})),
                     "'lightning.Module', which is never loaded");
}

TEST(Pth, RejectsADamagedLegacyFile) {
  std::string good = read_file(golden("pth-formats/legacy.pth"), 1 << 20);
  EXPECT_EQ(verdict(good), "read");
  expect_pth_refused(good + "x", "1 bytes follow the last storage");
  expect_pth_refused(good.substr(0, good.size() - 1), "the file is damaged or cut short");
  std::string other = good;
  other.replace(18, 2, le(int16_t{1002}));
  expect_pth_refused(other, "unknown version of the torch format, expected 1001");
  size_t endian = good.find("little_endianq\x02\x88");
  ASSERT_NE(endian, std::string::npos);
  other = good;
  other[endian + 15] = '\x89';
  expect_pth_refused(other, "big-endian");
}

TEST(PthWriter, TensorsSurviveWritingAndReading) {
  TestFolder folder;
  const TensorFile file = read_tensor_file(golden("pth-formats/zip.pth"));
  write_pth(folder / "a.pth", unchanged(file.tensors()));
  const TensorFile again = read_tensor_file(folder / "a.pth");
  ASSERT_EQ(again.tensors().size(), file.tensors().size());
  for (size_t i = 0; i < file.tensors().size(); ++i) {
    EXPECT_EQ(again.tensors()[i].name, file.tensors()[i].name);
    expect_same_tensor(again.tensors()[i], file.tensors()[i]);
  }
}

TEST(PthWriter, SameTensorsGiveTheSameBytesAndDataIsAligned) {
  TestFolder folder;
  const TensorFile file = read_tensor_file(golden("rwkv-v7/model.pth"));
  write_pth(folder / "a.pth", unchanged(file.tensors()));
  write_pth(folder / "b.pth", unchanged(file.tensors()));
  const std::string bytes = read_file(folder / "a.pth", 1 << 20);
  EXPECT_EQ(bytes, read_file(folder / "b.pth", 1 << 20));
  const TensorTable table = parse_pth(std::as_bytes(std::span(bytes)), "a");
  for (const TensorEntry& tensor : table.tensors)
    EXPECT_EQ((reinterpret_cast<const char*>(tensor.data.data()) - bytes.data()) % 64, 0) << tensor.name;
}

TEST(PthWriter, StoresNumbersInTheRequestedType) {
  TestFolder folder;
  const TensorFile file = read_tensor_file(golden("rwkv-v5.2/model.safetensors"));
  std::vector<StoredTensor> tensors = unchanged(file.tensors());
  for (StoredTensor& tensor : tensors) tensor.type = Dtype::bf16;
  write_pth(folder / "a.pth", tensors);
  const TensorFile rounded = read_tensor_file(folder / "a.pth");
  const TensorFile expected = read_tensor_file(golden("rwkv-v5.2/model.bf16.pth"));
  for (const TensorEntry& tensor : expected.tensors()) {
    ASSERT_NE(rounded.find(tensor.name), nullptr) << tensor.name;
    EXPECT_EQ(as_text(rounded.find(tensor.name)->data), as_text(tensor.data)) << tensor.name;
  }
}

TEST(PthWriter, RejectsTypesThatTorchDoesNotHave) {
  TestFolder folder;
  const std::vector<std::byte> data(34);
  const TensorEntry tensor{.name = "x", .dtype = Dtype::q8_0, .shape = {1, 32}, .data = data};
  EXPECT_THROW(write_pth(folder / "a.pth", unchanged({{tensor}})), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "a.pth"));
}

}  // namespace
}  // namespace aviary
