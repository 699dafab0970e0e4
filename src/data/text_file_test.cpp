#include "data/text_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>
#include <utility>

#include "base/error.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

using namespace std::string_view_literals;

std::string text_complaint(std::string_view bytes) {
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
           {"", "book.txt: it is empty"},
           {"\xef\xbb\xbf", "book.txt: it is empty"},
           {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", "a Git LFS pointer"},
           {std::string("\x7f"
                        "ELF\2\0\1",
                        7),
            "byte 5 is NUL"},
           {std::string("\xff\xfeh\0i\0", 6), "iconv -f UTF-16 -t UTF-8"},
           {std::string("\xfe\xff\0h\0i", 6), "UTF-16"},
           {std::string("\xff\xfe\0\0h\0\0\0", 8), "UTF-32"},
           {repeated("a\x01\x02", 100), "67 % of the bytes are control characters"},
           {repeated("\xcf\xf0\xe8\xe2\xe5\xf2 ", 50), "are not valid UTF-8"}})
    EXPECT_NE(text_complaint(bytes).find(part), std::string::npos)
        << part << " expected, got: " << text_complaint(bytes);
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

TEST(InputFile, HasTheBytesOfAFileThatMayBeNoTextAndBecomesATextFile) {
  TestFolder folder;
  write_file_atomically(folder / "data", "\xef\xbb\xbfh\0i"sv);
  InputFile file(folder / "data");
  EXPECT_EQ(file.bytes(), "\xef\xbb\xbfh\0i"sv);
  EXPECT_EQ(without_mark(file.bytes(), file.name()), "h\0i"sv);
  EXPECT_THROW(TextFile(std::move(file)), Error);
  write_file_atomically(folder / "text", "\xef\xbb\xbfhi"sv);
  EXPECT_EQ(TextFile(InputFile(folder / "text")).text(), "hi");
}

TEST(TextFile, OnlyWhiteSpaceIsATextFromWhichNothingCanBeLearned) {
  TestFolder folder;
  write_file_atomically(folder / "blank.txt", " \n\t \r\n"sv);
  const TextFile file(folder / "blank.txt");
  EXPECT_EQ(file.text(), " \n\t \r\n");
  EXPECT_THROW(file.require_words(), Error);
  write_file_atomically(folder / "words.txt", " a\n"sv);
  EXPECT_NO_THROW(TextFile(folder / "words.txt").require_words());
}

TEST(TextFile, APipeIsReadToItsEndAndKeepsItsTextWhenMoved) {
  TestFolder folder;
  const std::string pipe = (folder / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(pipe) << "hi"; });
  TextFile file(pipe);
  writer.join();
  const TextFile moved = std::move(file);
  EXPECT_EQ(moved.text(), "hi");
  EXPECT_TRUE(moved.is_stream());
}

TEST(TextFile, RowsThatAreLearnedAsTextAreTold) {
  const auto five = [](const std::string& line) { return line + line + line + line + line; };
  const std::pair<std::string, std::string> told[] = {
      {five("a,b,c\n"), "a table"},        {five("a;b;c\r\n") + "cut;off", "a table"},
      {five("a\tb\n"), "a table"},         {five("\"said, and went\",b,c\n") + five("a,b,c\n"), "a table"},
      {"{\"text\": \"a\"}\n", "JSON"},     {"[{\"text\": \"a\"}]\n", "JSON"},
      {"{\n \"text\": \"a\"\n}\n", "JSON"}};
  for (const auto& [text, what] : told) {
    const std::string note = note_on_rows(text, "data");
    EXPECT_TRUE(note.starts_with("data: " + what)) << text << note;
    EXPECT_NE(note.find("aviary tune"), std::string::npos) << note;
  }
  EXPECT_NE(note_on_rows("a,b\n1,2\n", "data.csv"), "");
  EXPECT_EQ(note_on_rows("a,b\n1,2\n", "data.txt"), "");
  EXPECT_EQ(note_on_rows("The rain falls,\nand the river goes.\n", "book.csv"), "");
  EXPECT_NE(note_on_rows("a\tb\n1\t2\n", "data.tsv"), "");
  for (const std::string& text :
       {five("The rain falls, and the river goes.\n"), five("a,b,c\n") + "the end\n", std::string("a,b,c\n"),
        five("word\n"), five("\n"), std::string("[Illustration]\n"), std::string("{x}"),
        std::string(1 << 20, ',')})
    EXPECT_EQ(note_on_rows(text, "book.txt"), "") << text.substr(0, 99);
}

}  // namespace
}  // namespace aviary
