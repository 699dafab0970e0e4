#include "base/memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

namespace aviary {
namespace {

constexpr size_t megabyte = 1 << 20;

void use(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(pages, MAP_FAILED);
  std::memset(pages, 1, bytes);
  munmap(pages, bytes);
}

TEST(Memory, WhatIsAvailableIsNoMoreThanTheMachineHas) {
  if (available_memory() == 0) GTEST_SKIP() << "the system does not tell";
  const int64_t all = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  EXPECT_GT(available_memory(), 16 * int64_t{megabyte});
  EXPECT_LT(available_memory(), 100 * all) << "swap included";
}

// Sanitizers use memory of their own.
TEST(MemoryLong, ThePeakIsWhatWasInUseAtOnceSinceTheReset) {
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

}  // namespace
}  // namespace aviary
