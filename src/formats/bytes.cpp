#include "formats/bytes.h"

namespace aviary {

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
