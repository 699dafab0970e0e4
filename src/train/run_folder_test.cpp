#include "train/run_folder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/files.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> temporary_files(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".tmp") names.push_back(entry.path().filename().string());
  return names;
}

// For example, `aviary convert --out run/model.gguf` writes into the folder of a run that is resumed
// meanwhile.
TEST(RunFolder, AFileThatIsBeingWrittenIsLeftAlone) {
  const TestFolder folder;
  AtomicFile file(folder / "model.gguf");
  file.write("half of it");
  ASSERT_EQ(temporary_files(folder.path()).size(), 1u);
  const RunFolder held = RunFolder::hold(folder.path());
  EXPECT_EQ(temporary_files(folder.path()).size(), 1u);
  file.write(", and the rest");
  file.commit();
  EXPECT_EQ(read_file(folder / "model.gguf", 100), "half of it, and the rest");
}

TEST(RunFolder, WhatAKilledProcessLeftIsRemoved) {
  const TestFolder folder;
  write_file_atomically(folder / ".aviary-12345-0.tmp", std::string_view("half a checkpoint"));
  write_file_atomically(folder / "mine.tmp", std::string_view("mine"));
  const RunFolder held = RunFolder::hold(folder.path());
  EXPECT_EQ(temporary_files(folder.path()), std::vector<std::string>{"mine.tmp"});
}

TEST(RunFolder, IsHeldByOneAtATime) {
  const TestFolder folder;
  {
    const RunFolder held = RunFolder::hold(folder.path());
    EXPECT_FALSE(RunFolder::try_hold(folder.path()));
  }
  EXPECT_TRUE(RunFolder::try_hold(folder.path()));
}

}  // namespace
}  // namespace aviary
