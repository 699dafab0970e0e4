// Cleaning of texts before they become turns of a conversation.
#pragma once

#include <string>
#include <string_view>

namespace aviary {

// The text without white space (as defined by Unicode) at its beginning and end.
std::string_view trimmed(std::string_view text);

// The text with the line ends \n instead of \r\n.
std::string unix_lines(std::string_view text);

// A turn of a conversation. An empty line ends a turn, so there is none in it (RWKV7-G1x-templates.txt of
// RWKV-LM): line ends are \n, several become one, and there is no white space around the text.
std::string clean_turn(std::string_view text);

// A text of a system message without the line that some clients put before it for their accounts,
// "x-anthropic-billing-header: ...". The line changes with each request, so no beginning of the prompt would
// ever be found again. Empty if the text was only that line.
std::string without_billing_line(std::string_view text);

}  // namespace aviary
