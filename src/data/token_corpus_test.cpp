#include "data/token_corpus.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "data/corpus.h"
#include "support/repository.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

class TokenCorpusTest : public testing::Test {
 protected:
  // A .bin of these documents, one token per byte.
  fs::path file_of(const std::string& name, const std::vector<std::string>& documents,
                   TokenType type = TokenType::uint16) const {
    TokenFileWriter writer(folder_ / name, type);
    for (const std::string& document : documents) {
      std::vector<std::byte> bytes;
      append_tokens(bytes_->encode(document), type, bytes);
      writer.add(bytes);
    }
    writer.commit();
    return folder_ / (name + ".bin");
  }
  std::string error_of(const std::vector<DataRequest>& files, int64_t validation_bytes = 4) const {
    try {
      const TokenCorpus corpus(files, *bytes_, validation_bytes);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  std::string validation_of(const std::vector<std::string>& documents, int64_t bytes) const {
    const TokenCorpus corpus(std::vector<DataRequest>{{file_of("x", documents)}}, *bytes_, bytes);
    return bytes_->decode(corpus.parts()[0].validation);
  }

  const TestFolder folder_;
  const TokenizerPtr bytes_ = make_bytes_tokenizer();
};

TEST_F(TokenCorpusTest, TheSplitIsMovedToTheNextDocumentLineOrWord) {
  EXPECT_EQ(validation_of({"0123456789", "abcdef"}, 8), "abcdef");
  EXPECT_EQ(validation_of({"0123456789", "ab", "cdef"}, 8), "abcdef");
  EXPECT_EQ(validation_of({"one two\nthree"}, 8), "three");
  EXPECT_EQ(validation_of({"one two three"}, 8), " three");
  EXPECT_EQ(validation_of({"0123456789"}, 4), "6789");  // nothing to move to
  EXPECT_EQ(validation_of({"0123456789"}, 0), "");
  EXPECT_EQ(validation_of({"0123456789", "abc"}, -1), "c");  // a tenth
}

TEST_F(TokenCorpusTest, ATextAndItsTokensAreSplitAtTheSamePlaceWhereALineBegins) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "line " + std::to_string(i) + " of a text\n";
  for (const int64_t bytes : {-1, 50, 333, 2000}) {
    const Corpus corpus(text, *bytes_, bytes);
    EXPECT_EQ(validation_of({text}, bytes), bytes_->decode(corpus.validation)) << bytes;
  }
}

TEST_F(TokenCorpusTest, TheWholeFileIsReadAndCounted) {
  for (const TokenType type : {TokenType::uint16, TokenType::int32}) {
    const TokenCorpus corpus(std::vector<DataRequest>{{file_of("x", {"0123456789", "abcd"}, type), 2}},
                             *bytes_, 4);
    ASSERT_EQ(corpus.parts().size(), 1u);
    const TokenCorpus::Part& part = corpus.parts()[0];
    EXPECT_EQ(bytes_->decode(part.train().copy()), "0123456789");
    EXPECT_EQ(corpus.train_tokens(false), 10);
    EXPECT_EQ(corpus.train_tokens(true), 20);
    EXPECT_EQ(corpus.train_bytes(true), 20);
    EXPECT_EQ(corpus.validation_bytes(), 4);
    EXPECT_EQ(corpus.repeated(), 0);
  }
}

TEST_F(TokenCorpusTest, SeveralFilesGiveTheirSharesAndTheirOrderIsThatOfTheirContents) {
  const fs::path one = file_of("one", {std::string(300, 'a')}),
                 two = file_of("two", {std::string(100, 'b')}, TokenType::int32);
  const TokenCorpus corpus(std::vector<DataRequest>{{one}, {two, 0.5}}, *bytes_, 40),
      other(std::vector<DataRequest>{{two, 0.5}, {one}}, *bytes_, 40);
  EXPECT_EQ(corpus.validation_bytes(), 40);
  EXPECT_EQ(corpus.train_tokens(false), 360);
  EXPECT_EQ(corpus.train_tokens(true), 270 + 45);
  EXPECT_EQ(corpus.hash(), other.hash());
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(corpus.parts()[i].hash, other.parts()[i].hash);
  EXPECT_NE(corpus.hash(), TokenCorpus(std::vector<DataRequest>{{one}, {two}}, *bytes_, 40).hash());
}

TEST_F(TokenCorpusTest, ValidationDocumentsThatAreAlsoTrainedOnAreCounted) {
  const std::string one = "the first document of all", two = "the second document of all";
  const TokenCorpus corpus(std::vector<DataRequest>{{file_of("x", {one, two, two, one})}}, *bytes_, 60);
  EXPECT_EQ(corpus.validation_bytes(), 51);
  EXPECT_EQ(corpus.repeated(), 2);
}

TEST_F(TokenCorpusTest, WhatIsNoTrainingDataIsRefusedInOneSentence) {
  const fs::path path = file_of("x", {"0123456789"});
  EXPECT_EQ(error_of({{path}}), "");
  EXPECT_NE(error_of({{path}}, 10).find("--validation-bytes"), std::string::npos);
  // A token that the vocabulary does not have.
  TokenFileWriter writer(folder_ / "large", TokenType::uint16);
  std::vector<std::byte> bytes;
  append_tokens(std::vector<int32_t>{1, 2, 256}, TokenType::uint16, bytes);
  writer.add(bytes);
  writer.commit();
  EXPECT_NE(error_of({{folder_ / "large.bin"}})
                .find("has the token 256, but the tokenizer has the tokens 0 to 255"),
            std::string::npos);
  // int32 numbers beside the index of uint16, and the other way round.
  file_of("y", {"0123456789"}, TokenType::int32);
  fs::copy_file(folder_ / "x.idx", folder_ / "y.idx", fs::copy_options::overwrite_existing);
  EXPECT_NE(error_of({{folder_ / "y.bin"}}).find("int32"), std::string::npos)
      << error_of({{folder_ / "y.bin"}});
  file_of("y", {"0123456789"}, TokenType::int32);
  fs::copy_file(folder_ / "x.bin", folder_ / "y.bin", fs::copy_options::overwrite_existing);
  EXPECT_NE(error_of({{folder_ / "y.bin"}}).find("cut off"), std::string::npos);
  // An index of another file.
  file_of("z", {"0123456789", "more"});
  fs::copy_file(folder_ / "x.idx", folder_ / "z.idx", fs::copy_options::overwrite_existing);
  EXPECT_NE(error_of({{folder_ / "z.bin"}}).find("its index counts 10"), std::string::npos);
}

}  // namespace
}  // namespace aviary
