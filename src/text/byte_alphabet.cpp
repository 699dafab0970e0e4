#include "text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace aviary {

namespace {

constexpr uint32_t code_points = 0x100 + 68;

struct Alphabet {
  std::array<uint32_t, 256> character;
  std::array<int, code_points> byte;

  constexpr Alphabet() : character(), byte() {
    for (int& none : byte) none = -1;
    uint32_t next = 0x100;
    for (uint32_t i = 0; i < 256; ++i) {
      const bool prints = (i >= 0x21 && i <= 0x7e) || (i >= 0xa1 && i != 0xad);
      character[i] = prints ? i : next++;
      byte[character[i]] = static_cast<int>(i);
    }
  }
};
constexpr Alphabet alphabet;

}  // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  std::string text;
  for (char byte : bytes) append_utf8(text, alphabet.character[static_cast<uint8_t>(byte)]);
  return text;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (step.kind != Utf8Kind::character) return std::nullopt;
    const uint32_t character = utf8_code_point(text.substr(0, static_cast<size_t>(step.length)));
    if (character >= code_points || alphabet.byte[character] < 0) return std::nullopt;
    bytes += static_cast<char>(alphabet.byte[character]);
    text.remove_prefix(static_cast<size_t>(step.length));
  }
  return bytes;
}

}  // namespace aviary
