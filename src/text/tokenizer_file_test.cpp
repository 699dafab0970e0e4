#include "text/tokenizer_file.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"
#include "base/utf8.h"
#include "support/test_data.h"
#include "text/vocabulary.h"

namespace aviary {
namespace {

std::string world_text() {
  std::string text;
  for (int byte = 0; byte < 256; ++byte)
    text += vocabulary_line(byte + 1, std::string(1, static_cast<char>(byte)));
  return text;
}

// One tokenizer of each kind that a file can contain.
std::vector<std::string> files() {
  return {world_text(), small_tokenizer_json({"t h"}).dump(2),
          "{\"0\": \"\\n\", \"1\": \"a\", \"2\": \"\u4f60\"}"};
}

std::string utf16(std::string_view text, bool low_byte_first) {
  std::string bytes;
  auto add = [&](uint32_t unit) {
    const char high = static_cast<char>(unit >> 8), low = static_cast<char>(unit & 0xff);
    bytes += low_byte_first ? low : high;
    bytes += low_byte_first ? high : low;
  };
  add(0xfeff);
  while (!text.empty()) {
    const auto length = static_cast<size_t>(utf8_step(text).length);
    const uint32_t c = utf8_code_point(text.substr(0, length));
    text.remove_prefix(length);
    if (c >= 0x10000) add(0xd800 + ((c - 0x10000) >> 10));
    add(c >= 0x10000 ? 0xdc00 + (c & 0x3ff) : c);
  }
  return bytes;
}

std::string file_complaint(std::string_view content) {
  try {
    read_tokenizer(content, "some/file");
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(TokenizerFile, IsRecognizedByItsContent) {
  std::vector<std::string> kinds;
  for (const std::string& file : files()) kinds.push_back(read_tokenizer(file, "x")->kind());
  EXPECT_EQ(kinds, (std::vector<std::string>{"world", "bpe", "characters"}));
}

TEST(TokenizerFile, MayBeInUtf16OrHaveAByteOrderMark) {
  for (const std::string& file : files()) {
    const uint64_t hash = read_tokenizer(file, "x")->hash();
    EXPECT_EQ(read_tokenizer(utf16(file, true), "x")->hash(), hash);
    EXPECT_EQ(read_tokenizer(utf16(file, false), "x")->hash(), hash);
    EXPECT_EQ(read_tokenizer("\xef\xbb\xbf" + file, "x")->hash(), hash);
  }
  EXPECT_EQ(utf8_of_utf16(utf16("a\u00e9\u4f60\U0001f600", true)), "a\u00e9\u4f60\U0001f600");
}

TEST(TokenizerFile, OtherFilesAreRejectedWithTheirName) {
  for (const auto& [content, part] : std::initializer_list<std::pair<std::string, std::string>>{
           {"", "this is not a tokenizer file"},
           {" \n ", "this is not a tokenizer file"},
           {"GGUF\x03", "this is not a tokenizer file"},
           {"[1, 2]", "this is not a tokenizer file"},
           {"Once upon a time", "this is not a tokenizer file"},
           {std::string(1000, '\0'), "nothing but zeros"},
           {"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n", "a Git LFS pointer"},
           {"<!DOCTYPE html>", "a web page"},
           {"\x1f\x8b\x08", "compressed with gzip"},
           {"{\"a\": 0", "vocab.json: not valid JSON"},
           {"{\"model\": 1}", "tokenizer.json:"},
           {"1984 was a year", "line 1"},
           {"\xff\xfe"
            "1",
            "even number"},
           {std::string("\xff\xfe\x00\xd8", 4), "unpaired surrogate"},
           {std::string("\xff\xfe\x00\xdc\x00\xdc", 6), "unpaired surrogate"},
           {std::string("\xfe\xff\xd8\x00\x00\x41", 6), "unpaired surrogate"}}) {
    const std::string what = file_complaint(content);
    EXPECT_NE(what.find(part), std::string::npos) << what;
    EXPECT_TRUE(what.starts_with("some/file: ")) << what;
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    EXPECT_LT(what.size(), 400u) << what;
  }
}

TEST(TokenizerFile, TruncatedFilesAreReadOrRejected) {
  for (const std::string& file : {files()[2], utf16(files()[2], true)})
    for (size_t size = 0; size < file.size(); ++size)
      EXPECT_NE(file_complaint(file.substr(0, size)), "") << size;
  const std::string world = world_text();
  for (size_t size = 0; size + 1 < world.size(); ++size)  // the last line needs no line break
    EXPECT_NE(file_complaint(world.substr(0, size)), "") << size;
}

// However a text is split into tokens, the output never contains part of a character, and at the end nothing
// is missing.
TEST(TokenizerFile, NoTokenizerShowsIncompleteCharacters) {
  Random random(23);
  constexpr std::string_view parts[] = {"a", "\n", "\u4f60", "\u00e9", "\U0001f600", "\xff", "\xe4\xbd"};
  const std::string characters =
      "{\"0\":\"a\",\"1\":\"\\n\",\"2\":\"\u4f60\",\"3\":\"\u00e9\",\"4\":\"\U0001f600\"}";
  // Tokens that end and begin inside characters.
  const std::string world = world_text() + "257 b'a\\xe4' 2\n258 b'\\xbd\\xa0' 2\n259 b'\\x9f\\x98' 2\n";
  nlohmann::json bpe = small_tokenizer_json({"a \u00e4", "\u00bd \u0142", "\u0141 \u013a"});
  bpe["normalizer"] = nullptr;
  for (const TokenizerPtr& tokenizer : {make_bytes_tokenizer(), read_tokenizer(world, "x"),
                                        read_tokenizer(bpe.dump(), "x"), read_tokenizer(characters, "x")}) {
    for (int round = 0; round < 1000; ++round) {
      std::string text;
      const bool valid = tokenizer->kind() == "characters" || round % 2 == 0;
      for (int64_t i = random.below(12); i > 0; --i) text += parts[random.below(valid ? 5 : 7)];
      Utf8Stream stream, whole;
      std::string shown;
      for (int32_t token : tokenizer->encode(text)) {
        const std::string piece = stream.push(tokenizer->bytes_of(token));
        ASSERT_TRUE(is_utf8(piece)) << testing::PrintToString(text);
        shown += piece;
        // Nothing is held back longer than necessary: at most the beginning of one character.
        if (valid) {
          ASSERT_TRUE(text.starts_with(shown));
        }
      }
      shown += stream.flush();
      std::string expected = whole.push(text);
      expected += whole.flush();
      ASSERT_EQ(shown, expected) << tokenizer->kind() << testing::PrintToString(text);
      if (valid) {
        ASSERT_EQ(shown, text);
      }
    }
  }
}

}  // namespace
}  // namespace aviary
