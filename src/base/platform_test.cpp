#include "base/platform.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "base/files.h"
#include "support/test_folder.h"

namespace aviary::platform {
namespace {

namespace fs = std::filesystem;

constexpr size_t megabyte = 1 << 20;

void use(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  std::memset(pages, 1, bytes);
  munmap(pages, bytes);
}

// Copies of the files in which Linux reports what a process may use, in a temporary folder.
class FilesOfLinux : public testing::Test {
 protected:
  void write(const std::string& file, const std::string& text) {
    make_folders((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  TestFolder root_;
};

class MemoryOf : public FilesOfLinux {
 protected:
  MemoryOf() {
    write("proc/meminfo", "MemTotal: 8000 kB\nMemFree: 1 kB\nMemAvailable: 6000 kB\nSwapFree: 1000 kB\n");
  }
  void expect(int64_t total, int64_t available) {
    EXPECT_EQ(total_memory(root_.path()), total);
    EXPECT_EQ(available_memory(root_.path()), available);
  }
  static constexpr int64_t all = 8000 * 1024, left = 7000 * 1024;
};

TEST_F(MemoryOf, AMachineIsWhatItSays) { expect(all, left); }

TEST_F(MemoryOf, AContainerIsWhatItsGroupMayUse) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "max\n");
  write("sys/fs/cgroup/memory.current", "3000000\n");
  expect(all, left);
  write("sys/fs/cgroup/memory.max", "4000000\n");
  expect(4000000, 1000000);
  write("sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 200000\nactive_file 300000\n");
  expect(4000000, 1500000);
  write("sys/fs/cgroup/memory.current", "9000000\n");  // more than the limit: 0 would mean unknown
  expect(4000000, 1);
}

TEST_F(MemoryOf, TheTightestGroupAboveAProcessCounts) {
  write("proc/self/cgroup", "0::/user/session\n");
  for (const std::string group : {"", "user/", "user/session/"}) {
    write("sys/fs/cgroup/" + group + "memory.max", group == "user/" ? "2000000" : "5000000");
    write("sys/fs/cgroup/" + group + "memory.current", "500000");
  }
  expect(2000000, 1500000);
}

TEST_F(MemoryOf, AContainerOfTheFirstVersionOfGroupsIsWhatItMayUse) {
  write("proc/self/cgroup",
        "9:name=systemd:/\n4:cpu,memory:/docker/1234\n0::/\n");  // outside the container this name is longer
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000000\n");
  write("sys/fs/cgroup/memory/memory.stat",
        "inactive_file 7\ntotal_inactive_file 100000\ntotal_active_file 0\n");
  expect(all, left);
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "3000000\n");
  expect(3000000, 2100000);
}

TEST_F(MemoryOf, AnUnknownSystemSaysNothing) {
  const TestFolder empty;
  EXPECT_EQ(total_memory(empty.path()), 0);
  EXPECT_EQ(available_memory(empty.path()), 0);
}

TEST(Memory, AvailableMemoryIsAtMostThatOfTheMachine) {
  if (available_memory() == 0) GTEST_SKIP() << "the system does not tell";
  const int64_t all = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  EXPECT_GT(available_memory(), 16 * int64_t{megabyte});
  EXPECT_LT(available_memory(), 100 * all) << "swap included";
  EXPECT_GE(total_memory(), 16 * int64_t{megabyte});
  EXPECT_LE(total_memory(), all);
}

// The cores of a process: those on which it may run. While this object exists, one.
class OnlyOneCore {
 public:
  OnlyOneCore() {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core)
      if (CPU_ISSET(core, &before_)) CPU_SET(core, &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  ~OnlyOneCore() { sched_setaffinity(0, sizeof before_, &before_); }
  OnlyOneCore(const OnlyOneCore&) = delete;
  OnlyOneCore& operator=(const OnlyOneCore&) = delete;

 private:
  cpu_set_t before_{};
};

class CoresOf : public FilesOfLinux {
 protected:
  int cores() const { return available_cores(root_.path()); }
  const int all = available_cores(root_.path());
};

TEST_F(CoresOf, AProcessAreThoseOnWhichItMayRun) {
  EXPECT_GE(all, 1);
  const OnlyOneCore one;
  EXPECT_EQ(cores(), 1);
}

TEST_F(CoresOf, AContainerAreWhatItsTimeAllowsRoundedDown) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(cores(), all);
  write("sys/fs/cgroup/cpu.max", "199000 100000\n");
  EXPECT_EQ(cores(), 1);
  write("sys/fs/cgroup/cpu.max", "5000 100000\n");
  EXPECT_EQ(cores(), 1);
  write("sys/fs/cgroup/cpu.max", "900000000 100000\n");
  EXPECT_EQ(cores(), all);
}

TEST_F(CoresOf, AGroupBelowATighterOneAreThoseOfTheTighterOne) {
  write("proc/self/cgroup", "0::/user/session\n");
  write("sys/fs/cgroup/user/cpu.max", "100000 100000\n");
  write("sys/fs/cgroup/user/session/cpu.max", "max 100000\n");
  EXPECT_EQ(cores(), 1);
}

TEST_F(CoresOf, AContainerOfTheFirstVersionOfGroupsAreWhatItsTimeAllows) {
  write("proc/self/cgroup", "4:cpu,cpuacct:/docker/1234\n0::/\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n");
  EXPECT_EQ(cores(), all);
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "60000\n");
  EXPECT_EQ(cores(), 1);
}

TEST(File, HasOneLockUntilItIsClosed) {
  const TestFolder folder;
  std::error_code error;
  File other(folder.path(), Open::read, error);
  {
    File first(folder.path(), Open::read, error);
    ASSERT_TRUE(first.is_open());
    EXPECT_TRUE(first.try_lock());
    EXPECT_FALSE(other.try_lock());
  }
  EXPECT_TRUE(other.try_lock());
}

TEST(File, SaysWhyItCannotBeOpened) {
  const TestFolder folder;
  std::error_code error;
  EXPECT_FALSE(File(folder / "none", Open::read, error).is_open());
  EXPECT_EQ(error, std::errc::no_such_file_or_directory);
  EXPECT_TRUE(File(folder / "a", Open::create, error).is_open());
  EXPECT_FALSE(error);
  EXPECT_FALSE(File(folder / "a", Open::create, error).is_open());
  EXPECT_EQ(error, std::errc::file_exists);
}

TEST(Pages, ThatAreLostEndTheProcessWithTheNameOfTheFile) {
  const TestFolder folder;
  write_file_atomically(folder / "model", std::string(100'000, 'x'));
  EXPECT_EXIT(
      {
        tell_lost_pages();
        const MappedFile file(folder / "model");
        fs::resize_file(folder / "model", 0);
        const volatile std::byte first = file.bytes()[0];
        std::exit(static_cast<int>(first) == 'x' ? 2 : 3);
      },
      testing::ExitedWithCode(1), "^aviary: /.*/model: it was cut short while it was in use, .*\n$");
}

// Sanitizers use additional memory.
TEST(MemoryLong, ThePeakIsMeasuredSinceTheReset) {
  if (peak_memory() == 0) GTEST_SKIP() << "the system does not tell";
  use(100 * megabyte);
  const int64_t large = peak_memory();
  reset_peak_memory();
  const int64_t before = peak_memory();
  EXPECT_LT(before, large - 90 * int64_t{megabyte});
  use(40 * megabyte);
  use(40 * megabyte);
  EXPECT_GT(peak_memory() - before, 35 * int64_t{megabyte});
  EXPECT_LT(peak_memory() - before, 60 * int64_t{megabyte});
}

TEST(Platform, TheAllowedCoresAreAtLeastThoseThatItMayKeepBusy) {
  const std::string cores = allowed_cores();
  EXPECT_GE(std::count(cores.begin(), cores.end(), '1'), available_cores());
  EXPECT_TRUE(cores.ends_with('1'));
}

}  // namespace
}  // namespace aviary::platform
