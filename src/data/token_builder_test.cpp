#include "data/token_builder.h"

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>

#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "support/repository.h"
#include "support/test_data.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

class Build : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& bytes) const {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
  }
  BuildReport build(const std::string& input, const BuildOptions& options = {}) const {
    return build_tokens(files_of({(folder_ / input).string()}), folder_ / "out", *tokenizer_, options);
  }
  std::string error_of(const std::string& input, const BuildOptions& options = {}) const {
    try {
      build(input, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  std::vector<std::string> documents() const {
    const TokenFile file(folder_ / "out.bin");
    std::vector<std::string> result;
    for (int64_t i = 0; i < file.documents(); ++i) {
      std::vector<int32_t> tokens;
      file.read(i, 0, file.size_of(i), tokens);
      result.push_back(tokenizer_->decode(tokens));
    }
    return result;
  }

  const TestFolder folder_;
  const TokenizerPtr tokenizer_ = make_bytes_tokenizer();
};

using Texts = std::vector<std::string>;

TEST_F(Build, KeepsTheOrderOrShufflesItReproducibly) {
  std::string rows;
  for (int i = 0; i < 50; ++i) rows += "{\"text\": \"document " + std::to_string(i) + "\"}\n";
  write("a.jsonl", rows);
  build("a.jsonl", {.shuffle = false});
  const Texts in_order = documents();
  ASSERT_EQ(in_order.size(), 50u);
  EXPECT_EQ(in_order[7], "document 7");
  build("a.jsonl", {.epochs = 2, .seed = 3});
  const Texts shuffled = documents();
  build("a.jsonl", {.epochs = 2, .seed = 3});
  EXPECT_EQ(documents(), shuffled);
  Texts first(shuffled.begin(), shuffled.begin() + 50), second(shuffled.begin() + 50, shuffled.end());
  EXPECT_NE(first, second);
  EXPECT_NE(first, in_order);
  std::sort(first.begin(), first.end());
  std::sort(second.begin(), second.end());
  EXPECT_EQ(first, second);
}

TEST_F(Build, ResultsDoNotDependOnThreadsOrPieces) {
  Random random(5);
  std::string text;
  for (int i = 0; i < 40000; ++i)
    text += "word" + std::to_string(random.below(5000)) + (i % 9 == 0 ? "\n" : " ");
  write("a.txt", text);
  build("a.txt");
  EXPECT_EQ(documents(), Texts{text});
  const int before = threads();
  set_threads(3);
  const BuildReport report = build("a.txt", {.pieces = {.piece = 1000}, .near = true});
  set_threads(before);
  EXPECT_EQ(documents(), Texts{text});
  EXPECT_EQ(report.bytes, std::ssize(text));
  EXPECT_EQ(report.documents, 1);
}

TEST_F(Build, ReadsCompressedFilesFoldersAndSeparators) {
  write("in/plain.txt", "one--two--three");
  write("in/.hidden", "not me");
  std::string packed(1000, '\0');
  const std::string text = "from zstd";
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  write("in/sub/b.txt.zst", packed);
  gzFile file = gzopen((folder_ / "in/a.jsonl.gz").string().c_str(), "wb");
  gzputs(file, "{\"text\": \"from gzip\"}\n");
  gzclose(file);
  build("in", {.pieces = {.separator = "--"}, .shuffle = false});
  EXPECT_EQ(documents(), (Texts{"from gzip", "one", "two", "three", "from zstd"}));
  const std::string gzip = read_file(folder_ / "in/a.jsonl.gz", 1000);
  write("cut.jsonl.gz", gzip.substr(0, gzip.size() - 5));
  EXPECT_NE(error_of("cut.jsonl.gz").find("the compressed data is cut off"), std::string::npos);
  write("cut.txt.zst", packed.substr(0, packed.size() - 3));
  EXPECT_NE(error_of("cut.txt.zst").find("the compressed data is cut off"), std::string::npos);
  write("no.txt.gz", "this is not gzip at all");
  EXPECT_NE(error_of("no.txt.gz").find("is no valid gzip file"), std::string::npos);
  write("no.txt.zst", "this is not zstd at all");
  EXPECT_NE(error_of("no.txt.zst").find("is no valid zstd file"), std::string::npos);
}

TEST_F(Build, CountsDuplicatesAndDropsThemOnRequest) {
  std::string near = "a", other;
  for (int i = 0; i < 200; ++i) near += " word" + std::to_string(i), other += " other" + std::to_string(i);
  write("a.jsonl", "{\"text\": \"same\"}\n{\"text\": \"same\"}\n{\"text\": \"" + near + "\"}\n{\"text\": \"" +
                       near + " end\"}\n{\"text\": \"" + other + "\"}\n{\"text\": \"\"}\n\n");
  BuildReport report = build("a.jsonl", {.shuffle = false, .near = true});
  EXPECT_EQ(report.documents, 5);
  EXPECT_EQ(report.empty, 1);
  EXPECT_EQ(report.exact_duplicates, 1);
  EXPECT_EQ(report.near_duplicates, 1);
  EXPECT_EQ(report.dropped, 0);
  report = build("a.jsonl", {.shuffle = false, .near = true, .drop_exact = true, .drop_near = true});
  EXPECT_EQ(documents(), (Texts{"same", near, other}));
  EXPECT_EQ(report.dropped, 2);
  write("eval.txt", "x y" + near.substr(0, 200));
  report = build("a.jsonl", {.shuffle = false, .drop_overlap = true, .evaluation = {folder_ / "eval.txt"}});
  EXPECT_EQ(report.overlapping, 2);
  EXPECT_EQ(documents(), (Texts{"same", "same", other}));
}

TEST_F(Build, RepairsSomeInvalidBytesAndRefusesWhatIsNoText) {
  write("a.txt", std::string(100, 'a') + "\xe9" + std::string(100, 'b'));
  const BuildReport report = build("a.txt");
  EXPECT_EQ(report.invalid_bytes, 1);
  EXPECT_EQ(report.repaired_documents, 1);
  EXPECT_EQ(documents(), Texts{std::string(100, 'a') + "\uFFFD" + std::string(100, 'b')});
  using namespace std::string_literals;
  write("b.txt", "text\0more"s);
  EXPECT_NE(error_of("b.txt").find("NUL bytes"), std::string::npos);
  write("c.txt", "\xff\xfet\0"s);
  EXPECT_NE(error_of("c.txt").find("UTF-16"), std::string::npos);
  write("d.txt", std::string(100, '\xe9'));
  EXPECT_NE(error_of("d.txt").find("not valid UTF-8"), std::string::npos);
  write("e.txt", "");
  EXPECT_NE(error_of("e.txt").find("nothing is left to write"), std::string::npos);
  EXPECT_NE(error_of("missing").find("No such file"), std::string::npos);
}

TEST_F(Build, BrokenRowsAreRefusedWithTheirLineOrLeftOut) {
  write("a.jsonl", "{\"text\": \"good\"}\n{\"no\": 1}\n{\"text\": \"also\"}\nnonsense\n");
  EXPECT_NE(error_of("a.jsonl").find("a.jsonl:2: expected an object with \"text\""), std::string::npos);
  const BuildReport report = build("a.jsonl", {.shuffle = false, .skip_broken = true});
  EXPECT_EQ(report.broken, 2);
  EXPECT_EQ(documents(), (Texts{"good", "also"}));
  write("long.jsonl", "{\"text\": \"" + std::string(5000, 'x') + "\"}\n");
  EXPECT_NE(error_of("long.jsonl", {.pieces = {.longest_row = 4000}}).find("the line has more than"),
            std::string::npos);
}

TEST_F(Build, ReadsTokensOfNumpy) {
  const std::string header = "{'descr': '<u2', 'fortran_order': False, 'shape': (4,), }";
  const auto npy = [&](const std::string& dict, const std::string& data) {
    return std::string("\x93NUMPY\x01\x00", 8) + static_cast<char>(dict.size()) + '\0' + dict + data;
  };
  const std::string data("h\0e\0y\0!\0", 8);
  write("a.npy", npy(header, data));
  const BuildReport report = build("a.npy");
  EXPECT_EQ(documents(), Texts{"hey!"});
  EXPECT_EQ(report.tokens, 4);
  write("b.npy", npy(header, data.substr(0, 6)));
  EXPECT_NE(error_of("b.npy").find("cut off"), std::string::npos);
  write("c.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", data));
  EXPECT_NE(error_of("c.npy").find("expected integers"), std::string::npos);
  write("d.npy", npy("{'descr': '<u2', 'fortran_order': False, 'shape': (2, 2), }", data));
  EXPECT_NE(error_of("d.npy").find("one row"), std::string::npos);
  write("e.npy", npy(header, std::string("\1\2\1\2\1\2\1\2", 8)));
  EXPECT_NE(error_of("e.npy").find("has the token 513"), std::string::npos);
}

TEST_F(Build, IsTheOriginalsByteForByteWithItsVocabulary) {
  const std::optional<std::string> vocabulary = shared_text("rwkv_vocab_v20230424.txt");
  if (!vocabulary) GTEST_SKIP() << "AVIARY_SHARED does not name a folder with the World vocabulary";
  const TokenizerPtr world = make_world_tokenizer(*vocabulary);
  for (const char* name : {"docs1", "docs3"}) {
    const std::string path = golden(std::string("binidx/") + name).string();
    build_tokens({path + "_shuffled.jsonl"}, folder_ / name, *world, {.shuffle = false});
    for (const char* ending : {".bin", ".idx"})
      EXPECT_EQ(read_file(folder_ / (name + std::string(ending)), 1 << 20),
                read_file(path + ending, 1 << 20));
  }
}

TEST(TextStatistics, RulesAreThoseOfGopher) {
  const auto violations = [](const std::string& text) {
    TextStatistics statistics;
    statistics.add(text + "\n", [](uint64_t) {});
    return statistics.violations();
  };
  const auto violated = [&](const std::string& text, Quality rule) {
    return violations(text)[static_cast<size_t>(rule)];
  };
  std::string good;
  for (int i = 0; i < 20; ++i) good += "The birds of line " + std::to_string(i) + " sing with joy\n";
  for (const bool violation : violations(good)) EXPECT_FALSE(violation);
  EXPECT_TRUE(violated("the few words of a text", Quality::words));
  EXPECT_TRUE(violated(good + std::string(3000, 'x'), Quality::word_length));
  EXPECT_TRUE(violated("# # # the of", Quality::symbols));
  EXPECT_TRUE(violated("- one\n- two\n* three", Quality::bullets));
  EXPECT_TRUE(violated("one...\ntwo\n", Quality::ellipses));
  EXPECT_FALSE(violated("one... more\ntwo\n", Quality::ellipses));
  EXPECT_TRUE(violated("1 2 3 4 five", Quality::letters));
  EXPECT_TRUE(violated("the cat sat", Quality::stop_words));
  EXPECT_FALSE(violated("The cat sat OF", Quality::stop_words));
  EXPECT_TRUE(violated("a b\na b\nc", Quality::repeated_lines));
}

}  // namespace
}  // namespace aviary
