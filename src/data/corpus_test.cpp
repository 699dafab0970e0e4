#include "data/corpus.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/test_folder.h"
#include "text/utf8.h"

namespace aviary {
namespace {

using namespace std::string_view_literals;

std::string complaint(std::string_view bytes) {
  try {
    check_text(bytes, "book.txt");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

std::string repeated(std::string_view part, int times) {
  std::string text;
  while (times-- > 0) text += part;
  return text;
}

TEST(CheckText, AcceptsOrdinaryTextUnchanged) {
  TextReport report = check_text("Gr\u00fc\u00dfe\n\nund \u4f60\u597d\n", "book.txt");
  EXPECT_EQ(report.text, "Gr\u00fc\u00dfe\n\nund \u4f60\u597d\n");
  EXPECT_TRUE(report.notes.empty());
  std::string one_line(3'000'000, 'x');
  EXPECT_EQ(check_text(one_line, "book.txt").text.size(), one_line.size());
}

TEST(CheckText, RejectsOtherFilesWithAReason) {
  for (auto& [bytes, part] : std::vector<std::pair<std::string, std::string>>{
           {"", "book.txt: the file is empty"},
           {" \n\t \r\n", "only spaces"},
           {"\xef\xbb\xbf", "only spaces"},
           {std::string("\x7f"
                        "ELF\2\0\1",
                        7),
            "byte 5 is NUL"},
           {std::string("\xff\xfeh\0i\0", 6), "iconv -f UTF-16 -t UTF-8"},
           {std::string("\xfe\xff\0h\0i", 6), "UTF-16"},
           {std::string("\xff\xfe\0\0h\0\0\0", 8), "UTF-32"},
           {repeated("a\x01\x02", 100), "67 % of the bytes are control characters"},
           {repeated("\xcf\xf0\xe8\xe2\xe5\xf2 ", 50), "are not valid UTF-8"}})
    EXPECT_NE(complaint(bytes).find(part), std::string::npos)
        << part << " expected, got: " << complaint(bytes);
}

TEST(CheckText, ReportsIrregularitiesThatItKeeps) {
  std::string text = "\xef\xbb\xbf" + repeated("a line of text\r\n", 10) + "caf\xe9\n";
  TextReport report = check_text(text, "book.txt");
  EXPECT_EQ(report.text, std::string_view(text).substr(3));
  EXPECT_EQ(report.windows_line_ends, 10);
  EXPECT_EQ(report.invalid_bytes, 1);
  ASSERT_EQ(report.notes.size(), 3u);
  EXPECT_NE(report.notes[0].find("byte order mark"), std::string::npos);
  EXPECT_NE(report.notes[1].find("1 bytes (0.61 %)"), std::string::npos) << report.notes[1];
  EXPECT_NE(report.notes[2].find("10 lines"), std::string::npos);
}

TEST(TextFile, KeepsItsTextWhenMoved) {
  TestFolder folder;
  write_file_atomically(folder / "book.txt", "\xef\xbb\xbfhello"sv);
  TextFile file(folder / "book.txt");
  TextFile moved = std::move(file);
  EXPECT_EQ(moved.text(), "hello");
  EXPECT_THROW(TextFile(folder / "missing.txt"), Error);
}

TEST(SplitText, SplitsAtAParagraphOrElseALineOrElseAWord) {
  std::string words = repeated("word ", 40);  // 200 bytes
  std::string paragraphs = words + "\nline\n\nnext " + words;
  SplitText split = split_text(paragraphs, 208);
  EXPECT_TRUE(split.train.ends_with("line\n\n"));
  EXPECT_TRUE(split.validation.starts_with("next word"));
  std::string lines = words + "\nnext " + words;
  split = split_text(lines, 206);
  EXPECT_TRUE(split.train.ends_with("\n"));
  EXPECT_TRUE(split.validation.starts_with("next word"));
  split = split_text(words, 50);
  EXPECT_TRUE(split.train.ends_with("word"));
  EXPECT_TRUE(split.validation.starts_with(" word"));
}

TEST(SplitText, NeverSplitsACharacterAndLosesNothing) {
  std::string text = repeated("\u4f60", 100);
  for (int64_t bytes = 0; bytes < 300; ++bytes) {
    SplitText split = split_text(text, bytes);
    EXPECT_TRUE(is_utf8(split.train));
    EXPECT_EQ(std::string(split.train) + std::string(split.validation), text);
    EXPECT_LE(static_cast<int64_t>(split.validation.size()), bytes);
  }
  EXPECT_THROW(split_text(text, 300), Error);
  EXPECT_THROW(split_text("", 0), Error);
}

TEST(SplitText, TakesATenthButAtMost200000Bytes) {
  EXPECT_EQ(split_text(std::string(1000, 'a')).validation.size(), 100u);
  EXPECT_EQ(split_text(std::string(5'000'000, 'a')).validation.size(), 200'000u);
}

TEST(Corpus, HasBothPartsAsTokens) {
  auto bytes = make_bytes_tokenizer();
  std::string text = repeated("a line\n", 100);
  Corpus corpus(text, *bytes);
  EXPECT_EQ(corpus.train_bytes + corpus.validation_bytes, 700);
  EXPECT_EQ(corpus.train_bytes, 637);
  EXPECT_EQ(bytes->decode(corpus.train) + bytes->decode(corpus.validation), text);
  EXPECT_TRUE(Corpus(text, *bytes, 0).validation.empty());
}

}  // namespace
}  // namespace aviary
