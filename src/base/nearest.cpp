#include "base/nearest.h"

#include <algorithm>
#include <vector>

namespace aviary {
namespace {

std::string_view without_dashes(std::string_view word) {
  return word.substr(std::min(word.find_first_not_of('-'), word.size()));
}

}  // namespace

int edit_distance(std::string_view a, std::string_view b) {
  // rows[i][j]: the distance of the first i letters of a and the first j of b.
  std::vector<std::vector<int>> rows(a.size() + 1, std::vector<int>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i)
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        rows[i][j] = static_cast<int>(i + j);
        continue;
      }
      const int replaced = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  return rows[a.size()][b.size()];
}

std::string nearest(std::string_view word, std::span<const std::string> names) {
  constexpr size_t longest = 64, shortest_part = 3;
  const std::string_view letters = without_dashes(word);
  if (letters.empty() || letters.size() > longest) return "";
  std::string found;
  int least = std::max(1, static_cast<int>(letters.size()) / 3);  // one mistake in three letters
  for (const std::string& name : names) {
    const int distance = edit_distance(letters, without_dashes(name));
    if (name != word && distance < static_cast<int>(letters.size()) && distance <= least &&
        (found.empty() || distance < least)) {
      least = distance;
      found = name;
    }
  }
  if (!found.empty() || letters.size() < shortest_part) return found;
  const auto longer = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
    std::string_view rest = without_dashes(name);
    if (rest.starts_with(letters)) return true;
    if (!rest.ends_with(letters)) return false;
    rest.remove_suffix(letters.size());
    return rest.ends_with('-');
  });
  return longer == names.end() ? "" : *longer;
}

}  // namespace aviary
