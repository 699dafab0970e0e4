#include "compare/csv.h"

#include <algorithm>
#include <utility>

namespace aviary {

std::vector<std::vector<std::string>> read_csv(std::string_view text) {
  std::vector<std::vector<std::string>> lines;
  std::vector<std::string> line(1);
  bool quoted = false;
  auto end_line = [&] {
    if (line.size() > 1 || !line[0].empty()) lines.push_back(std::move(line));
    line.assign(1, "");
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"')
      line.back() += text[++i];
    else if (c == '"')
      quoted = !quoted;
    else if (c == ',' && !quoted)
      line.emplace_back();
    else if (c == '\n' && !quoted)
      end_line();
    else if (c != '\r' || quoted)
      line.back() += c;
  }
  end_line();
  return lines;
}

CsvTable::CsvTable(std::string_view text) : lines_(read_csv(text)) {
  if (lines_.empty()) return;
  names_ = std::move(lines_.front());
  lines_.erase(lines_.begin());
}

const std::string& CsvTable::at(size_t line, std::string_view name) const {
  static const std::string nothing;
  const auto column = static_cast<size_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
  return column < lines_[line].size() && column < names_.size() ? lines_[line][column] : nothing;
}

}  // namespace aviary
