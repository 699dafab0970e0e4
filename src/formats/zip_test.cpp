#include "formats/zip.h"

#include <gtest/gtest.h>

#include "support/test_bytes.h"

namespace aviary {
namespace {

std::string zip_error(std::string_view text) {
  std::vector<std::byte> bytes = exact_copy(text);
  try {
    for (const ZipEntry& entry : read_zip_directory(bytes, "file")) zip_entry_bytes(bytes, entry, "file");
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void expect_zip_error(std::string_view text, std::string_view part) {
  std::string error = zip_error(text);
  EXPECT_NE(error.find(part), std::string::npos) << error;
}

std::string with_bytes(std::string text, size_t position, const std::string& bytes) {
  return text.replace(position, bytes.size(), bytes);
}

TEST(Zip, FindsTheBytesOfStoredEntriesInPlace) {
  for (bool zip64 : {false, true}) {
    std::vector<std::byte> bytes = exact_copy(zip_of(
        {{"a", "first", 0, 0, zip64}, {"b/c", "", 0, 0, zip64}, {"d", "last", 0, 0, zip64}}, "comment"));
    std::vector<ZipEntry> entries = read_zip_directory(bytes, "file");
    ASSERT_EQ(entries.size(), 3u);
    EXPECT_EQ(entries[0].name, "a");
    EXPECT_EQ(as_text(zip_entry_bytes(bytes, entries[0], "file")), "first");
    EXPECT_EQ(entries[1].name, "b/c");
    EXPECT_EQ(as_text(zip_entry_bytes(bytes, entries[1], "file")), "");
    EXPECT_EQ(as_text(zip_entry_bytes(bytes, entries[2], "file")), "last");
  }
}

TEST(Zip, ReadsTheZip64EndRecordOfTorch) {
  MappedFile file(golden("pth-formats/zip.pth"));
  std::vector<ZipEntry> entries = read_zip_directory(file.bytes(), "file");
  ASSERT_EQ(entries.size(), 16u);
  EXPECT_EQ(entries[0].name, "zip/data.pkl");
  EXPECT_EQ(entries[0].size, 1257u);
  EXPECT_EQ(entries[15].name, "zip/version");
  EXPECT_EQ(as_text(zip_entry_bytes(file.bytes(), entries[15], "file")), "3\n");
}

TEST(Zip, RejectsCompressedAndEncryptedEntries) {
  expect_zip_error(zip_of({{"a", "first", 8}}), "'a' is compressed, expected stored entries");
  expect_zip_error(zip_of({{"a", "first", 0, 1}}), "'a' is encrypted");
}

TEST(Zip, RejectsDuplicateNamesAndHeadersThatDisagree) {
  expect_zip_error(zip_of({{"a", "x"}, {"a", "y"}}), "two entries named 'a'");
  std::string zip = zip_of({{"a", "x"}});
  expect_zip_error(with_bytes(zip, 30, "b"), "'a' is called 'b' in its own header");
  expect_zip_error(with_bytes(zip, 0, "Q"), "'a' is not where the directory says");
}

TEST(Zip, RejectsOffsetsAndSizesOutsideTheFile) {
  std::string zip = zip_of({{"a", "x"}});
  size_t end = zip.size() - 22, entry = 32;
  ASSERT_EQ(zip.substr(entry, 4), "PK\x01\x02");
  for (uint32_t absurd : {1000u, 0x7fffffffu, 0xfffffffeu}) {
    expect_zip_error(with_bytes(zip, end + 12, le(absurd)),
                     "the zip archive says that its directory is at byte");
    expect_zip_error(with_bytes(zip, end + 16, le(absurd)),
                     "the zip archive says that its directory is at byte");
    expect_zip_error(with_bytes(zip, entry + 42, le(absurd)),
                     "the zip archive says that its entry header is at byte");
    expect_zip_error(with_bytes(zip, entry + 20, le(absurd) + le(absurd)),
                     "the zip archive says that its entry is at byte");
  }
  expect_zip_error(with_bytes(zip, end + 10, le(uint16_t{0xffff})),
                   "65535 entries, but it has only 47 bytes");
  expect_zip_error(with_bytes(zip, entry + 28, le(uint16_t{0xffff})), "65535 bytes are expected");
}

TEST(Zip, RejectsZip64NumbersNear2To64) {
  std::string zip = zip_of({{"a", "x", 0, 0, true}});
  size_t extra = zip.size() - 22 - 24;
  for (uint64_t absurd : {uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 30}) {
    expect_zip_error(with_bytes(zip, extra, le(absurd) + le(absurd)),
                     "the zip archive says that its entry is at byte");
    expect_zip_error(with_bytes(zip, extra + 16, le(absurd)),
                     "the zip archive says that its entry header is at byte");
  }
  expect_zip_error(with_bytes(zip, extra - 4, le(uint16_t{2})),
                   "the zip64 sizes of the entry 'a' are missing");
}

TEST(Zip, AMissingEndIsReported) {
  std::string zip = zip_of({{"a", "x"}});
  for (size_t size = 0; size < zip.size(); ++size)
    expect_zip_error(zip.substr(0, size),
                     "the zip directory at the end of the file is missing; the file is cut short");
}

}  // namespace
}  // namespace aviary
