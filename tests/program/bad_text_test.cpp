// Texts that cannot be trained on are rejected with an error message; unusual but valid texts are accepted.
#include <gtest/gtest.h>

#include "program.h"

namespace aviary::program {
namespace {

class BadText : public testing::Test {
 protected:
  // Trains on folder/text.txt with this content; if it is rejected, nothing but the text may remain.
  void expect_refused(const std::string& content, const std::vector<std::string>& words) {
    write(folder_ / "text.txt", content);
    const auto before = files_below(folder_.path());
    expect_refusal(run(folder_.path(), train_), words);
    EXPECT_EQ(files_below(folder_.path()), before);
  }
  void expect_trained(const std::string& content, const Arguments& flags) {
    write(folder_ / "text.txt", content);
    expect_success(
        run(folder_.path(), Arguments{"train", "text.txt", "--out", "run", "--sample-every", "1"} + flags));
    const Outcome text =
        run(folder_.path(), {"generate", "run", "--tokens", "20", "--seed", "1", "--threads", "1"});
    expect_success(text);
  }

  const TestFolder folder_;
  const Arguments train_ = Arguments{"train", "text.txt", "--out", "run", "--steps", "2"} + tiny;
};

TEST_F(BadText, AMissingFileIsRejected) {
  expect_refusal(run(folder_.path(), train_), {"text.txt", "No such file"});
  EXPECT_TRUE(files_below(folder_.path()).empty());
}

TEST_F(BadText, AnEmptyFileIsRejected) { expect_refused("", {"text.txt", "empty"}); }

TEST_F(BadText, OnlySpacesAreRejected) { expect_refused("  \n\t \r\n  ", {"text.txt", "only spaces"}); }

TEST_F(BadText, ABinaryFileIsRejected) {
  std::string bytes;
  for (int i = 0; i < 4096; ++i) bytes += static_cast<char>(i * 7 % 256);
  expect_refused(bytes, {"text.txt", "binary"});
}

TEST_F(BadText, Utf16IsRejectedWithTheCommandThatConvertsIt) {
  std::string bytes = "\xff\xfe";
  for (char c : prose(1000)) bytes += std::string{c, '\0'};
  expect_refused(bytes, {"text.txt", "UTF-16", "iconv"});
}

TEST_F(BadText, AFolderInsteadOfATextIsRejected) {
  fs::create_directory(folder_ / "text.txt");
  expect_refusal(run(folder_.path(), train_), {"text.txt", "folder"});
}

TEST_F(BadText, ATextOfOneWordIsRejectedAsTooShort) {
  expect_refused("hello", {"text.txt", "tokens", "longer text"});
}

TEST_F(BadText, AFileNameThatIsNotUtf8IsRejected) {
  write(folder_ / "\xff.txt", prose(4000));
  expect_refusal(run(folder_.path(), Arguments{"train", "\xff.txt", "--steps", "2"} + tiny),
                 {"UTF-8", "rename"});
}

TEST_F(BadText, TenKilobytesAreTrainedOnWithoutFlags) {
  expect_trained(prose(10'000), {"--steps", "3", "--threads", "1"});
}

TEST_F(BadText, ChineseTextIsTrainedOnInWords) {
  static const char* const words[] = {"我们", "今天", "在", "河边", "看见", "一只",
                                      "鸟",   "，",   "它", "唱歌", "。",   "\n"};
  std::string text;
  for (size_t i = 0; text.size() < 20'000; ++i) text += words[i * i * 31 % 97 % std::size(words)];
  expect_trained(text,
                 {"--steps", "2", "--vocabulary", "300", "--layers", "1", "--width", "32", "--threads", "1"});
}

TEST_F(BadText, OneHugeLineIsTrainedOn) {
  std::string text = prose(2'000'000);
  for (char& c : text)
    if (c == '\n') c = ' ';
  expect_trained(text, {"--steps", "1", "--vocabulary", "300", "--layers", "1", "--width", "16", "--context",
                        "16", "--batch", "1", "--validation-bytes", "1000", "--threads", "1"});
}

TEST_F(BadText, AHugeLineWithoutAnySpaceIsTrainedOn) {
  std::string text = prose(2'000'000);
  for (char& c : text)
    if (c == '\n' || c == ' ' || c == '.') c = 'x';
  expect_trained(text, {"--steps", "1", "--vocabulary", "300", "--layers", "1", "--width", "16", "--context",
                        "16", "--batch", "1", "--validation-bytes", "1000", "--threads", "1"});
}

TEST_F(BadText, SomeBytesThatAreNotUtf8AreTrainedOn) {
  std::string text = prose(8000);
  for (size_t i = 0; i < text.size(); i += 50) text[i] = static_cast<char>(0xe4);
  expect_trained(text, {"--steps", "2", "--threads", "1"});
}

TEST_F(BadText, RowsAreTrainedOnAsTextWithANote) {
  std::string table;
  for (int i = 0; i < 600; ++i) table += "a bird,sings," + std::to_string(i) + "\n";
  for (const std::string name : {"table.csv", "table", "text.txt"}) {
    SCOPED_TRACE(name);
    write(folder_ / name, name == "text.txt" ? prose(4000) : table);
    const Outcome outcome =
        run(folder_.path(), Arguments{"train", name, "--out", "of " + name, "--steps", "1"} + tiny);
    expect_success(outcome);
    EXPECT_EQ(outcome.err.find("note: " + name + ": a table, learned as text") == std::string::npos,
              name == "text.txt")
        << outcome.err;
  }
}

}  // namespace
}  // namespace aviary::program
