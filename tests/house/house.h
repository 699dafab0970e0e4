// Reads the sources as text, to check the rules of the house that no compiler checks.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace aviary::house {

// What CMakeLists.txt says of a room: the targets (without the prefix aviary_ where they are rooms) that its
// sources link, and what its tests link besides.
struct Room {
  std::set<std::string> links, test_links;
};
using Rooms = std::map<std::string, Room>;

// Reads the aviary_room(...) and aviary_program(...) lines of `cmake_lists`. A room that links a room
// declared after itself is an entry in `complaints`.
Rooms read_rooms(const std::string& cmake_lists, std::vector<std::string>& complaints);

// One complaint for each room or library whose headers a room includes without linking it, and one for each
// that it links without including any header of it; the same for what its tests include besides.
std::vector<std::string> wrong_links(const std::filesystem::path& root, const Rooms& rooms);

// A pattern that only some sources may contain.
struct Reserved {
  std::string pattern;               // a regular expression; ^ and $ are the ends of a line
  std::vector<std::string> only_in;  // beginnings of paths below root
  std::string reason;                // what to do instead
};

// One complaint for each source below root/src, tests excepted, that contains `reserved.pattern` and is not
// one of those that may.
std::vector<std::string> reserved_elsewhere(const std::filesystem::path& root, const Reserved& reserved);

// One complaint for each header below root/include that includes something else than headers there and the
// standard library: other programs have nothing else.
std::vector<std::string> public_includes(const std::filesystem::path& root);

// One complaint for each source file below root/src with more than `limit` lines.
std::vector<std::string> long_files(const std::filesystem::path& root, int limit);

// One complaint for each function below root/src, tests excepted, whose definition has more than `limit`
// lines from its first line to its closing brace. Relies on the layout that .clang-format makes.
// `longer`: files below root whose functions have another limit.
std::vector<std::string> long_functions(const std::filesystem::path& root, int limit,
                                        const std::map<std::string, int>& longer = {});

// One complaint for each kernel file whose names are not its own: two inline functions of one name, or the
// lambdas in them, would be one function to the linker, and one of the two files would compute what the other
// means.
std::vector<std::string> shared_kernel_names(const std::filesystem::path& root);

// One complaint for each string "golden/<name>" in a source file whose folder root/tests/golden/<name> is
// missing.
std::vector<std::string> missing_goldens(const std::filesystem::path& root);

// One complaint for each `path` between back quotes in a Markdown file that starts with a folder of this
// repository and does not exist; a path with a <placeholder>, a * or a ... is a pattern and is left alone.
std::vector<std::string> dead_paths(const std::filesystem::path& root,
                                    const std::vector<std::string>& documents);

std::string read_text(const std::filesystem::path& path);

}  // namespace aviary::house
