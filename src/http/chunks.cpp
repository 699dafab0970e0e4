// The chunked transfer coding (RFC 9112, 7.1).
#include <fmt/format.h>

#include <algorithm>

#include "http/message.h"

namespace aviary::http {
namespace {

constexpr size_t most_digits = 8, most_extension = 256, most_trailer_bytes = 4096;

// The length of a token or of a string in quotes at the start of `text`; 0 if there is neither.
size_t value_length(std::string_view text) {
  size_t end = 0;
  if (!text.starts_with('"')) {
    while (end < text.size() && is_token_byte(text[end])) ++end;
    return end;
  }
  for (end = 1; end < text.size(); ++end) {
    if (text[end] == '"') return end + 1;
    if (text[end] == '\\') ++end;
  }
  return 0;
}

// *( ";" name [ "=" value ] ). White space around the signs, which no sender may write, is not accepted.
bool are_extensions(std::string_view text) {
  while (!text.empty()) {
    if (text.front() != ';') return false;
    text.remove_prefix(1);
    const size_t name = text.starts_with('"') ? 0 : value_length(text);
    if (name == 0) return false;
    text.remove_prefix(name);
    if (!text.starts_with('=')) continue;
    text.remove_prefix(1);
    const size_t value = value_length(text);
    if (value == 0) return false;
    text.remove_prefix(value);
  }
  return true;
}

}  // namespace

void ChunkReader::refuse(int status, std::string sentence) {
  status_ = status;
  sentence_ = std::move(sentence);
}

size_t ChunkReader::feed(std::string_view bytes, std::string& body) {
  size_t used = 0;
  while (used < bytes.size() && !complete() && !bad()) {
    if (phase_ == Phase::data) {
      const auto count = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size() - used));
      body.append(bytes.substr(used, count));
      used += count;
      left_ -= count;
      if (left_ == 0) phase_ = Phase::end_of_data;
    } else {
      add_line_byte(bytes[used++]);
    }
  }
  return used;
}

void ChunkReader::add_line_byte(char c) {
  switch (line_.add(c)) {
    case LineReader::Result::bad:
      return refuse(400, "the lines of a chunked body must end with CR LF and have no control bytes");
    case LineReader::Result::complete:
      return end_line();
    case LineReader::Result::more:
      break;
  }
  const size_t length = line_.line().size();
  if (phase_ == Phase::size && length > most_digits + most_extension)
    refuse(400,
           fmt::format("the size line of a chunk is longer than {} bytes", most_digits + most_extension));
  if (phase_ == Phase::end_of_data && length > 0) refuse(400, "a chunk is longer than its size says");
  if (phase_ == Phase::trailers && ++trailer_bytes_ > most_trailer_bytes)
    refuse(431, fmt::format("the trailer of a chunked body is longer than {} bytes", most_trailer_bytes));
}

void ChunkReader::end_line() {
  if (phase_ == Phase::size) {
    begin_chunk();
  } else if (phase_ == Phase::end_of_data) {
    phase_ = Phase::size;
  } else if (line_.line().empty()) {
    phase_ = Phase::complete;
  } else {
    Headers discarded;
    if (const char* fault = add_field(line_.line(), discarded))
      refuse(400, fmt::format("in the trailer, {}", fault));
  }
  line_.clear();
}

void ChunkReader::begin_chunk() {
  const std::string_view line = line_.line();
  size_t digits = 0;
  while (digits < line.size() && hex_digit(line[digits]) >= 0) {
    left_ = left_ * 16 + static_cast<uint64_t>(hex_digit(line[digits]));
    if (++digits > most_digits)
      return refuse(400, fmt::format("the size of a chunk has more than {} digits", most_digits));
  }
  if (digits == 0 || !are_extensions(line.substr(digits)))
    return refuse(400,
                  "a chunk does not begin with its size in hexadecimal digits and well-formed extensions");
  if (left_ > limit_ - total_)
    return refuse(413, fmt::format("the body is longer than {} bytes, which is the limit here", limit_));
  total_ += left_;
  phase_ = left_ == 0 ? Phase::trailers : Phase::data;
}

}  // namespace aviary::http
