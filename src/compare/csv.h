// Reads the tables of comparisons and sweeps.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace aviary {

// The cells of every line; a cell in quotes may contain commas, ends of lines and doubled quotes. Empty lines
// are left out. Any text is some table: what is not closed ends with the text.
std::vector<std::vector<std::string>> read_csv(std::string_view text);

// The same, with the cells found by the names in the first line.
class CsvTable {
 public:
  explicit CsvTable(std::string_view text);
  // Without the first line.
  size_t size() const { return lines_.size(); }
  const std::vector<std::string>& names() const { return names_; }
  // "" where the line has no such cell.
  const std::string& at(size_t line, std::string_view name) const;

 private:
  std::vector<std::string> names_;
  std::vector<std::vector<std::string>> lines_;
};

}  // namespace aviary
