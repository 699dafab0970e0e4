// Checks the rules of the repository on the text of the sources.
#include "house.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <sstream>
#include <utility>

#include "base/error.h"

namespace aviary::house {

namespace {

namespace fs = std::filesystem;

// The room of the program is declared by aviary_program.
constexpr const char* program_room = "cli";

// The target of a library, by the beginning of its includes. Every room links fmt and threads through base.
const std::pair<const char*, const char*> libraries[] = {
    {"nlohmann/", "nlohmann_json::nlohmann_json"},
    {"xxhash.h", "xxhash"},
    {"zlib.h", "ZLIB::ZLIB"},
    {"zstd.h", "PkgConfig::ZSTD"},
    {"pcre2.h", "PkgConfig::PCRE2"},
    {"utf8proc.h", "PkgConfig::UTF8PROC"},
    {"hwy/", "PkgConfig::HWY"},
    {"tsl/", "tsl::robin_map"},
    {"Eigen/", "Eigen3::Eigen"},
    {"CLI/", "CLI11::CLI11"},
    {"mpi.h", "MPI::MPI_C"},
    {"event2/thread.h", "PkgConfig::LIBEVENT_PTHREADS"},
    {"event2/", "PkgConfig::LIBEVENT_CORE"},
};

bool is_source(const fs::path& path) { return path.extension() == ".cpp" || path.extension() == ".h"; }

bool is_test(const fs::path& path) { return path.string().ends_with("_test.cpp"); }

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
    std::string name = program_room;
    if (match[1] == "aviary_room") words >> name;
    Room& room = rooms[name];
    std::set<std::string>* list = &room.links;
    for (std::string word; words >> word;) {
      if (word == "LINKS" || word == "PRIVATE_LINKS" || word == "TEST_LINKS") {
        list = word == "TEST_LINKS" ? &room.test_links : &room.links;
        continue;
      }
      if (word.starts_with("aviary_")) word = word.substr(7);
      if (list == &room.links && !rooms.contains(word) &&
          cmake_lists.find("aviary_room(" + word + " ") != std::string::npos)
        complaints.push_back(fmt::format("{} links {}, which is declared above it", name, word));
      list->insert(word);
    }
  }
  return rooms;
}

namespace {

// The rooms and libraries whose headers `text` includes.
std::set<std::string> included_by(const std::string& text, const Rooms& rooms) {
  static const std::regex include(R"re((?:^|\n)\s*#\s*include\s+(["<])(([a-z_]+)/)?([^">]*))re");
  std::set<std::string> found;
  for (const auto& match : all_matches(text, include)) {
    if (match[1] == "\"" && rooms.contains(match[3])) found.insert(match[3]);
    for (const auto& [begin, target] : libraries)
      if ((match[2] + match[4]).starts_with(begin)) found.insert(target);
  }
  return found;
}

}  // namespace

std::vector<std::string> wrong_links(const fs::path& root, const Rooms& rooms) {
  std::vector<std::string> complaints;
  std::map<std::string, std::set<std::string>> used, used_by_tests;
  for (const auto& source : sources_below(root / "src")) {
    const std::string name = room_of(source, root);
    const auto room = rooms.find(name);
    if (room == rooms.end()) {
      complaints.push_back(fmt::format("src/{} is not declared in CMakeLists.txt", name));
      continue;
    }
    for (const std::string& other : included_by(read_text(source), rooms)) {
      if (other == name) continue;
      (is_test(source) ? used_by_tests : used)[name].insert(other);
      if (!room->second.links.contains(other) &&
          !(is_test(source) && room->second.test_links.contains(other)))
        complaints.push_back(fmt::format("{} includes {}, which {} does not link",
                                         source.lexically_relative(root).string(), other, name));
    }
  }
  auto is_known = [&](const std::string& target) {
    return rooms.contains(target) ||
           std::any_of(std::begin(libraries), std::end(libraries),
                       [&](const auto& library) { return target == library.second; });
  };
  for (const auto& [name, room] : rooms) {
    for (const std::string& link : room.links)
      if (is_known(link) && !used[name].contains(link))
        complaints.push_back(fmt::format("{} links {}, of which it includes nothing", name, link));
    for (const std::string& link : room.test_links)
      if (room.links.contains(link) || (is_known(link) && !used_by_tests[name].contains(link)))
        complaints.push_back(fmt::format("{} links {} for tests that do not need it", name, link));
  }
  return complaints;
}

std::vector<std::string> reserved_elsewhere(const fs::path& root, const Reserved& reserved) {
  const std::regex pattern(reserved.pattern, std::regex::ECMAScript | std::regex::multiline);
  std::vector<std::string> complaints;
  for (const auto& source : sources_below(root / "src")) {
    const std::string path = source.lexically_relative(root).string();
    const bool may = std::any_of(reserved.only_in.begin(), reserved.only_in.end(),
                                 [&](const std::string& begin) { return path.starts_with(begin); });
    const std::string text = read_text(source);
    std::smatch found;
    if (!may && !is_test(source) && std::regex_search(text, found, pattern))
      complaints.push_back(fmt::format("{} contains {}: {}", path, found.str(), reserved.reason));
  }
  return complaints;
}

