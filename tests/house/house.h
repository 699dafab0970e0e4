// Reads the sources as text, to check rules of the repository that compilers do not check.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace aviary::house {

// The declaration of a room in CMakeLists.txt: the targets (without the prefix aviary_ for rooms) that its
// sources link, and those that its tests link in addition.
struct Room {
  std::set<std::string> links, test_links;
};
using Rooms = std::map<std::string, Room>;

// Reads the aviary_room(...) and aviary_program(...) lines of `cmake_lists`. A room that links a room
// declared after itself is an entry in `complaints`.
Rooms read_rooms(const std::string& cmake_lists, std::vector<std::string>& complaints);

// One complaint for each room or library whose headers a room includes without linking it, and one for each
// that it links without including any header of it; the same for the additional includes of its tests.
std::vector<std::string> wrong_links(const std::filesystem::path& root, const Rooms& rooms);

// A pattern that only certain sources may contain.
struct Reserved {
  std::string pattern;               // a regular expression; ^ and $ are the ends of a line
  std::vector<std::string> only_in;  // beginnings of paths below root
  std::string reason;                // what to do instead
};

// One complaint for each source below root/src, except tests, that contains `reserved.pattern` but is not
// allowed to.
std::vector<std::string> reserved_elsewhere(const std::filesystem::path& root, const Reserved& reserved);

// One complaint for each header below root/include that includes anything but headers there and the standard
// library, because other programs have nothing else.
std::vector<std::string> public_includes(const std::filesystem::path& root);

// One complaint for each source file below root/src with more than `limit` lines.
std::vector<std::string> long_files(const std::filesystem::path& root, int limit);

// One complaint for each function below root/src, except tests, whose definition has more than `limit` lines
// from its first line to its closing brace. Relies on the layout of .clang-format. `longer`: files below root
// whose functions have another limit.
std::vector<std::string> long_functions(const std::filesystem::path& root, int limit,
                                        const std::map<std::string, int>& longer = {});

// One complaint for each kernel file whose names are not in an anonymous namespace: the linker would merge
// two inline functions with the same name, or the lambdas in them, and one of the two files would run the
// code of the other.
std::vector<std::string> shared_kernel_names(const std::filesystem::path& root);

// One complaint for each type below root/src and root/tests that two files define outside of anonymous
// namespaces under the same name: the linker would merge their inline functions, and one of the two would run
// the code of the other.
std::vector<std::string> shared_type_names(const std::filesystem::path& root);

// One complaint for each name that two sources of one folder of root/src, or two tests of one folder, define
// in anonymous namespaces (other than the same alias): sources that are compiled together (CMAKE_UNITY_BUILD)
// share these. `apart`: rooms whose sources are not compiled together.
std::vector<std::string> shared_local_names(const std::filesystem::path& root,
                                            const std::set<std::string>& apart);

// The rooms that `rooms_cmake`, cmake/Rooms.cmake, names in set(compiled_apart ...).
std::set<std::string> rooms_compiled_apart(const std::string& rooms_cmake);

// One complaint for each name of another namespace (kernels::f) in a source of this repository that stands in
// none of the files that the source includes, directly or not: sources that are compiled together
// (CMAKE_UNITY_BUILD) see the includes of others, and only a build of each by itself would tell.
std::vector<std::string> names_without_include(const std::filesystem::path& root);

// One complaint for each string "golden/<name>" in a source file whose folder root/tests/golden/<name> is
// missing.
std::vector<std::string> missing_goldens(const std::filesystem::path& root);

// One complaint for each `path` in back quotes in a Markdown file that starts with a folder of this
// repository and does not exist; a path with a <placeholder>, a * or a ... is a pattern and is not checked.
std::vector<std::string> dead_paths(const std::filesystem::path& root,
                                    const std::vector<std::string>& documents);

std::string read_text(const std::filesystem::path& path);

}  // namespace aviary::house
