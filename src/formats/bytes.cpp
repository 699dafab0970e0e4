#include "formats/bytes.h"

#include <algorithm>

namespace aviary {

std::string in_quotes(std::string_view name) {
  constexpr size_t longest = 80;
  std::string text = "'";
  for (char c : name.substr(0, longest)) text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return text + (name.size() > longest ? "...'" : "'");
}

std::string_view ByteReader::line() {
  std::string_view text = as_text(rest());
  size_t length = text.find('\n');
  if (length == std::string_view::npos)
    fail("{}: the line that begins at byte {} has no end; the file is damaged or cut short", where_,
         position_);
  take(length + 1);
  return text.substr(0, length);
}

}  // namespace aviary
