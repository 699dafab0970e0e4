#include "documents.h"

#include <sstream>

namespace aviary::program {

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::string word;
  char quote = 0;
  bool begun = false;
  for (char c : line + " ") {
    if (quote) {
      if (c == quote)
        quote = 0;
      else
        word += c;
    } else if (c == '"' || c == '\'') {
      quote = c;
      begun = true;
    } else if (c == ' ' || c == '\t') {
      if (begun) words.push_back(word);
      word.clear();
      begun = false;
    } else if (std::string("#|<>;&").find(c) != std::string::npos && !begun) {
      break;
    } else {
      word += c;
      begun = true;
    }
  }
  return words;
}

std::vector<std::string> lines_in(const std::string& markdown) {
  std::vector<std::string> all;
  std::istringstream lines(markdown);
  bool shell = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      shell = !shell && line.starts_with("```sh");
      continue;
    }
    for (std::string next; line.ends_with("\\") && std::getline(lines, next);)
      line = line.substr(0, line.size() - 1) + next;
    if (shell) all.push_back(line);
  }
  return all;
}

std::vector<std::string> commands_in(const std::string& markdown) {
  std::vector<std::string> commands;
  for (const std::string& line : lines_in(markdown))
    for (const char* program : {"aviary ", "build/release/aviary "})
      if (line.starts_with(program)) commands.push_back(line.substr(std::string(program).size()));
  return commands;
}

}  // namespace aviary::program
