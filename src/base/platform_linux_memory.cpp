// The available memory, from files of Linux: proc(5) and cgroups(7).
#include <algorithm>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "base/platform.h"

namespace aviary::platform {
namespace {

namespace fs = std::filesystem;

// The number after `name` in a file of lines "name number ..."; nothing if there is none.
std::optional<int64_t> number_in(const fs::path& file, std::string_view name) {
  std::ifstream lines(file);
  for (std::string word; lines >> word;)
    if (int64_t number = 0; word == name && lines >> number) return number;
  return {};
}

// Lines of /proc/self/status and /proc/meminfo are in kibibytes.
int64_t bytes_in(const fs::path& file, std::string_view name) {
  return number_in(file, name).value_or(0) * 1024;
}

// A file that contains one number; nothing if it is missing or contains "max".
std::optional<int64_t> number_of(const fs::path& file) {
  int64_t number = 0;
  if (std::ifstream stream(file); stream >> number) return number;
  return {};
}

// A control group with a memory limit, in bytes: the limit, and how much of it is left.
struct Group {
  int64_t limit, left;
};

// The limit of one group, given its folder; in version 1 of control groups the files have other names.
std::optional<Group> limit_of(const fs::path& group, bool version_1) {
  const auto limit = number_of(group / (version_1 ? "memory.limit_in_bytes" : "memory.max"));
  const auto used = number_of(group / (version_1 ? "memory.usage_in_bytes" : "memory.current"));
  if (!limit || !used) return {};
  // The page cache is released when memory is needed.
  const fs::path statistics = group / "memory.stat";
  const std::string prefix = version_1 ? "total_" : "";
  const int64_t files = number_in(statistics, prefix + "inactive_file").value_or(0) +
                        number_in(statistics, prefix + "active_file").value_or(0);
  return Group{*limit, std::max<int64_t>(*limit - std::max<int64_t>(*used - files, 0), 1)};
}

// The groups that limit this process: its own and all its parents. Inside a container, a group may be at the
// top although its name is longer, so missing folders are skipped.
std::vector<Group> groups_of_this_process(const fs::path& root) {
  std::vector<Group> groups;
  std::ifstream lines(root / "proc/self/cgroup");
  for (std::string line;
       std::getline(lines, line);) {  // "4:memory:/a/b" in version 1, "0::/a/b" in version 2
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool version_1 = ("," + controllers + ",").find(",memory,") != std::string::npos;
    if (!version_1 && !controllers.empty()) continue;
    const fs::path top = root / "sys/fs/cgroup" / (version_1 ? "memory" : "");
    for (fs::path name = fs::path(line.substr(second + 1)).relative_path();; name = name.parent_path()) {
      if (const auto group = limit_of(name.empty() ? top : top / name, version_1)) groups.push_back(*group);
      if (name.empty()) break;
    }
  }
  return groups;
}

}  // namespace

int64_t current_memory() { return bytes_in("/proc/self/status", "VmRSS:"); }

int64_t peak_memory() { return bytes_in("/proc/self/status", "VmHWM:"); }

int64_t total_memory(const fs::path& root) {
  int64_t total = bytes_in(root / "proc/meminfo", "MemTotal:");
  if (total == 0) return 0;
  for (const Group& group : groups_of_this_process(root)) total = std::min(total, group.limit);
  return total;
}

int64_t available_memory(const fs::path& root) {
  int64_t available = bytes_in(root / "proc/meminfo", "MemAvailable:");
  if (available == 0) return 0;
  available += bytes_in(root / "proc/meminfo", "SwapFree:");
  for (const Group& group : groups_of_this_process(root)) available = std::min(available, group.left);
  return available;
}

}  // namespace aviary::platform
