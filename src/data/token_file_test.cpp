#include "data/token_file.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "data/magic_prime.h"
#include "support/repository.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

std::string bytes_of_file(const fs::path& path) { return read_file(path, 1 << 20); }

std::string error_of(const fs::path& path) {
  try {
    const TokenFile file(path);
    file.largest_token();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(TokenFile, ReadsAndWritesTheFilesOfTheOriginalByteForByte) {
  const TestFolder folder;
  for (const char* name : {"docs1", "docs3"}) {
    const fs::path path = golden(std::string("binidx/") + name);
    const TokenFile file(path);
    const auto json = parse_json(bytes_of_file(path.string() + ".json"), name);
    ASSERT_EQ(file.documents(), json["items"].get<int64_t>());
    EXPECT_EQ(file.tokens(), json["tokens"].get<int64_t>());
    EXPECT_EQ(file.type(), TokenType::uint16);
    std::vector<int32_t> all;
    TokenFileWriter writer(folder / name, file.type());
    for (int64_t i = 0; i < file.documents(); ++i) {
      std::vector<int32_t> tokens;
      std::vector<std::byte> bytes;
      file.read(i, 0, file.size_of(i), tokens);
      append_tokens(tokens, file.type(), bytes);
      writer.add(bytes);
      all.insert(all.end(), tokens.begin(), tokens.end());
    }
    writer.commit();
    EXPECT_EQ(all, json["all_tokens"].get<std::vector<int32_t>>());
    for (const char* ending : {".bin", ".idx"})
      EXPECT_EQ(bytes_of_file(folder / (name + std::string(ending))), bytes_of_file(path.string() + ending));
  }
}

TEST(TokenFile, AnIndexThatIsCutOffOrPointsOutsideIsRefused) {
  const TestFolder folder;
  const std::string index = bytes_of_file(golden("binidx/docs1.idx")),
                    bin = bytes_of_file(golden("binidx/docs1.bin"));
  const auto write = [&](const std::string& of_index, const std::string& of_bin) {
    std::ofstream(folder / "x.idx", std::ios::binary) << of_index;
    std::ofstream(folder / "x.bin", std::ios::binary) << of_bin;
  };
  write(index, bin);
  EXPECT_EQ(error_of(folder / "x.bin"), "");
  for (size_t length = 1; length < index.size(); length += 7) {
    write(index.substr(0, length), bin);
    EXPECT_NE(error_of(folder / "x"), "") << length;
  }
  write(index, bin.substr(0, bin.size() - 2));
  EXPECT_NE(error_of(folder / "x").find("is that file cut off?"), std::string::npos);
  write(index, bin.substr(0, bin.size() - 1));
  EXPECT_NE(error_of(folder / "x").find("expected a multiple of 2"), std::string::npos);
  for (size_t byte = 0; byte < index.size();
       ++byte) {  // any change: an Error or other documents, never a crash
    std::string changed = index;
    changed[byte] = static_cast<char>(changed[byte] ^ 0x81);
    write(changed, bin);
    error_of(folder / "x");
  }
  std::string huge = index;
  for (size_t byte = 18; byte < 26; ++byte) huge[byte] = '\xff';
  write(huge, bin);
  EXPECT_NE(error_of(folder / "x").find("cannot hold"), std::string::npos);
}

TEST(TokenFile, Int32HoldsLargerTokens) {
  const TestFolder folder;
  std::vector<std::byte> bytes;
  append_tokens(std::vector<int32_t>{70000, 1}, TokenType::int32, bytes);
  TokenFileWriter writer(folder / "big.bin", TokenType::int32);
  writer.add(bytes);
  writer.commit();
  const TokenFile file(folder / "big.idx");
  EXPECT_EQ(file.largest_token(), 70000);
  EXPECT_THROW(append_tokens(std::vector<int32_t>{70000}, TokenType::uint16, bytes), Error);
}

TEST(CubicOrder, FollowsTheOriginal) {
  const auto json = parse_json(bytes_of_file(golden("binidx/magic_prime.json")), "magic_prime.json");
  for (const auto& row : json["is_prime"]) EXPECT_EQ(is_prime(row["n"]), row["is_prime"].get<bool>()) << row;
  for (const auto& row : json["magic_prime"])
    EXPECT_EQ(cubing_prime(row["n_chunk"]),
              row["magic_prime"].is_null() ? 0 : row["magic_prime"].get<int64_t>())
        << row;
  for (const auto& row : json["sample_offsets"]) {
    const int64_t context = row["ctx_len"], prime = row["magic_prime"];
    const CubicOrder order((prime + 1) * context, context);
    ASSERT_EQ(order.prime(), prime);
    EXPECT_EQ(order.start(row["ii"].get<int64_t>() - 1), row["token_offset"].get<int64_t>()) << row;
  }
}

TEST(CubicOrder, VisitsEveryWindowOnceInAnEpoch) {
  const CubicOrder order(1000, 8);
  std::vector<bool> seen(static_cast<size_t>(order.prime()));
  for (int64_t i = 0; i < order.prime(); ++i) {
    const int64_t start = order.start(i);
    ASSERT_EQ(start % 8, 0);
    EXPECT_LE(start + 9, 1000);
    EXPECT_FALSE(seen[static_cast<size_t>(start / 8)]);
    seen[static_cast<size_t>(start / 8)] = true;
  }
  EXPECT_THROW(CubicOrder(16, 8), Error);
}

}  // namespace
}  // namespace aviary
