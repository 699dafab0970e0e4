// For tests: golden data of the original tokenizers, and a small tokenizer.json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace aviary {

struct TokenizerCase {
  std::string text, decoded;
  std::vector<int32_t> ids;
};
// The cases of a file below tests/golden/tokenizer/, or of the full set if AVIARY_GOLDEN names its folder.
std::vector<TokenizerCase> tokenizer_cases(const std::string& file);
// The content of tests/golden/tokenizer/<file>.
std::string golden_text(const std::string& file);
// The content of <AVIARY_SHARED>/data/<file>; nothing if the variable is not set.
std::optional<std::string> shared_text(const std::string& file);
std::string from_base64(const std::string& text);

// A tokenizer.json like that of GPT-NeoX, with the 256 bytes (ids 0 to 255), the tokens made from them by
// `merges` ("t h", "th e", in the byte alphabet; ids from 256) and NFC.
nlohmann::json small_tokenizer_json(const std::vector<std::string>& merges);

}  // namespace aviary
