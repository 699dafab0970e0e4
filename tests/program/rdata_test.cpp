#include "cli/rdata.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "base/random.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

using Lines = std::vector<std::string>;

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

std::string serialized(const Lines& lines, uint32_t string_flags = 0x40009) {
  std::string data = "X\n" + big_endian(3) + big_endian(0x40201) + big_endian(0x30500) + big_endian(5) +
                     "UTF-8" + big_endian(16) + big_endian(static_cast<uint32_t>(lines.size()));
  for (const std::string& line : lines)
    data += big_endian(string_flags) + big_endian(static_cast<uint32_t>(line.size())) + line;
  return data;
}

std::string chunk(const std::string& data) {
  std::string packed(compressBound(data.size()), '\0');
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(data.data()),
           data.size());
  return big_endian(static_cast<uint32_t>(data.size())) + packed.substr(0, size);
}

// The chunks of six very short novels, in the order of the package.
std::vector<std::string> short_novels() {
  std::vector<std::string> chunks;
  for (std::string title : {"EMMA", "MANSFIELD PARK", "NORTHANGER ABBEY", "Persuasion", "PRIDE AND PREJUDICE",
                            "SENSE AND SENSIBILITY"})
    chunks.push_back(chunk(serialized({"", title, "", "It begins", "and ends."})));
  return chunks;
}

class Rdata : public testing::Test {
 protected:
  std::filesystem::path written(const std::string& bytes) {
    std::ofstream(folder_ / "Rdata.rdb", std::ios::binary) << bytes;
    return folder_ / "Rdata.rdb";
  }
  std::filesystem::path written(const std::vector<std::string>& chunks) {
    std::string bytes;
    for (const std::string& chunk : chunks) bytes += chunk;
    return written(bytes);
  }
  // The message for a file whose first chunk is this one.
  std::string complaint(const std::string& first) {
    std::vector<std::string> chunks = short_novels();
    chunks[0] = first;
    try {
      read_novels(written(chunks));
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }
  TestFolder folder_;
};

TEST_F(Rdata, NovelsAreRecognizedByTitleAndOrderedByPublication) {
  std::vector<Novel> novels = read_novels(written(short_novels()));
  ASSERT_EQ(novels.size(), 6u);
  Lines names;
  for (const Novel& novel : novels) names.push_back(novel.name);
  EXPECT_EQ(names, (Lines{"sensesensibility", "prideprejudice", "mansfieldpark", "emma", "northangerabbey",
                          "persuasion"}));
  EXPECT_EQ(novels[3].lines, (Lines{"", "EMMA", "", "It begins", "and ends."}));
}

TEST_F(Rdata, RejectsOtherFiles) {
  std::string good = serialized({"EMMA"});
  auto changed = [&](size_t at, char byte) {
    std::string data = good;
    data[at] = byte;
    return chunk(data);
  };
  for (auto& [first, part] : std::vector<std::pair<std::string, std::string>>{
           {chunk(serialized({"ULYSSES"})), "none of the six novels"},
           {chunk(serialized({})), "none of the six novels"},
           {chunk(serialized({"Persuasion"})), "persuasion twice"},
           {"", "emma is missing"},
           {chunk(serialized({"EMMA"}, 0x4009)), "expected a string in ASCII or UTF-8"},
           {chunk(good + "x"), "1 bytes are left"},
           {chunk(good.substr(0, good.size() - 1)), "ends inside a line"},
           {changed(0, 'A'), "not R's XDR"},
           {changed(5, 9), "the version of the serialization is 9"},
           {changed(14, 127), "ends inside the encoding's name"},
           {changed(26, 19), "the type of the data is 19, expected 16"},
           {changed(27, 127), "lines cannot be in"},
           {changed(27, -1), "lines cannot be in"},
           {changed(35, -1), "ends inside a line"},
           {std::string("\x7f\xff\xff\xff", 4), "cannot hold"},
           {big_endian(5) + chunk(good).substr(4), "does not unpack to the 5 bytes"},
           {big_endian(500) + chunk(good).substr(4), "does not unpack to the 500 bytes"}})
    EXPECT_NE(complaint(first).find(part), std::string::npos)
        << part << " expected, got: " << complaint(first);
}

TEST_F(Rdata, DamagedFilesAreErrorsNotCrashes) {
  std::string whole;
  for (const std::string& chunk : short_novels()) whole += chunk;
  for (size_t size = 1; size < whole.size(); ++size)
    ASSERT_THROW(read_novels(written(whole.substr(0, size))), Error) << size;
  Random random(9);
  for (int i = 0; i < 300; ++i) {
    std::string damaged = whole;
    size_t at = static_cast<size_t>(random.below(static_cast<int64_t>(whole.size())));
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random.below(8)));
    ASSERT_THROW(read_novels(written(damaged)), Error) << at;
  }
}

TEST(Unwrap, JoinsTheLinesOfAParagraphAndSeparatesParagraphs) {
  EXPECT_EQ(unwrap(Lines{"", "CHAPTER I", "", "", "It was  a day", "  of rain--", "and of", " \t", "sun."}),
            "CHAPTER I\n\nIt was a day of rain--and of\n\nsun.\n\n");
  EXPECT_EQ(unwrap(Lines{"a"}) + unwrap(Lines{"b "}), "a\n\nb\n\n");
  EXPECT_EQ(unwrap(Lines{"", "  ", ""}), "");
  EXPECT_EQ(unwrap(Lines{}), "");
}

TEST(JaneAusten, ThePackageHoldsTheSixNovels) {
  const char* path = std::getenv("AVIARY_JANEAUSTEN");
  if (path == nullptr)
    GTEST_SKIP() << "set AVIARY_JANEAUSTEN to data/Rdata.rdb of Debian's r-cran-janeaustenr";
  std::vector<Novel> novels = read_novels(path);
  size_t lines = 0, bytes = 0, unwrapped = 0;
  for (const Novel& novel : novels) {
    lines += novel.lines.size();
    for (const std::string& line : novel.lines) bytes += line.size() + 1;
    std::string text = unwrap(novel.lines);
    unwrapped += text.size();
    EXPECT_EQ(text.find("  "), std::string::npos);
    EXPECT_EQ(text.find("\n\n\n"), std::string::npos);
  }
  EXPECT_EQ(lines, 73422u);
  EXPECT_EQ(bytes, 4025029u);
  EXPECT_GT(unwrapped, 3900000u);
  EXPECT_EQ(novels[1].lines[0], "PRIDE AND PREJUDICE");
  EXPECT_NE(unwrap(novels[1].lines)
                .find("that a single man in possession of a good fortune, must be in want of a wife.\n\n"),
            std::string::npos);
}

}  // namespace
}  // namespace aviary