std::vector<std::string> public_includes(const fs::path& root) {
  static const std::regex include(R"re((?:^|\n)\s*#\s*include\s+(?!<aviary/|<[a-z_]+(\.h)?>)([^\n]*))re");
  std::vector<std::string> complaints;
  for (const auto& entry : fs::recursive_directory_iterator(root / "include"))
    if (entry.is_regular_file())
      for (const auto& match : all_matches(read_text(entry.path()), include))
        complaints.push_back(
            fmt::format("{} includes {}", entry.path().lexically_relative(root).string(), match[2]));
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

namespace {

// A definition with its body in lines [first, last] and its head in [first, brace].
struct Definition {
  size_t first, brace, last;
};

// The definitions in lines [begin, end) whose first line is indented by `indent`: each ends with the next
// line that has a closing brace at that place.
std::vector<Definition> definitions_at(const std::vector<std::string>& lines, size_t begin, size_t end,
                                       size_t indent) {
  const std::string margin(indent, ' ');
  auto stands_here = [&](size_t i) {
    return lines[i].size() > indent && lines[i].find_first_not_of(' ') == indent;
  };
  std::vector<Definition> found;
  for (size_t first = begin, i = begin; i < end; ++i) {
    if (stands_here(i) && lines[i][indent] != ')') first = i;
    if (!stands_here(first) || !lines[i].ends_with('{') || lines[first].starts_with("namespace")) continue;
    const size_t brace = i;
    while (i < end && !(stands_here(i) && lines[i][indent] == '}')) ++i;
    found.push_back({first, brace, i});
  }
  return found;
}

}  // namespace

std::vector<std::string> long_functions(const fs::path& root, int limit,
                                        const std::map<std::string, int>& longer) {
  static const std::regex type(R"(^\s*(template <.*> )?(class|struct|union|enum)\b)");
  std::vector<std::string> complaints;
  for (const auto& source : sources_below(root / "src")) {
    if (is_test(source)) continue;
    std::vector<std::string> lines;
    std::istringstream text(read_text(source));
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    const std::string path = source.lexically_relative(root).string();
    const auto exception = longer.find(path);
    const int most = exception == longer.end() ? limit : exception->second;
    auto check = [&](const Definition& definition) {
      const size_t count = definition.last - definition.first + 1;
      if (count > static_cast<size_t>(most))
        complaints.push_back(fmt::format("{}:{}: a function of {} lines, at most {}", path,
                                         definition.first + 1, count, most));
    };
    auto head_of = [&](const Definition& definition) {
      std::string head;
      for (size_t i = definition.first; i <= definition.brace; ++i) head += lines[i] + ' ';
      return head;
    };
    for (const Definition& outer : definitions_at(lines, 0, lines.size(), 0)) {
      if (!std::regex_search(head_of(outer), type)) {
        if (head_of(outer).find('(') != std::string::npos) check(outer);
        continue;
      }
      for (const Definition& member : definitions_at(lines, outer.brace + 1, outer.last, 2))
        if (head_of(member).find('(') != std::string::npos) check(member);
    }
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

std::vector<std::string> shared_type_names(const fs::path& root) {
  static const std::regex line(
      R"((?:inline )?(namespace) ?([\w:]*) ?\{|(\}  // namespace)|(?:struct|class|enum(?: class)?) (\w+)[^;:({]*(?: :[^:;({][^;({]*)?\{)");
  std::map<std::string, fs::path> defined;
  std::vector<std::string> complaints;
  for (const char* folder : {"src", "tests"})
    for (const auto& source : sources_below(root / folder)) {
      std::vector<std::string> inside;  // namespaces
      std::istringstream text(read_text(source));
      for (std::string one; std::getline(text, one);) {
        std::smatch found;
        if (!std::regex_search(one, found, line, std::regex_constants::match_continuous)) continue;
        if (found[1].matched) inside.push_back(found[2]);
        if (found[3].matched && !inside.empty()) inside.pop_back();
        if (!found[4].matched || std::count(inside.begin(), inside.end(), "") != 0) continue;
        const std::string name = fmt::format("{}::{}", fmt::join(inside, "::"), found[4].str());
        const auto [first, is_new] = defined.emplace(name, source.lexically_relative(root));
        if (!is_new)
          complaints.push_back(fmt::format("{} and {} both define {}", first->second.string(),
                                           source.lexically_relative(root).string(), name));
      }
    }
  return complaints;
}

namespace {

// A name that a line of an anonymous namespace defines, and for an alias what it stands for.
struct LocalName {
  std::string name, alias;
};

// Relies on the layout of .clang-format: what a namespace holds begins in the first column.
std::optional<LocalName> local_name(const std::string& line) {
  static const std::regex alias(R"((?:using|namespace) (\w+) = (.*))"),
      type(R"((?:struct|class|enum(?: class)?) (\w+)(?:[^;]*|[^;{]*\{.*))"),
      other(R"((?!template|using|TEST|INSTANTIATE|[A-Z_]+\()\w[^=({]*?[ *&](\w+)(?:\(| = |\{|\[|;).*)");
  std::smatch found;
  if (std::regex_match(line, found, alias)) return LocalName{found[1], found[2]};
  if (std::regex_match(line, found, type) || std::regex_match(line, found, other))
    return LocalName{found[1], ""};
  return {};
}

std::map<std::string, std::string> local_names(const fs::path& source) {
  std::map<std::string, std::string> names;
  bool inside = false;
  std::istringstream text(read_text(source));
  for (std::string line; std::getline(text, line);) {
    if (line == "namespace {") inside = true;
    if (line == "}  // namespace") inside = false;
    if (!inside || line.empty() || !std::isalpha(static_cast<unsigned char>(line[0])) ||
        line == "namespace {")
      continue;
    if (const auto found = local_name(line)) names.emplace(found->name, found->alias);
  }
  return names;
}

}  // namespace

std::vector<std::string> shared_local_names(const fs::path& root, const std::set<std::string>& apart) {
  struct First {
    std::string path, alias;
  };
  std::map<std::pair<std::string, std::string>, First> defined;  // by the sources compiled together, and name
  std::vector<std::string> complaints;
  for (const char* folder : {"src", "tests"})
    for (const auto& source : sources_below(root / folder)) {
      const fs::path path = source.lexically_relative(root);
      const std::string room = *std::next(path.begin());
      const bool test = path.string().ends_with("_test.cpp") || path.string().starts_with("tests");
      if (path.extension() != ".cpp" || (!test && apart.contains(room))) continue;
      const std::string together = fmt::format("{}{}", (*path.begin() / room).string(), test ? " tests" : "");
      for (const auto& [name, alias] : local_names(source)) {
        const auto [first, is_new] = defined.try_emplace({together, name}, First{path.string(), alias});
        if (!is_new && (alias.empty() || alias != first->second.alias))
          complaints.push_back(
              fmt::format("{} and {} both define {}", first->second.path, path.string(), name));
      }
    }
  return complaints;
}

std::set<std::string> rooms_compiled_apart(const std::string& rooms_cmake) {
  static const std::regex line(R"(set\(compiled_apart ([^)]*)\))");
  std::smatch found;
  if (!std::regex_search(rooms_cmake, found, line)) return {};
  std::istringstream names(found[1].str());
  return {std::istream_iterator<std::string>(names), {}};
}

namespace {

// The text without its comments to the end of a line, and its words.
struct Source {
  std::string code;
  std::set<std::string> words, includes;  // of the repository: paths below root
};

bool of_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::string word_at(const std::string& text, size_t begin) {
  size_t end = begin;
  while (end < text.size() && of_word(text[end])) ++end;
  return text.substr(begin, end - begin);
}

std::map<std::string, Source> read_sources(const fs::path& root) {
  static const std::regex include(R"re((?:^|\n)#include ["<]([^">]+)[">])re");
  std::map<std::string, Source> sources;
  for (const char* top : {"src", "include", "tests"})
    for (const fs::path& path : sources_below(root / top)) {
      Source& source = sources[path.lexically_relative(root).string()];
      std::istringstream lines(read_text(path));
      for (std::string line; std::getline(lines, line);)
        source.code += line.substr(0, line.find("//")) + "\n";
      for (size_t i = 0; i < source.code.size(); ++i)
        if (of_word(source.code[i])) {
          const std::string word = word_at(source.code, i);
          source.words.insert(word);
          i += word.size();
        }
      for (const auto& match : all_matches(source.code, include)) {
        for (const char* top : {"src/", "include/", "tests/"}) source.includes.insert(top + match[1]);
      }
    }
  return sources;
}

bool includes_word(const std::map<std::string, Source>& sources, const std::string& path,
                   const std::string& word, std::set<std::string>& seen) {
  for (const std::string& included : sources.at(path).includes) {
    if (!sources.contains(included) || !seen.insert(included).second) continue;
    if (sources.at(included).words.contains(word) || includes_word(sources, included, word, seen))
      return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> names_without_include(const fs::path& root) {
  static const std::regex inner(R"(\nnamespace aviary::([a-z]+) \{)");
  const std::map<std::string, Source> sources = read_sources(root);
  std::set<std::string> namespaces;
  for (const auto& [path, source] : sources)
    if (path.ends_with(".h"))
      for (const auto& match : all_matches(source.code, inner)) namespaces.insert(match[1] + "::");
  std::set<std::string> complaints;
  for (const auto& [path, source] : sources)
    for (const std::string& space : namespaces)
      for (size_t at = source.code.find(space); at != std::string::npos;
           at = source.code.find(space, at + 1)) {
        if (at > 0 && (of_word(source.code[at - 1]) || source.code[at - 1] == ':')) continue;
        const std::string word = word_at(source.code, at + space.size());
        const bool declared = source.code.find("class " + word + ";") != std::string::npos;
        std::set<std::string> seen;
        if (!declared && !includes_word(sources, path, word, seen))
          complaints.insert(fmt::format("{} uses {}{} without including its header", path, space, word));
      }
  return {complaints.begin(), complaints.end()};
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
