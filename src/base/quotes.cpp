#include "base/quotes.h"

namespace aviary {

std::string in_quotes(std::string_view name) {
  constexpr size_t longest = 80;
  std::string text = "'";
  for (char c : name.substr(0, longest)) text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return text + (name.size() > longest ? "...'" : "'");
}

}  // namespace aviary
