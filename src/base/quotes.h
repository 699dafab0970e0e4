// Text from outside (files, models, names of files) in messages and tables, and words of command lines.
#pragma once

#include <string>
#include <string_view>

namespace aviary {

// The text as one line that does nothing to a terminal: control characters (of ASCII and of Unicode), line
// separators, marks that reverse the direction of the text and bytes that are not UTF-8 become \n or \x... .
// Everything else, also a backslash, stays as it is, so that the result is its own printable form.
std::string printable(std::string_view text);

// The same, but line breaks and tabs remain: what a model wrote, for a terminal, to which it gives no orders.
std::string for_terminal(std::string_view text);
// printable() of the beginning of a text, at most 40 bytes of it, for error messages.
std::string excerpt(std::string_view text);
// A name from a file in an error message: in quotes, printable, and cut after 80 bytes.
std::string in_quotes(std::string_view name);

// A word of a command line that a shell reads as exactly these bytes: as it is, in '...', or in $'...' (bash,
// zsh, ksh) if it contains control characters.
std::string for_shell(std::string_view word);
// The same for a path, which is also safe from being taken for an option.
std::string path_for_shell(std::string_view path);

}  // namespace aviary
