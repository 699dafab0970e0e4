// Unicode's normalization form C (UAX #15): an accent behind its letter becomes one character where there is
// one. Some tokenizers read their text so.
#pragma once

#include <string>
#include <string_view>

namespace aviary {

// `text` in form C: itself when it is in form C already, else `buffer`, which then holds it. `text` is valid
// UTF-8. The time grows with the length alone (almost: n log n for a run of accents).
std::string_view to_nfc(std::string_view text, std::string& buffer);

}  // namespace aviary
