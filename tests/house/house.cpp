// The rules of the house, checked on the text of the sources.
#include "house.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <regex>
#include <sstream>

#include "base/error.h"

namespace aviary::house {

namespace {

namespace fs = std::filesystem;

// The program's room is declared by aviary_program and may include everything that it links.
constexpr const char* program_room = "cli";

bool is_source(const fs::path& path) { return path.extension() == ".cpp" || path.extension() == ".h"; }

std::vector<fs::path> sources_below(const fs::path& folder) {
  std::vector<fs::path> files;
  if (!fs::is_directory(folder)) return files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file() && is_source(entry.path())) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::vector<std::string>> all_matches(const std::string& text, const std::regex& pattern) {
  std::vector<std::vector<std::string>> matches;
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it)
    matches.emplace_back(it->begin(), it->end());
  return matches;
}

std::string room_of(const fs::path& source, const fs::path& root) {
  return source.lexically_relative(root / "src").begin()->string();
}

}  // namespace

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  require(file.good(), "house test: cannot read {}", path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

Rooms read_rooms(const std::string& cmake_lists, std::vector<std::string>& complaints) {
  static const std::regex declaration(R"((aviary_room|aviary_program)\(([^)]*)\))");
  Rooms rooms;
  for (const auto& match : all_matches(cmake_lists, declaration)) {
    std::istringstream words(match[2]);
    std::string room = program_room;
    if (match[1] == "aviary_room") words >> room;
    auto& allowed = rooms[room] = {room};
    for (std::string word; words >> word;) {
      if (word.rfind("aviary_", 0) != 0) continue;
      const std::string linked = word.substr(7);
      if (auto below = rooms.find(linked); below != rooms.end())
        allowed.insert(below->second.begin(), below->second.end());
      else if (cmake_lists.find("aviary_room(" + linked) != std::string::npos)
        complaints.push_back(fmt::format("{} links {}, which is declared above it", room, linked));
    }
  }
  return rooms;
}

std::vector<std::string> forbidden_includes(const fs::path& root, const Rooms& rooms) {
  static const std::regex include(R"re((?:^|\n)\s*#\s*include\s+"([a-z_]+)/[^"]*")re");
  std::vector<std::string> complaints;
  for (const auto& source : sources_below(root / "src")) {
    const std::string room = room_of(source, root);
    const auto allowed = rooms.find(room);
    if (allowed == rooms.end()) {
      complaints.push_back(fmt::format("src/{} is not declared in CMakeLists.txt", room));
      continue;
    }
    for (const auto& match : all_matches(read_text(source), include))
      if (rooms.count(match[1]) && !allowed->second.count(match[1]))
        complaints.push_back(fmt::format("{} includes room {}, which {} does not link",
                                         source.lexically_relative(root).string(), match[1], room));
  }
  return complaints;
}

std::vector<std::string> long_files(const fs::path& root, int limit) {
  std::vector<std::string> complaints;
  for (const auto& source : sources_below(root / "src")) {
    const std::string text = read_text(source);
    const auto lines = std::count(text.begin(), text.end(), '\n');
    if (lines > limit)
      complaints.push_back(
          fmt::format("{} has {} lines, at most {}", source.lexically_relative(root).string(), lines, limit));
  }
  return complaints;
}

std::vector<std::string> shared_kernel_names(const fs::path& root) {
  static const std::regex opening(R"(::HWY_NAMESPACE \{\n(?!namespace \{\n))");
  std::vector<std::string> complaints;
  for (const auto& source : sources_below(root / "src"))
    if (source.extension() == ".cpp" && std::regex_search(read_text(source), opening))
      complaints.push_back(
          fmt::format("{} opens HWY_NAMESPACE without an unnamed namespace in it: kernels of one name in two "
                      "files would be merged",
                      source.lexically_relative(root).string()));
  return complaints;
}

std::vector<std::string> missing_goldens(const fs::path& root) {
  static const std::regex golden(R"re("[^"\n]*golden/([A-Za-z0-9_.-]+)[^"\n]*")re");
  std::vector<std::string> complaints;
  for (const char* folder : {"src", "tests", "examples", "bench"})
    for (const auto& source : sources_below(root / folder)) {
      if (source.parent_path().filename() == "house") continue;
      for (const auto& match : all_matches(read_text(source), golden))
        if (!fs::exists(root / "tests/golden" / match[1]))
          complaints.push_back(fmt::format("{} names tests/golden/{}, which does not exist",
                                           source.lexically_relative(root).string(), match[1]));
    }
  return complaints;
}

std::vector<std::string> dead_paths(const fs::path& root, const std::vector<std::string>& documents) {
  static const std::regex quoted(
      "`((?:src|include|tests|cmake|scripts|docs|examples|bench|fuzz|web)/[^`\\s]*)`");
  std::vector<std::string> complaints;
  for (const auto& document : documents)
    for (const auto& match : all_matches(read_text(root / document), quoted)) {
      const bool pattern =
          match[1].find_first_of("<*{") != std::string::npos || match[1].find("...") != std::string::npos;
      if (!pattern && !fs::exists(root / match[1]))
        complaints.push_back(fmt::format("{} names {}, which does not exist", document, match[1]));
    }
  return complaints;
}

}  // namespace aviary::house
