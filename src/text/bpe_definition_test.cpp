#include "text/bpe_definition.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"
#include "support/test_data.h"
#include "text/tokenizer.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

const std::vector<std::string> merges = {"t h", "\u0120 t", "th e", "\u0120t h"};

std::string definition_complaint(const std::string& json) {
  try {
    make_bpe_tokenizer(json);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

void expect_refused(const Json& json, const std::string& part) {
  const std::string what = definition_complaint(json.dump());
  EXPECT_NE(what.find(part), std::string::npos) << "expected \"" << part << "\" in: " << what;
  EXPECT_EQ(what.find('\n'), std::string::npos) << what;
}

// The small file with one value replaced.
Json with(const std::string& pointer, const Json& value) {
  Json json = small_tokenizer_json(merges);
  json[Json::json_pointer(pointer)] = value;
  return json;
}

TEST(BpeDefinition, ReadsTheContentOfTheFile) {
  Json json = small_tokenizer_json(merges);
  json["added_tokens"] = {{{"id", 300}, {"content", "<b>"}, {"lstrip", true}, {"special", true}},
                          {{"id", 299}, {"content", "   "}, {"rstrip", true}, {"single_word", false}}};
  json["model"]["ignore_merges"] = true;
  const BpeDefinition definition = parse_bpe_definition(json.dump());
  EXPECT_EQ(definition.tokens.size(), 260u);
  EXPECT_EQ(definition.tokens[259].spelling, "\u0120th");
  ASSERT_EQ(definition.merges.size(), 4u);
  EXPECT_EQ(definition.merges[2].left, 256);
  EXPECT_EQ(definition.merges[2].right, 'e');
  EXPECT_EQ(definition.merges[2].joined, 258);
  EXPECT_EQ(definition.added, (std::vector<AddedToken>{{299, "   ", false, false, true, true},
                                                       {300, "<b>", true, true, false, false}}));
  EXPECT_EQ(definition.splits.size(), 1u);
  EXPECT_TRUE(definition.nfc);
  EXPECT_TRUE(definition.ignore_merges);
}

TEST(BpeDefinition, ReadsAllLayoutsInUse) {
  const Json split = {{"type", "Split"}, {"pattern", {{"Regex", "\\p{L}+"}}}, {"behavior", "Isolated"}};
  const Json bytes = {{"type", "ByteLevel"}, {"use_regex", false}};
  const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
  for (const Json& json :
       {with("/normalizer", nullptr),
        with("/normalizer", {{"type", "Sequence"}, {"normalizers", Json::array()}}),
        with("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {digits, split, bytes}}}),
        with("/model/merges", Json::array({Json::array({"t", "h"}), Json::array({"th", "e"})})),
        with("/post_processor", nullptr), with("/model/unk_token", "<unk>"), with("/model/dropout", 0.0),
        with("/model/end_of_word_suffix", "")})
    EXPECT_EQ(definition_complaint(json.dump()), "");
  Json old = small_tokenizer_json(merges);
  old["model"].erase("type");
  EXPECT_EQ(definition_complaint(old.dump()), "");
}

TEST(BpeDefinition, RejectsUnsupportedFeatures) {
  expect_refused(with("/normalizer", {{"type", "Lowercase"}}), "Lowercase");
  expect_refused(with("/normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "NFKC"}}}}}), "NFKC");
  expect_refused(with("/pre_tokenizer", {{"type", "Metaspace"}}), "Metaspace");
  expect_refused(with("/pre_tokenizer", nullptr), "ByteLevel");
  expect_refused(with("/pre_tokenizer/add_prefix_space", true), "add_prefix_space");
  expect_refused(with("/pre_tokenizer", {{"type", "Sequence"},
                                         {"pretokenizers", {{{"type", "ByteLevel"}}, {{"type", "Digits"}}}}}),
                 "Digits after ByteLevel");
  expect_refused(with("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"String", " "}}}}), "Regex");
  expect_refused(with("/pre_tokenizer",
                      {{"type", "Split"}, {"pattern", {{"Regex", " "}}}, {"behavior", "MergedWithNext"}}),
                 "MergedWithNext");
  expect_refused(with("/post_processor", {{"type", "TemplateProcessing"}}), "TemplateProcessing");
  expect_refused(with("/decoder", {{"type", "WordPiece"}}), "WordPiece");
  expect_refused(with("/decoder", nullptr), "decoder");
  expect_refused(with("/model/type", "Unigram"), "Unigram");
  expect_refused(with("/model/dropout", 0.1), "dropout");
  expect_refused(with("/model/byte_fallback", true), "byte_fallback");
  expect_refused(with("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix");
  expect_refused(with("/model/new_thing", 1), "new_thing");
  expect_refused(with("/truncation", {{"max_length", 512}}), "truncation");
  expect_refused(with("/something", 1), "something");
  const Json token = {{"id", 400}, {"content", "<m>"}};
  Json single = token;
  single["single_word"] = true;
  expect_refused(with("/added_tokens", Json::array({single})), "single_word");
}

TEST(BpeDefinition, RejectsInvalidContent) {
  expect_refused(with("/model/vocab", 5), "vocab");
  expect_refused(with("/model/merges", nullptr), "merges");
  expect_refused(with("/model/vocab/a", -1), "id of token \"a\"");
  expect_refused(with("/model/vocab/a", 1e3), "id of token \"a\"");
  expect_refused(with("/model/vocab/a", uint64_t{1} << 63), "id of token \"a\"");
  expect_refused(with("/model/vocab/a", 1 << 20), "id of token \"a\"");
  expect_refused(with("/model/vocab/a", 98), "id 98 belongs to");
  expect_refused(with("/model/vocab/" + std::string(3000, 'x'), 400), "3000 bytes");
  expect_refused(with("/model/merges", {"t h e"}), "merge 0");
  expect_refused(with("/model/merges", {"th"}), "merge 0");
  expect_refused(with("/model/merges", {"t q"}), "tq");
  expect_refused(with("/model/merges", Json::array({Json::array({"t", "h", "e"})})), "merge 0");
  expect_refused(with("/model/merges", {7}), "merge 0");
  const Json token = {{"id", 400}, {"content", "<m>"}};
  expect_refused(with("/added_tokens", {token, token}), "twice");
  expect_refused(with("/added_tokens", {token, {{"id", 400}, {"content", "<n>"}}}), "400 twice");
  expect_refused(with("/added_tokens", {{{"id", 97}, {"content", "<m>"}}}), "another one in vocab");
  expect_refused(with("/added_tokens", {{{"id", 400}, {"content", "a"}}}), "another one in vocab");
  expect_refused(with("/added_tokens", {{{"id", 400}, {"content", ""}}}), "0 bytes");
  expect_refused(with("/added_tokens", {{{"id", 400}, {"content", std::string(2000, 'a')}}}), "2000 bytes");
  expect_refused(with("/added_tokens", "none"), "added_tokens");
  expect_refused(with("/normalizer", "NFC"), "normalizer");
  expect_refused(with("/pre_tokenizer", {{"type", 5}}), "type");
  expect_refused(with("/model", Json::array()), "the model");
  Json unknown = small_tokenizer_json(merges);
  unknown["model"]["vocab"].erase("a");
  unknown["model"]["unk_token"] = "<unk>";
  expect_refused(unknown, "lacks 1 of the 256 bytes");
  expect_refused(Json::array(), "the file");
}

TEST(BpeDefinition, RejectsInvalidJson) {
  EXPECT_NE(definition_complaint("").find("not valid JSON"), std::string::npos);
  EXPECT_NE(definition_complaint("{\"model\":").find("not valid JSON"), std::string::npos);
  EXPECT_NE(definition_complaint("{\"a\xff\":1}").find("not valid JSON"), std::string::npos);
  EXPECT_NE(definition_complaint(std::string(1'000'000, '[')).find("nested"), std::string::npos);
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_NE(definition_complaint(objects).find("nested"), std::string::npos);
}

TEST(BpeDefinition, TruncatedAndDamagedFilesAreReadOrRejected) {
  const std::string whole = small_tokenizer_json(merges).dump();
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(definition_complaint(whole.substr(0, size)), "") << size;
  Random random(17);
  for (int i = 0; i < 5000; ++i) {
    std::string damaged = whole;
    damaged[static_cast<size_t>(random.below(std::ssize(whole)))] ^= static_cast<char>(1 << random.below(8));
    definition_complaint(damaged);
  }
}

TEST(BpeDefinition, WritesAnEqualFileInCanonicalForm) {
  Json json = small_tokenizer_json(merges);
  json["added_tokens"] = {{{"id", 300}, {"content", "<\"\u00e9\n>"}, {"lstrip", true}, {"special", true}}};
  json["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", "\\s+"}}}, {"behavior", "Removed"}},
        {{"type", "Split"}, {"pattern", {{"Regex", "[^\\d]+"}}}, {"behavior", "Removed"}, {"invert", true}},
        {{"type", "ByteLevel"}}}}};
  const std::string text = write_bpe_definition(parse_bpe_definition(json.dump()));
  EXPECT_EQ(write_bpe_definition(parse_bpe_definition(text)), text);
  json["model"]["merges"] = Json::array();
  for (const std::string& merge : merges) {
    const size_t space = merge.find(' ');
    json["model"]["merges"].push_back({merge.substr(0, space), merge.substr(space + 1)});
  }
  json["post_processor"] = nullptr;
  EXPECT_EQ(write_bpe_definition(parse_bpe_definition(json.dump(2))), text);
  json["normalizer"] = nullptr;
  EXPECT_NE(write_bpe_definition(parse_bpe_definition(json.dump())), text);
}

}  // namespace
}  // namespace aviary
