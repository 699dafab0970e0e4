// A full or read-only disk: one error sentence, and the last complete checkpoint is kept.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "program.h"

namespace aviary::program {
namespace {

// A disk of two megabytes, in a separate mount namespace, so that it disappears with the process.
class FullDisk : public testing::Test {
 protected:
  void SetUp() override {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", disk_.path().c_str(), "tmpfs", 0, "size=2m") != 0)
      GTEST_SKIP() << "mounting a small disk needs root";
    mounted_ = true;
    write(folder_ / "text.txt", prose(4000));
  }
  ~FullDisk() override {
    if (mounted_) ::umount2(disk_.path().c_str(), MNT_DETACH);
  }

  std::string place() const { return (disk_ / "run").string(); }
  // Fills the disk until this many bytes are left.
  void leave(size_t bytes) const {
    struct statvfs status {};
    ASSERT_EQ(::statvfs(disk_.path().c_str(), &status), 0);
    const size_t free = status.f_bfree * status.f_frsize;
    ASSERT_GE(free, bytes);
    write(disk_ / "filler", std::string(free - bytes, 'x'));
  }

  const TestFolder folder_, disk_;
  bool mounted_ = false;
};

TEST_F(FullDisk, ANewRunIsRejected) {
  for (size_t left : {0, 4096, 16384, 100'000}) {
    leave(left);
    expect_refusal(
        run(folder_.path(), Arguments{"train", "text.txt", "--out", place(), "--steps", "2"} + tiny),
        {place()});
    fs::remove_all(place());
    fs::remove(disk_ / "filler");
  }
}

TEST_F(FullDisk, ATunedModelIsRefusedOrComplete) {
  train_tiny(folder_.path(), 2);
  write(folder_ / "rows.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n{\"text\": \"three\"}\n");
  for (size_t left : {0, 4096, 16384, 60'000}) {
    leave(left);
    const Outcome outcome = run(folder_.path(), {"tune", "run", "rows.jsonl", "--out", place(), "--method",
                                                 "lora", "--steps", "3", "--rank", "4", "--threads", "1"});
    if (outcome.code != 0) {
      EXPECT_EQ(outcome.code, 1) << outcome.err;
      EXPECT_NE(outcome.err.find(place()), std::string::npos) << outcome.err;
      EXPECT_TRUE(outcome.err.find("No space left") != std::string::npos ||
                  outcome.err.find("is the disk full?") != std::string::npos)
          << outcome.err;
    } else {
      expect_success(run(folder_.path(), {"generate", "run", "--adapter", place() + "/adapter.safetensors",
                                          "-p", "t", "-n", "2", "-q"}));
    }
    fs::remove_all(place());
    fs::remove(disk_ / "filler");
  }
}

TEST_F(FullDisk, TheLastCompleteCheckpointIsKeptAndCanBeResumed) {
  int refused = 0;
  for (size_t left : {0, 8192, 100'000, 250'000, 330'000, 400'000}) {
    expect_success(
        run(folder_.path(), Arguments{"train", "text.txt", "--out", place(), "--steps", "3"} + tiny));
    const std::string checkpoint = read(place() + "/checkpoint.safetensors");
    leave(left);
    const Outcome outcome =
        run(folder_.path(), {"train", "--resume", place(), "--steps", "6", "--threads", "1"});
    if (outcome.code != 0) {
      ++refused;
      expect_refusal(outcome, {place()});
    }
    if (left == 0) {
      EXPECT_TRUE(read(place() + "/checkpoint.safetensors") == checkpoint);
    }
    // However much could be written, the files are complete: either the old or the new ones.
    expect_success(run(folder_.path(), {"generate", place(), "--tokens", "3", "--threads", "1"}));
    fs::remove(disk_ / "filler");
    expect_success(run(folder_.path(), {"train", "--resume", place(), "--steps", "7", "--threads", "1"}));
    fs::remove_all(place());
  }
  EXPECT_GE(refused, 3);
}

TEST_F(FullDisk, AFileOfLogitsIsRejected) {
  train_tiny(folder_.path(), 1);
  leave(0);
  expect_refusal(run(folder_.path(), {"logits", "run", "--tokens", "1", "--raw", (disk_ / "raw").string()}),
                 {"raw"});
  EXPECT_FALSE(fs::exists(disk_ / "raw"));
}

TEST_F(FullDisk, AReadOnlyFolderIsRejected) {
  ASSERT_EQ(::mount(nullptr, disk_.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  expect_refusal(run(folder_.path(), Arguments{"train", "text.txt", "--out", place(), "--steps", "2"} + tiny),
                 {place(), "Read-only"});
}

}  // namespace
}  // namespace aviary::program
