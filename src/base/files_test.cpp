#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

std::string error_of(auto&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << text;
}

std::string content_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

int files_in(const fs::path& folder) {
  return static_cast<int>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(MappedFile, ShowsTheBytesOfTheFileEvenAfterItIsMovedAndTheFileIsReplaced) {
  TestFolder folder;
  write_file_atomically(folder / "a", "old");
  MappedFile file(folder / "a");
  write_file_atomically(folder / "a", "new");
  MappedFile moved = std::move(file);
  EXPECT_EQ(content_of(moved), "old");
  file = MappedFile(folder / "a");
  EXPECT_EQ(content_of(file), "new");
}

TEST(MappedFile, TheErrorSaysWhyAFileCannotBeMapped) {
  TestFolder folder;
  std::ofstream(folder / "empty");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  expect_contains(error_of([&] { MappedFile file(folder / "none"); }), "No such file or directory");
  expect_contains(error_of([&] { MappedFile file(folder.path()); }), "is a folder, expected a file");
  expect_contains(error_of([&] { MappedFile file(folder / "empty"); }), "empty: the file is empty");
  expect_contains(error_of([&] { MappedFile file(folder / "pipe"); }), "is a pipe or a device");
}

TEST(MappedFile, AnUnreadableFileIsAnError) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
  TestFolder folder;
  write_file_atomically(folder / "secret", "x");
  fs::permissions(folder / "secret", fs::perms::none);
  expect_contains(error_of([&] { MappedFile file(folder / "secret"); }), "Permission denied");
}

