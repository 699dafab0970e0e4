// What the pages of this room have in common.
#pragma once

#include <string>
#include <string_view>

namespace aviary {

// The text with the characters that mean something in HTML escaped.
std::string html(std::string_view text);
// From the beginning of a page to its heading, with the style for light and dark themes; and its end.
std::string page_head(const std::string& title);
std::string page_end();

}  // namespace aviary
