#include "formats/pickle.h"

#include <gtest/gtest.h>

#include "support/test_bytes.h"

namespace aviary {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view allowed[] = {"collections OrderedDict", "torch thing"};

Pickle read(std::string_view text) { return read_pickle(std::as_bytes(std::span(text)), allowed, "file"); }

std::string pickle_error(std::string_view text) {
  std::vector<std::byte> bytes = exact_copy(text);
  try {
    read_pickle(bytes, allowed, "file");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void expect_pickle_error(std::string_view text, std::string_view part) {
  std::string error = pickle_error(text);
  EXPECT_NE(error.find(part), std::string::npos) << error;
}

TEST(Pickle, ReadsNumbersStringsAndContainers) {
  // (None, True, -2, 255, 65535, -1, 2**40, 1.5, "text", [7], {"a": 1})
  std::string text =
      "\x80\x02(N\x88J\xfe\xff\xff\xffK\xffM\xff\xff\x8a\x01\xff\x8a\x06\x00\x00\x00\x00\x00\x01"s +
      "G\x3f\xf8\x00\x00\x00\x00\x00\x00X\x04\x00\x00\x00text]K\x07\x61}X\x01\x00\x00\x00\x61K\x01st."s;
  size_t size = text.size();
  text += "rest";
  Pickle pickle = read(text);
  EXPECT_EQ(pickle.size, size);
  const PickleValue& tuple = pickle[pickle.root];
  ASSERT_EQ(tuple.kind, Kind::tuple);
  ASSERT_EQ(tuple.items.size(), 11u);
  auto item = [&](size_t i) { return pickle[tuple.items[i]]; };
  EXPECT_EQ(item(0).kind, Kind::none);
  EXPECT_EQ(item(1).kind, Kind::boolean);
  EXPECT_EQ(item(1).integer, 1);
  int64_t integers[] = {-2, 255, 65535, -1, int64_t{1} << 40};
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(item(2 + i).integer, integers[i]) << i;
  EXPECT_EQ(item(7).real, 1.5);
  EXPECT_EQ(item(8).text, "text");
  EXPECT_EQ(item(9).kind, Kind::list);
  EXPECT_EQ(pickle[item(9).items.at(0)].integer, 7);
  EXPECT_EQ(item(10).kind, Kind::dict);
  EXPECT_EQ(pickle[item(10).items.at(0)].text, "a");
  EXPECT_EQ(pickle[item(10).items.at(1)].integer, 1);
}

TEST(Pickle, SupportsBothKindsOfMemo) {
  for (std::string text :
       {"\x80\x02K\x05q\x00h\x00\x86."s, "\x80\x02K\x05r\x01\x00\x00\x00j\x01\x00\x00\x00\x86."s,
        "\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00K\x05\x94h\x00\x86."s}) {
    Pickle pickle = read(text);
    ASSERT_EQ(pickle[pickle.root].items.size(), 2u);
    for (auto item : pickle[pickle.root].items) EXPECT_EQ(pickle[item].integer, 5);
  }
}

TEST(Pickle, ACallBecomesAValueAndAnOrderedDictADict) {
  Pickle call = read(
      "\x80\x02"
      "ctorch\nthing\nK\x01\x85R.");
  EXPECT_EQ(call[call.root].kind, Kind::call);
  EXPECT_EQ(call[call[call.root].items[0]].text, "torch thing");
  EXPECT_EQ(call[call[call[call.root].items[1]].items.at(0)].integer, 1);
  // OrderedDict() with an item, then BUILD with {'_metadata': ...}
  Pickle dict = read(
      "\x80\x02"
      "ccollections\nOrderedDict\n)RK\x01K\x02s}U\x09_metadataNsb.");
  EXPECT_EQ(dict[dict.root].kind, Kind::dict);
  EXPECT_EQ(dict[dict.root].items.size(), 2u);
}

TEST(Pickle, NeverLoadsOrRunsAnything) {
  expect_pickle_error(
      "\x80\x02"
      "cos\nsystem\nU\x02ls\x85R.",
      "the pickle names the Python object 'os.system'");
  expect_pickle_error("\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x8c\x02ls\x85R.",
                      "the Python object 'posix.system'");
  expect_pickle_error(
      "\x80\x02"
      "cbuiltins\neval\n.",
      "the Python object 'builtins.eval'");
  expect_pickle_error(
      "\x80\x02"
      "ctorch\nthin\ng\n.",
      "the Python object 'torch.thin'");
  expect_pickle_error(
      "\x80\x02"
      "ctorch thing\n\n.",
      "the Python object 'torch thing.'");
  expect_pickle_error("\x80\x02(ios\nsystem\n.", "the opcode 0x69 is not among those");
  expect_pickle_error(
      "\x80\x02"
      "cos\nsystem\n)\x81.",
      "the Python object 'os.system'");
  expect_pickle_error("\x80\x02K\x01)R.", "a call has no function");
  expect_pickle_error("\x80\x02K\x01}b.", "a value that is no object has a state");
}

TEST(Pickle, AnObjectIsACallThatIsNeverMade) {
  // thing.__new__(thing), and BUILD with {'a': 1}
  Pickle object = read(
      "\x80\x02"
      "ctorch\nthing\n)\x81}U\x01"
      "aK\x01sb.");
  EXPECT_EQ(object[object.root].kind, Kind::call);
  EXPECT_EQ(object[object[object.root].items[0]].text, "torch thing");
}

TEST(Pickle, RejectsMissingValuesAndMarks) {
  expect_pickle_error("\x80\x02.", "a value is missing");
  expect_pickle_error("\x80\x02t.", "a mark is missing");
  expect_pickle_error("\x80\x02K\x01(\x85.", "a value is missing");
  expect_pickle_error("\x80\x02K\x01K\x01.", "ends with unused values");
  expect_pickle_error("\x80\x02K\x01(.", "a value is missing");
  expect_pickle_error("\x80\x02}(K\x01u.", "a key has no value");
  expect_pickle_error("\x80\x02K\x01K\x01K\x01s.", "items are set on something other than a dict");
  expect_pickle_error("\x80\x02h\x00."s, "a remembered value is missing");
  expect_pickle_error("K\x01.", "is not a pickle of protocol 2 to 5");
  expect_pickle_error("\x80\x07N.", "the pickle has protocol 7");
}

TEST(Pickle, RejectsImpossibleSizesWithoutAllocatingThem) {
  expect_pickle_error(
      "\x80\x02X\xff\xff\xff\xff"
      "a.",
      "4294967295 bytes are expected");
  expect_pickle_error(
      "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f"
      "a.",
      "9223372036854775807 bytes are expected");
  expect_pickle_error("\x80\x02Nr\xff\xff\xff\xff.", "the index of a memo entry is too large");
  expect_pickle_error(
      "\x80\x02\x8a\x09"
      "123456789.",
      "an integer has more than 64 bits");
  expect_pickle_error(
      "\x80\x02"
      "ctorch\nthing",
      "has no end");
  expect_pickle_error("\x80\x02("s + std::string(2'000'000, ']') + "t.", "more than 1048576 values");
}

TEST(Pickle, ReadsDeepNestingAndAListThatContainsItself) {
  Pickle nested = read("\x80\x02N"s + std::string(500'000, '\x85') + ".");
  EXPECT_EQ(nested.values.size(), 500'001u);
  Pickle list = read("\x80\x02]q\x00h\x00\x61."s);
  EXPECT_EQ(list[list.root].items, std::vector{list.root});
}

TEST(Pickle, RejectsEveryTruncatedPickle) {
  std::string text =
      "\x80\x02}q\x00(X\x01\x00\x00\x00\x61q\x01G\x3f\xf8\x00\x00\x00\x00\x00\x00U\x01xctorch\nthing\nu."s;
  EXPECT_EQ(pickle_error(text), "no error");
  for (size_t size = 0; size < text.size(); ++size)
    EXPECT_NE(pickle_error(text.substr(0, size)), "no error") << size;
}

}  // namespace
}  // namespace aviary
