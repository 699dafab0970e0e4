#include "data/documents.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "base/error.h"
#include "support/test_folder.h"
#include "text/vocabulary.h"

namespace aviary {
namespace {

using Texts = std::vector<std::string>;

// A World vocabulary: all bytes, and these tokens from id 257 on.
TokenizerPtr world(const Texts& learned) {
  std::string text;
  for (int byte = 0; byte < 256; ++byte)
    text += vocabulary_line(byte + 1, std::string(1, static_cast<char>(byte)));
  for (size_t i = 0; i < learned.size(); ++i)
    text += vocabulary_line(static_cast<int32_t>(257 + i), learned[i]);
  return make_world_tokenizer(text);
}

// The parts of a text, the trained ones beginning with a "+".
Sample sample_of(const Texts& parts) {
  Sample sample{.text = "", .trained = {}, .where = "a.jsonl:1"};
  for (const std::string& part : parts) {
    const bool trained = part.starts_with('+');
    const size_t begin = sample.text.size();
    sample.text += part.substr(trained ? 1 : 0);
    if (trained) sample.trained.push_back({begin, sample.text.size()});
  }
  return sample;
}

// The tokens of a document, in | |, or [ ] if they are trained.
std::string shown(const Document& document, const Tokenizer& tokenizer) {
  std::string text;
  for (size_t i = 0; i < document.tokens.size(); ++i) {
    const std::string bytes =
        document.tokens[i] == 0 ? "0" : std::string(tokenizer.bytes_of(document.tokens[i]));
    text += document.trained[i] ? "[" + bytes + "]" : "|" + bytes + "|";
  }
  return text;
}

template <typename Do>
std::string documents_complaint(Do&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(DocumentOf, TheSpaceOfAnAnswerBelongsToItsFirstToken) {
  const auto tokenizer = world({"Assistant", " <", "think", "User", "\n\n"});
  const Document document =
      document_of(sample_of({"User: q\n\nAssistant:", "+ <think\n\n", "User: r"}), *tokenizer, {}, 0);
  EXPECT_EQ(shown(document, *tokenizer),
            "|User||:|| ||q||\n\n||Assistant||:|[ <][think][\n\n]|User||:|| ||r||0|");
  EXPECT_EQ(document.straddling, 0);
  EXPECT_EQ(document.trained_tokens(), 3);
  EXPECT_EQ(document.trained_bytes, 9);
  EXPECT_EQ(document.where, "a.jsonl:1");
}

TEST(DocumentOf, ATokenOnBothSidesOfABorderBelongsToItsFirstByteAndIsCounted) {
  const auto tokenizer = world({"q:", "a ", " b", "cde"});
  for (const auto& [parts, expected, straddling] :
       std::vector<std::tuple<Texts, std::string, int64_t>>{{{"q", "+:x"}, "|q:|[x]", 1},
                                                            {{"x", "+a", " y"}, "|x|[a ]|y|", 1},
                                                            {{"x", "+a ", "y"}, "|x|[a ]|y|", 0},
                                                            {{"x", "+yc", "d", "+ez"}, "|x|[y][cde][z]", 1},
                                                            {{"xc", "+d", "e", "+z"}, "|x||cde|[z]", 1}}) {
    const Document document = document_of(sample_of(parts), *tokenizer, {}, {});
    EXPECT_EQ(shown(document, *tokenizer), expected);
    EXPECT_EQ(document.straddling, straddling) << expected;
  }
}

TEST(DocumentOf, TheEndTokenIsTrainedIfTheEndOfTheTextIs) {
  const auto tokenizer = world({});
  EXPECT_EQ(shown(document_of(sample_of({"q", "+a"}), *tokenizer, {}, 0), *tokenizer), "|q|[a][0]");
  EXPECT_EQ(shown(document_of(sample_of({"q", "+a", "r"}), *tokenizer, {}, 0), *tokenizer), "|q|[a]|r||0|");
  EXPECT_EQ(document_of(sample_of({"q", "+abc"}), *tokenizer, {}, 0).trained_bytes, 3);
}

TEST(DocumentOf, TheFirstTokenIsNeverATarget) {
  const auto tokenizer = world({});
  const Document document = document_of(sample_of({"+ab"}), *tokenizer, {}, {});
  EXPECT_EQ(shown(document, *tokenizer), "|a|[b]");
  EXPECT_EQ(document.trained_bytes, 1);
  const Document after_begin = document_of(sample_of({"+ab"}), *tokenizer, 0, {});
  EXPECT_EQ(shown(after_begin, *tokenizer), "|0|[a][b]");
  EXPECT_EQ(after_begin.trained_bytes, 2);
  EXPECT_EQ(shown(document_of(sample_of({"+a"}), *tokenizer, {}, 0), *tokenizer), "|a|[0]");
  const std::string nothing =
      documents_complaint([&] { document_of(sample_of({"+a"}), *tokenizer, {}, {}); });
  EXPECT_EQ(nothing,
            "a.jsonl:1: the document has no token to learn: the first of its 1 is not predicted, and no "
            "other is trained");
  EXPECT_NE(documents_complaint([&] { document_of(sample_of({"+a", "b"}), *tokenizer, {}, 0); }), "accepted");
}

// Loses "~", as others lose what a normalization takes away.
class Forgetful : public Tokenizer {
 public:
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    for (const char c : text)
      if (c != '~') tokens.push_back(c);
  }
  std::string_view bytes_of(int32_t token) const override { return bytes_->bytes_of(token); }
  int32_t vocab_size() const override { return 256; }
  std::string kind() const override { return "bytes"; }
  std::string serialize() const override { return ""; }
  std::optional<int32_t> end_of_text() const override { return {}; }

 private:
  TokenizerPtr bytes_ = make_bytes_tokenizer();
};

TEST(DocumentOf, WhereTheTokenizerChangesTheTextEachPartIsTokenizedAlone) {
  const Forgetful tokenizer;
  const Document document = document_of(sample_of({"q~", "+a~b", "~", "+c", "~d"}), tokenizer, {}, {});
  EXPECT_EQ(shown(document, tokenizer), "|q|[a][b][c]|d|");
  EXPECT_EQ(document.trained_bytes, 3);
}

TEST(DocumentOf, ATextThatCannotBeEncodedIsNamed) {
  const auto letters = make_characters_tokenizer(R"({"0": "a", "1": "b"})");
  const std::string error = documents_complaint([&] {
    document_of(sample_of({"a", "+bx"}), *letters, {}, {});
  });
  EXPECT_TRUE(error.starts_with("a.jsonl:1: ")) << error;
}

TEST(DataRequest, IsAFileAndItsWeight) {
  EXPECT_EQ(data_request("a.jsonl").path, "a.jsonl");
  EXPECT_EQ(data_request("-").weight, 1);
  EXPECT_EQ(data_request("a.jsonl,weight=0.25").weight, 0.25);
  EXPECT_EQ(data_request("a.jsonl,weight=0.25").path, "a.jsonl");
  for (const char* text :
       {"", ",weight=1", "a,", "a,weight", "a,weight=", "a,weight=x", "a,weight=1x", "a,weight=0",
        "a,weight=-1", "a,weight=nan", "a,weight=inf", "a,weight=1e9", "a,weight=1,weight=2", "a,share=2"})
    EXPECT_NE(documents_complaint([&] { data_request(text); }), "accepted") << text;
  EXPECT_EQ(documents_complaint([] { data_request("a,weight=0"); }),
            "'a,weight=0': the weight is '0', expected a number from 0.001 to 1000");
}

class ReadDocuments : public testing::Test {
 protected:
  DataFile file(const std::string& name, const std::string& text, double weight = 1) {
    write_file_atomically(folder_ / name, text);
    return DataFile({.path = folder_ / name, .weight = weight});
  }
  Documents read(const std::string& text, const DocumentOptions& options) {
    std::vector<DataFile> files;
    files.push_back(file("a.jsonl", text));
    return read_documents(files, *tokenizer_, options);
  }
  std::string refused(const std::string& text, const DocumentOptions& options) {
    const std::string error = documents_complaint([&] { read(text, options); });
    const std::string path = (folder_ / "a.jsonl").string();
    return error.starts_with(path) ? "a.jsonl" + error.substr(path.size()) : error;
  }
  Texts texts(const std::vector<Document>& documents) const {
    Texts texts;
    for (const Document& document : documents) texts.push_back(tokenizer_->decode(document.tokens));
    return texts;
  }

