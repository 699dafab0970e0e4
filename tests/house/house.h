// Reads the sources as text, to check the rules of the house that no compiler checks.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace aviary::house {

// The rooms that each room may include: itself and all that its target in CMakeLists.txt links, directly or
// not.
using Rooms = std::map<std::string, std::set<std::string>>;

// Reads the aviary_room(...) and aviary_program(...) lines of `cmake_lists`. A room that links a room
// declared after itself is an entry in `complaints`.
Rooms read_rooms(const std::string& cmake_lists, std::vector<std::string>& complaints);

// One complaint for each `#include "room/..."` below root/src that the includer's room may not have.
std::vector<std::string> forbidden_includes(const std::filesystem::path& root, const Rooms& rooms);

// One complaint for each source file below root/src with more than `limit` lines.
std::vector<std::string> long_files(const std::filesystem::path& root, int limit);

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
