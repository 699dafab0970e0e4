// Unicode's normalization form C (UAX #15): a letter followed by an accent becomes one character if there is
// such a character. Some tokenizers normalize their text this way.
#pragma once

#include <string>
#include <string_view>

namespace aviary {

// `text` in form C: `text` itself if it is already in form C, otherwise `buffer`, which then holds the
// result. `text` is valid UTF-8. Takes linear time (n log n for a run of accents).
std::string_view to_nfc(std::string_view text, std::string& buffer);

}  // namespace aviary
