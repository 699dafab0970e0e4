#include "support/test_data.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "support/repository.h"
#include "text/byte_alphabet.h"

namespace aviary {

namespace {

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << "cannot read " << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::string golden_text(const std::string& file) { return read(golden("tokenizer/" + file)); }

std::optional<std::string> shared_text(const std::string& file) {
  const char* folder = std::getenv("AVIARY_SHARED");
  if (folder == nullptr) return std::nullopt;
  return read(std::string(folder) + "/data/" + file);
}

std::string from_base64(const std::string& text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  uint32_t buffer = 0;
  int bits = 0;
  for (char c : text) {
    if (c == '=') break;
    buffer = buffer << 6 | static_cast<uint32_t>(digits.find(c));
    bits += 6;
    if (bits >= 8) bits -= 8, bytes += static_cast<char>(buffer >> bits);
  }
  return bytes;
}

std::vector<TokenizerCase> tokenizer_cases(const std::string& file) {
  const char* full = std::getenv("AVIARY_GOLDEN");
  std::istringstream lines(full != nullptr ? read(std::string(full) + "/tokenizer/" + file)
                                           : golden_text(file));
  std::vector<TokenizerCase> cases;
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line);
    TokenizerCase c;
    c.text = from_base64(json.at("bytes_b64"));
    c.decoded = json.contains("decoded_b64") ? from_base64(json["decoded_b64"]) : c.text;
    c.ids = json.at("ids").get<std::vector<int32_t>>();
    cases.push_back(std::move(c));
  }
  return cases;
}

nlohmann::json small_tokenizer_json(const std::vector<std::string>& merges) {
  using Json = nlohmann::json;
  const Json byte_level = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}};
  Json vocabulary;
  int32_t next = 0;
  while (next < 256) {
    const std::string spelling = to_byte_alphabet(std::string(1, static_cast<char>(next)));
    vocabulary[spelling] = next++;
  }
  for (std::string merge : merges) {
    merge.erase(merge.find(' '), 1);
    if (!vocabulary.contains(merge)) vocabulary[merge] = next++;
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", Json::array()},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer", byte_level},
          {"post_processor", byte_level},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}}};
}

}  // namespace aviary
