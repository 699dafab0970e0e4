// The World vocabulary format: one line `id literal length` per token, the literal written as in Python.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace aviary {

struct VocabularyEntry {
  int32_t id = 0;
  std::string bytes;
};

// Limits on untrusted files; the official vocabulary has 65529 ids and tokens of up to 128 bytes.
inline constexpr int32_t max_vocabulary_id = (1 << 20) - 1;
inline constexpr int32_t max_token_bytes = 1024;

// Reads lines such as `257 '\t\t' 2` or `255 b'\xfe' 1`: an id above 0, a str literal (encoded as UTF-8) or a
// bytes literal, with single or double quotes, and the number of bytes. Lines may end in \n or \r\n. Ids may
// have gaps and come in any order; the result is sorted by id. Throws Error with the line number for a
// malformed line, a wrong length, or a duplicate id or token; and Error if any single byte is missing,
// because some texts could then not be encoded.
std::vector<VocabularyEntry> parse_vocabulary(std::string_view text);

// One line of the format, with its \n. Valid UTF-8 is written as a str, anything else as bytes; control
// characters are escaped, so that no token can break a line.
std::string vocabulary_line(int32_t id, std::string_view bytes);

}  // namespace aviary
