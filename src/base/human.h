// Numbers in human-readable form.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace aviary {

// "1,234,567"
std::string with_commas(int64_t number);

// Three digits and a unit: "512 B", "1.50 KiB", "5.49 GiB".
std::string human_bytes(int64_t bytes);

// The two largest units: "840 ms", "7.3 s", "42 s", "3 min 12 s", "2 h 5 min", "3 d 4 h"; "unknown" unless
// finite and at least 0.
std::string human_duration(double seconds);

// Three digits: "21,300 tokens/s", "3.25 tokens/s".
std::string human_rate(double per_second, std::string_view unit);

}  // namespace aviary
