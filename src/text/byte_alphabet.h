// The alphabet of byte-level vocabularies: every byte as one printable character, so that any token can be
// written as text. The 188 bytes that print in Latin-1 stand for themselves, the other 68 in their order for
// U+0100, U+0101, ...; the space, for one, is U+0120.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace aviary {

std::string to_byte_alphabet(std::string_view bytes);
// The bytes that a text in this alphabet stands for; nothing when it holds another character.
std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace aviary
