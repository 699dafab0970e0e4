#include "text/normalize.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"

namespace aviary {

namespace {

struct Range {
  uint32_t first, last;
};
// Characters that form C does not change and that never combine with the preceding character: most of Latin
// and Cyrillic, kana, the common Chinese characters, Korean syllables, full-width forms. Other characters may
// be inert too; they take the slower path.
constexpr Range inert_ranges[] = {{0, 0x2ff},       {0x400, 0x482},   {0x48a, 0x52f},   {0x2010, 0x20cf},
                                  {0x3001, 0x3029}, {0x3041, 0x3096}, {0x309d, 0x30ff}, {0x4e00, 0x9fff},
                                  {0xac00, 0xd7a3}, {0xff01, 0xffee}};

bool is_inert(uint32_t c) {
  for (const Range& range : inert_ranges)
    if (c <= range.last) return c >= range.first;
  return false;
}

// Length of the inert characters at the front.
size_t inert_length(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto first = static_cast<uint8_t>(text[at]);
    if (first < 0x80) {
      ++at;
      continue;
    }
    const size_t length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (!is_inert(utf8_code_point(text.substr(at, length)))) break;
    at += length;
  }
  return at;
}

// Length of the characters at the front that are not inert.
size_t active_length(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto length = static_cast<size_t>(utf8_step(text.substr(at)).length);
    if (is_inert(utf8_code_point(text.substr(at, length)))) break;
    at += length;
  }
  return at;
}

utf8proc_propval_t combining_class(int32_t c) { return utf8proc_get_property(c)->combining_class; }

// Sorts accents by combining class; utf8proc takes quadratic time for this.
void order_accents(std::vector<int32_t>& characters) {
  for (auto first = characters.begin(); first != characters.end();) {
    first = std::find_if(first, characters.end(), [](int32_t c) { return combining_class(c) != 0; });
    auto last = std::find_if(first, characters.end(), [](int32_t c) { return combining_class(c) == 0; });
    std::stable_sort(first, last,
                     [](int32_t a, int32_t b) { return combining_class(a) < combining_class(b); });
    first = last;
  }
}

void append_nfc(std::string& out, std::string_view text, std::vector<int32_t>& characters) {
  constexpr auto decompose = UTF8PROC_DECOMPOSE;
  constexpr auto compose = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  constexpr int64_t longest_decomposition = 8;
  characters.clear();
  while (!text.empty()) {
    const auto length = static_cast<size_t>(utf8_step(text).length);
    const auto c = static_cast<int32_t>(utf8_code_point(text.substr(0, length)));
    const size_t old_size = characters.size();
    characters.resize(old_size + longest_decomposition);
    int boundary_class = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(c, characters.data() + old_size,
                                                           longest_decomposition, decompose, &boundary_class);
    require(count >= 0 && count <= longest_decomposition, "normalization: U+{:04X} cannot be decomposed", c);
    characters.resize(old_size + static_cast<size_t>(count));
    text.remove_prefix(length);
  }
  order_accents(characters);
  const utf8proc_ssize_t count = utf8proc_normalize_utf32(characters.data(), std::ssize(characters), compose);
  for (utf8proc_ssize_t i = 0; i < count; ++i)
    append_utf8(out, static_cast<uint32_t>(characters[static_cast<size_t>(i)]));
}

}  // namespace

std::string_view to_nfc(std::string_view text, std::string& buffer) {
  size_t inert = inert_length(text);
  if (inert == text.size()) return text;
  buffer.clear();
  std::vector<int32_t> characters;
  while (inert < text.size()) {
    // The last inert character may combine with what follows it.
    size_t begin = inert;
    while (begin > 0 && (static_cast<uint8_t>(text[--begin]) & 0xc0) == 0x80) {
    }
    const size_t end = inert + active_length(text.substr(inert));
    buffer += text.substr(0, begin);
    append_nfc(buffer, text.substr(begin, end - begin), characters);
    text.remove_prefix(end);
    inert = inert_length(text);
  }
  buffer += text;
  return buffer;
}

}  // namespace aviary
