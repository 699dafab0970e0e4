// The commands in the documents.
#pragma once

#include <string>
#include <vector>

namespace aviary::program {

// The words of a shell line, up to a comment, a pipe or a redirection, without quotes.
std::vector<std::string> words_of(const std::string& line);

// The lines of the ```sh blocks of a Markdown file; continued lines are joined.
std::vector<std::string> lines_in(const std::string& markdown);
// Those that call the program, without its name.
std::vector<std::string> commands_in(const std::string& markdown);

}  // namespace aviary::program
