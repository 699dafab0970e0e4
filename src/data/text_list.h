// Many short texts in one file: one per line, or rows of JSON with a text and perhaps its label.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace aviary {

struct ListedText {
  std::string text;   // not only white space
  std::string label;  // of a row that has one
  int64_t line = 0;   // of the file, from 1
};

struct TextListOptions {
  std::map<std::string, std::string> rename = {};  // RowOptions::rename, for "text" and "label"
  bool labels = false;                             // every row has one
};

struct TextList {
  std::vector<ListedText> texts;
  int64_t blank = 0;  // lines that were left out, since they are empty or white space
};

// If holds_rows() (data/rows.h), each line is a JSON object with "text", a string, and with "label", a
// string, a whole number, true or false; other keys are ignored. Otherwise each line is a text, without its
// line end. `name` is the file's, for messages. Throws Error beginning with "FILE:LINE: " for a line that is
// not so, and for plain lines where labels are asked for.
TextList read_text_list(std::string_view bytes, const std::string& name, const TextListOptions& options);

}  // namespace aviary
