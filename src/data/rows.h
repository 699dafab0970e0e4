// Samples for fine-tuning: the rows of a JSON lines file, one object per line. Whatever its kind, a row
// becomes a text of which some parts are trained; docs/texts.md has a table of the kinds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace aviary {

// Bytes [begin, end) of a text.
struct Span {
  size_t begin = 0, end = 0;
  bool operator==(const Span&) const = default;
};

struct Sample {
  std::string text;           // UTF-8, not empty
  std::vector<Span> trained;  // at least one; in order, none empty, none touching the next
  std::string where;          // "FILE:LINE", for messages
  bool conversation = false;  // of turns, in the form of the chat template "world"
};

struct RowOptions {
  // Keys of the rows that are read as others: {"question", "prompt"}. A key renamed to one that no kind has
  // is ignored.
  std::map<std::string, std::string> rename = {};
  int64_t longest_line = int64_t{64} << 20;  // bytes
  bool skip_broken = false;                  // count rows with an error and go on
  // With skip_broken: called with the message of each of the first few of them, in a file.
  std::function<void(const std::string& message)> report = {};
};

struct RowCounts {
  int64_t rows = 0;               // with the broken ones
  int64_t broken = 0;             // with skip_broken; otherwise the first one is an Error
  std::set<std::string> renamed;  // the keys of RowOptions::rename that a row had
  std::set<std::string> ignored;  // the keys of rows that nothing was read from, at most 20 of them
};

// Whether the first line with more than white space begins a JSON object with at least one key, so that the
// file holds rows and not plain text. Throws Error for a JSON array of objects, and for an object that is
// written on several lines, saying how to convert it.
bool holds_rows(std::string_view bytes, const std::string& name);

// Calls `use` for the sample of every row of the file `name`, in order. Nothing of a line is kept after its
// turn. A byte order mark, the line ends of Windows and empty lines are allowed. Throws Error beginning with
// "FILE:LINE: " for the first broken row; with skip_broken, that also counts as broken of which `use` throws
// Error.
RowCounts read_rows(std::string_view bytes, const std::string& name, const RowOptions& options,
                    const std::function<void(Sample&& sample)>& use);

}  // namespace aviary