  TestFolder folder_;
  TokenizerPtr tokenizer_ = make_bytes_tokenizer();
};

std::string row(const std::string& text) { return "{\"text\": \"" + text + "\"}\n"; }

std::string rows(int first, int last) {
  std::string text;
  for (int i = first; i < last; ++i) text += row(fmt::format("text {}", i));
  return text;
}

TEST_F(ReadDocuments, TheShareThatIsHeldOutDependsOnTextsAndSeedNotOnTheirOrder) {
  std::vector<DataFile> files, turned;
  files.push_back(file("a.jsonl", rows(0, 30)));
  files.push_back(file("b.jsonl", rows(30, 60), 2.5));
  turned.push_back(file("b.jsonl", rows(30, 60), 2.5));
  turned.push_back(file("a.jsonl", rows(0, 30)));
  const DocumentOptions options{.validation_share = 0.2, .seed = 3};
  const Documents documents = read_documents(files, *tokenizer_, options);
  const Documents other = read_documents(turned, *tokenizer_, options);
  EXPECT_EQ(documents.train.size(), 48u);
  EXPECT_EQ(documents.validation.size(), 12u);
  auto set_of = [&](const Documents& all) {
    const Texts held = texts(all.validation);
    return std::set<std::string>(held.begin(), held.end());
  };
  EXPECT_EQ(set_of(documents), set_of(other));
  EXPECT_NE(set_of(documents),
            set_of(read_documents(files, *tokenizer_, {.validation_share = 0.2, .seed = 4})));
  EXPECT_EQ(documents.train.front().weight, 1);
  EXPECT_EQ(documents.train.back().weight, 2.5);
}

TEST_F(ReadDocuments, ValidationNeverSharesATextWithTraining) {
  const std::string twice = rows(0, 10) + rows(5, 15) + rows(0, 20);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Documents documents = read(twice, {.validation_share = 0.3, .seed = seed});
    const Texts train = texts(documents.train), validation = texts(documents.validation);
    EXPECT_EQ(train.size() + validation.size(), 40u);
    EXPECT_EQ(std::set<std::string>(validation.begin(), validation.end()).size(), 6u);
    for (const std::string& text : validation)
      EXPECT_EQ(std::count(train.begin(), train.end(), text), 0) << text << ", seed " << seed;
  }
}

TEST_F(ReadDocuments, AtLeastOneOfTwoTextsIsHeldOutAndOneIsLeft) {
  EXPECT_EQ(read(rows(0, 2), {}).validation.size(), 1u);
  EXPECT_EQ(read(rows(0, 1), {}).train.size(), 1u);
  EXPECT_EQ(read(row("same") + row("same"), {}).train.size(), 2u);
  EXPECT_EQ(read(rows(0, 2), {.validation_share = 0.99}).train.size(), 1u);
  EXPECT_EQ(read(rows(0, 50), {.validation_share = 0}).train.size(), 50u);
  EXPECT_EQ(read(rows(0, 50), {}).validation.size(), 3u);  // 2.5
  for (const double share : {-0.1, 1.0, std::nan("")})
    EXPECT_NE(refused(rows(0, 2), {.validation_share = share}), "accepted");
}

TEST_F(ReadDocuments, ADocumentLongerThanTheContextIsRefusedOrTruncated) {
  const std::string text = row("abcde") + R"({"prompt": "abcd", "completion": "e"})" + "\n" + row("ab");
  EXPECT_EQ(read(text, {.context = 4}).truncated, 0);
  EXPECT_EQ(
      refused(text, {.end_token = 10, .context = 4}),
      "a.jsonl:1: the document has 5 tokens, but the context is 4; take a longer context, or truncate such "
      "documents");
  const Documents cut =
      read(row("abcde") + row("ab"), {.context = 2, .truncate = true, .validation_share = 0});
  EXPECT_EQ(texts(cut.train), (Texts{"abc", "ab"}));
  EXPECT_EQ(cut.train[0].trained_bytes, 2);
  EXPECT_EQ(cut.truncated, 1);
  EXPECT_EQ(refused(text, {.context = 3, .truncate = true}),
            "a.jsonl:2: nothing that is trained is left of the document after 3 tokens");
  const Documents rest =
      read(text, {.rows = {.skip_broken = true}, .context = 3, .truncate = true, .validation_share = 0});
  EXPECT_EQ(texts(rest.train), (Texts{"abcd", "ab"}));
  EXPECT_EQ(rest.skipped, 1);
  EXPECT_EQ(rest.truncated, 1);
}

TEST_F(ReadDocuments, BrokenRowsAreRefusedOrCounted) {
  const std::string text = row("ab") + "{\"text\": 1}\n" + row("a") + row("cd");
  EXPECT_EQ(refused(text, {}), "a.jsonl:2: 'text' is a JSON number, expected a string");
  Texts reports;
  DocumentOptions options{.rows = {.skip_broken = true}, .validation_share = 0};
  options.rows.report = [&](const std::string& message) { reports.push_back(message); };
  const Documents documents = read(text, options);
  EXPECT_EQ(texts(documents.train), (Texts{"ab", "cd"}));
  EXPECT_EQ(documents.skipped, 2);  // also the document of one token
  EXPECT_EQ(reports.size(), 2u);
  EXPECT_EQ(refused("{\"text\": 1}\n{\"a\": 1}\n", options),
            "the data holds no documents to train on: all its 2 rows are broken");
}

TEST_F(ReadDocuments, PlainTextAndKeysThatNoRowHasAreRefused) {
  EXPECT_EQ(refused("plain text\n", {}), "a.jsonl: it does not hold rows, expected one JSON object per line");
  EXPECT_EQ(refused(rows(0, 3), {.rows = {.rename = {{"question", "prompt"}}}}),
            "no row has the key 'question', which is to be read as 'prompt'");
}

TEST(Marked, ShowsWhatIsTrainedAndTheEndOfTheText) {
  const auto tokenizer = world({});
  EXPECT_EQ(marked(document_of(sample_of({"User: q\n\nAssistant:", "+ a\x1b[0m\n\n", "User: r", "+ b"}),
                               *tokenizer, 0, 0),
                   *tokenizer),
            "<end>User: q\n\nAssistant:[[ a\\x1b[0m\n\n]]User: r[[ b<end>]]");
}

TEST(Marked, LeavesOutTheMiddleOfALongDocumentButNoHalfCharacters) {
  const auto tokenizer = world({});
  const Document document = document_of(sample_of({"0123", "+456789"}), *tokenizer, {}, 0);
  EXPECT_EQ(marked(document, *tokenizer, 11), "0123[[456789<end>]]");
  EXPECT_EQ(marked(document, *tokenizer, 10), "0123[[4]]\n... 1 tokens ...\n[[6789<end>]]");
  EXPECT_EQ(marked(document, *tokenizer, 4), "01\n... 7 tokens ...\n[[9<end>]]");
  std::string characters = "+";
  for (int i = 0; i < 30; ++i) characters += "\u4f60";
  for (int64_t longest = 2; longest < 30; ++longest) {
    const std::string text =
        marked(document_of(sample_of({"q", characters}), *tokenizer, {}, {}), *tokenizer, longest);
    EXPECT_EQ(text.find('\\'), text.npos) << text;
    EXPECT_NE(text.find("tokens"), text.npos) << text;
  }
}

}  // namespace
}  // namespace aviary
