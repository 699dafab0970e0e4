// Numbers as people read and write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace aviary {

// "1,234,567"
std::string with_commas(int64_t number);

// Three digits and a unit: "512 B", "1.50 KiB", "5.49 GiB".
std::string human_bytes(int64_t bytes);

// The bytes of a size as people write it: "1000", "600M", "1.5 GB", "64MiB". K, M, G and T are powers of
// 1000, Ki, Mi, Gi and Ti powers of 1024; small letters and a B at the end change nothing. Rounded to whole
// bytes. Nothing for a text that is no such size, or one beyond 2^60 bytes.
std::optional<int64_t> parse_bytes(std::string_view text);

// The two largest units: "840 ms", "7.3 s", "42 s", "3 min 12 s", "2 h 5 min", "3 d 4 h"; "unknown" unless
// finite and at least 0.
std::string human_duration(double seconds);

// Three digits: "21,300 tokens/s", "3.25 tokens/s".
std::string human_rate(double per_second, std::string_view unit);

}  // namespace aviary