TEST(ReadFile, ReadsUpToTheLimitAndRejectsMore) {
  TestFolder folder;
  std::string text(200'000, 'x');
  write_file_atomically(folder / "a", text);
  EXPECT_EQ(read_file(folder / "a", 200'000), text);
  expect_contains(error_of([&] { read_file(folder / "a", 199'999); }), "more than the 199999 bytes");
  expect_contains(error_of([&] { read_file_or_pipe("/dev/zero", 1000); }), "more than the 1000 bytes");
  expect_contains(error_of([&] { read_file(folder.path(), 1000); }), "is a folder");
  expect_contains(error_of([&] { read_file(folder / "none", 1000); }), "No such file or directory");
  EXPECT_EQ(read_file_or_pipe("/dev/null", 0), "");
}

TEST(ReadFile, DoesNotWaitForAPipeUnlessOneIsExpected) {
  TestFolder folder;
  const std::string pipe = (folder / "pipe").string();
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_contains(error_of([&] { read_file(pipe, 1000); }), "is a pipe or a device");
  expect_contains(error_of([&] { read_file("/dev/null", 1000); }), "is a pipe or a device");
  std::thread writer([&] { std::ofstream(pipe) << "text"; });
  EXPECT_EQ(read_file_or_pipe(pipe, 1000), "text");
  writer.join();
}

TEST(AtomicFile, ShowsTheNewContentOnlyAfterTheCommit) {
  TestFolder folder;
  write_file_atomically(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("ne");
    file.write("w");
    EXPECT_EQ(read_file(folder / "a", 100), "old");
    file.commit();
    EXPECT_EQ(read_file(folder / "a", 100), "new");
  }
  EXPECT_EQ(read_file(folder / "a", 100), "new");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(AtomicFile, KeepsTheOldFileWhenTheWriterThrows) {
  TestFolder folder;
  write_file_atomically(folder / "a", "old");
  EXPECT_THROW(
      {
        AtomicFile file(folder / "a");
        file.write("half of the n");
        throw std::runtime_error("the writer gives up");
      },
      std::runtime_error);
  EXPECT_EQ(read_file(folder / "a", 100), "old");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(AtomicFile, TwoWritersOfOneFileDoNotDisturbEachOther) {
  TestFolder folder;
  AtomicFile first(folder / "a"), second(folder / "a");
  first.write("first");
  second.write("second");
  first.commit();
  EXPECT_EQ(read_file(folder / "a", 100), "first");
  second.commit();
  EXPECT_EQ(read_file(folder / "a", 100), "second");
}

TEST(AtomicFile, RemovesWhatKilledWritersLeftAndNothingThatIsBeingWritten) {
  TestFolder folder;
  AtomicFile living(folder / "a");
  living.write("a");
  std::ofstream(folder / ".aviary-12345-0.tmp") << "half of a model";
  std::ofstream(folder / ".aviary.tmp") << "of somebody else";
  write_file_atomically(folder / "b", "b");
  EXPECT_FALSE(fs::exists(folder / ".aviary-12345-0.tmp"));
  EXPECT_TRUE(fs::exists(folder / ".aviary.tmp"));
  living.commit();
  EXPECT_EQ(read_file(folder / "a", 100), "a");
  EXPECT_EQ(files_in(folder.path()), 3);
}

TEST(AtomicFile, FollowsALinkAndKeepsTheMode) {
  TestFolder folder;
  write_file_atomically(folder / "target", "old");
  fs::permissions(folder / "target", fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("target", folder / "link");
  write_file_atomically(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "target", 100), "new");
  EXPECT_EQ(fs::status(folder / "target").permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST(AtomicFile, FollowsALinkToAFileThatDoesNotExistYet) {
  TestFolder folder;
  make_folders(folder / "disk");
  fs::create_symlink("disk/second", folder / "first");
  fs::create_symlink(folder / "disk/file", folder / "disk/second");
  write_file_atomically(folder / "first", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "first"));
  EXPECT_TRUE(fs::is_symlink(folder / "disk/second"));
  EXPECT_EQ(read_file(folder / "disk/file", 100), "new");
  EXPECT_EQ(files_in(folder / "disk"), 2);

  fs::create_symlink("nowhere/file", folder / "lost");
  expect_contains(error_of([&] { write_file_atomically(folder / "lost", "x"); }), "there is no folder");
  fs::create_symlink("circle", folder / "circle");
  expect_contains(error_of([&] { write_file_atomically(folder / "circle", "x"); }), "lead in a circle");
}

TEST(AtomicFile, NamesTheFileAndTheReasonWhenItCannotBeWritten) {
  TestFolder folder;
  expect_contains(error_of([&] { write_file_atomically(folder / "none/a", "x"); }),
                  "none/a: cannot create the file: there is no folder " + (folder / "none").string());
  expect_contains(error_of([&] { write_file_atomically(folder.path(), "x"); }), "a folder has this name");
  expect_contains(error_of([&] { write_file_atomically("/dev/null", "x"); }), "a pipe or a device");
  expect_contains(error_of([&] { write_file_atomically("/proc/a", "x"); }), "No such file or directory");
  if (::geteuid() == 0) return;
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  expect_contains(error_of([&] { write_file_atomically(folder / "a", "x"); }),
                  "a: cannot create the file: Permission denied");
  fs::permissions(folder.path(), fs::perms::owner_all);
}

TEST(AtomicFile, KeepsTheOldFileWhenAWriteFails) {
  TestFolder folder;
  write_file_atomically(folder / "a", "old");
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small{100'000, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string error = error_of([&] { write_file_atomically(folder / "a", std::string(200'000, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &limit);
  std::signal(SIGXFSZ, old_handler);
  expect_contains(error, "a: cannot write the file: File too large");
  EXPECT_EQ(read_file(folder / "a", 100), "old");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(AtomicFile, KeepsTheOldFileWhenTheDiskIsFull) {
  TestFolder folder;
  fs::path disk = folder / "disk";
  make_folders(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=65536") != 0)
    GTEST_SKIP() << "a tiny file system cannot be mounted here";
  write_file_atomically(disk / "a", "old");
  std::string error = error_of([&] { write_file_atomically(disk / "a", std::string(200'000, 'x')); });
  std::string content = read_file(disk / "a", 100);
  int files = files_in(disk);
  ::umount(disk.c_str());
  expect_contains(error, "a: cannot write the file: No space left on device");
  EXPECT_EQ(content, "old");
  EXPECT_EQ(files, 1);
}

TEST(Files, ThatCannotBeAccessedAreNamedWithTheReason) {
  TestFolder folder;
  fs::create_symlink("a", folder / "a");  // to itself
  try {
    static_cast<void>(fs::exists(folder / "a" / "b"));
    FAIL() << "nothing was thrown";
  } catch (const fs::filesystem_error& error) {
    const std::string path = (folder / "a" / "b").string();
    EXPECT_EQ(sentence_of(error), path + ": cannot be accessed: Too many levels of symbolic links");
  }
}

TEST(MakeFolders, CreatesAllParentsOrReportsWhyNot) {
  TestFolder folder;
  make_folders(folder / "a/b/c");
  make_folders(folder / "a/b/c");
  EXPECT_TRUE(fs::is_directory(folder / "a/b/c"));
  write_file_atomically(folder / "file", "x");
  expect_contains(error_of([&] { make_folders(folder / "file"); }),
                  "file: cannot create the folder: Not a directory");
  expect_contains(error_of([&] { make_folders(folder / "file/b"); }), "file/b: cannot create the folder");
}

}  // namespace
}  // namespace aviary
