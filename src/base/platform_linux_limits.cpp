// The memory and the cores that this process may use, from files of Linux: proc(5) and cgroups(7).
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>
#include <thread>
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

// The folder of a control group for one controller; in version 1 of control groups its files have other
// names.
struct Group {
  fs::path folder;
  bool version_1;
};

// The groups that limit this process: its own and all its parents. Inside a container, a group may be at the
// top although its name is longer, so missing folders are passed as well.
std::vector<Group> groups_of_this_process(const fs::path& root, const std::string& controller) {
  std::vector<Group> groups;
  std::ifstream lines(root / "proc/self/cgroup");
  for (std::string line;
       std::getline(lines, line);) {  // "4:memory:/a/b" in version 1, "0::/a/b" in version 2
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool version_1 = ("," + controllers + ",").find("," + controller + ",") != std::string::npos;
    if (!version_1 && !controllers.empty()) continue;
    const fs::path top = root / "sys/fs/cgroup" / (version_1 ? controller : "");
    for (fs::path name = fs::path(line.substr(second + 1)).relative_path();; name = name.parent_path()) {
      groups.push_back({name.empty() ? top : top / name, version_1});
      if (name.empty()) break;
    }
  }
  return groups;
}

// In bytes: the limit, and how much of it is left.
struct MemoryLimit {
  int64_t limit, left;
};

std::optional<MemoryLimit> memory_limit_of(const Group& group) {
  const auto limit = number_of(group.folder / (group.version_1 ? "memory.limit_in_bytes" : "memory.max"));
  const auto used = number_of(group.folder / (group.version_1 ? "memory.usage_in_bytes" : "memory.current"));
  if (!limit || !used) return {};
  // The page cache is released when memory is needed.
  const fs::path statistics = group.folder / "memory.stat";
  const std::string prefix = group.version_1 ? "total_" : "";
  const int64_t files = number_in(statistics, prefix + "inactive_file").value_or(0) +
                        number_in(statistics, prefix + "active_file").value_or(0);
  return MemoryLimit{*limit, std::max<int64_t>(*limit - std::max<int64_t>(*used - files, 0), 1)};
}

std::vector<MemoryLimit> memory_limits(const fs::path& root) {
  std::vector<MemoryLimit> limits;
  for (const Group& group : groups_of_this_process(root, "memory"))
    if (const auto limit = memory_limit_of(group)) limits.push_back(*limit);
  return limits;
}

// The cores that a group may keep busy: its time in each period, "400000 100000" in version 2, where "max" is
// no limit; two files in version 1, where -1 is. Rounded down: when a group has used up its time, all of its
// threads stop, so a thread too many makes the others wait.
std::optional<int> core_limit_of(const Group& group) {
  int64_t time = 0, period = 0;
  if (group.version_1) {
    time = number_of(group.folder / "cpu.cfs_quota_us").value_or(0);
    period = number_of(group.folder / "cpu.cfs_period_us").value_or(0);
  } else if (std::ifstream stream(group.folder / "cpu.max"); !(stream >> time >> period)) {
    return {};
  }
  if (time <= 0 || period <= 0) return {};
  return static_cast<int>(std::clamp<int64_t>(time / period, 1, 1 << 20));
}

}  // namespace

int64_t current_memory() { return bytes_in("/proc/self/status", "VmRSS:"); }

int64_t peak_memory() { return bytes_in("/proc/self/status", "VmHWM:"); }

int64_t total_memory(const fs::path& root) {
  int64_t total = bytes_in(root / "proc/meminfo", "MemTotal:");
  if (total == 0) return 0;
  for (const MemoryLimit& limit : memory_limits(root)) total = std::min(total, limit.limit);
  return total;
}

int64_t available_memory(const fs::path& root) {
  int64_t available = bytes_in(root / "proc/meminfo", "MemAvailable:");
  if (available == 0) return 0;
  available += bytes_in(root / "proc/meminfo", "SwapFree:");
  for (const MemoryLimit& limit : memory_limits(root)) available = std::min(available, limit.left);
  return available;
}

int available_cores(const fs::path& root) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  int cores = sched_getaffinity(0, sizeof allowed, &allowed) == 0
                  ? CPU_COUNT(&allowed)
                  : static_cast<int>(std::thread::hardware_concurrency());  // more cores than a cpu_set_t has
  cores = std::max(cores, 1);
  for (const Group& group : groups_of_this_process(root, "cpu"))
    cores = std::min(cores, core_limit_of(group).value_or(cores));
  return cores;
}

std::string allowed_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::string cores;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) cores += CPU_ISSET(core, &allowed) ? '1' : '0';
  return cores.substr(0, cores.find_last_of('1') + 1);
}

}  // namespace aviary::platform
