// The alphabet of byte-level vocabularies: every byte as one printable character, so that any token can be
// written as text. The 188 printable bytes of Latin-1 represent themselves; the other 68 are represented, in
// order, by U+0100, U+0101, ...; the space, for example, by U+0120.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace aviary {

std::string to_byte_alphabet(std::string_view bytes);
// The bytes that a text in this alphabet represents; nothing if it contains any other character.
std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace aviary
