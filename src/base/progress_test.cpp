#include "base/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/platform.h"

namespace aviary {
namespace {

// A regular file, not a terminal.
class PlainFile {
 public:
  ~PlainFile() { std::fclose(file_); }
  std::FILE* get() { return file_; }
  std::string text() {
    std::string content;
    std::rewind(file_);
    for (int c; (c = std::fgetc(file_)) != EOF;) content += static_cast<char>(c);
    return content;
  }

 private:
  std::FILE* file_ = std::tmpfile();
};

// A pseudo terminal of the given width.
class Terminal {
 public:
  explicit Terminal(unsigned short columns) {
    master_ = posix_openpt(O_RDWR | O_NOCTTY);
    if (master_ < 0 || grantpt(master_) != 0 || unlockpt(master_) != 0) return;
    file_ = std::fopen(ptsname(master_), "w");
    winsize size{};
    size.ws_col = columns;
    size.ws_row = 24;
    if (file_) ioctl(master_, TIOCSWINSZ, &size);
  }
  ~Terminal() {
    if (file_) std::fclose(file_);
    if (master_ >= 0) close(master_);
  }
  std::FILE* get() { return file_; }
  // The output since the last call. A marker shows when all of it has passed through the kernel.
  std::string text() {
    const std::string mark = "\x01";
    std::fputs(mark.c_str(), file_);
    std::fflush(file_);
    std::string content;
    while (content.find(mark) == std::string::npos) {
      char piece[4096];
      ssize_t count = read(master_, piece, sizeof(piece));
      if (count <= 0) return content + "(read failed)";
      content.append(piece, static_cast<size_t>(count));
    }
    return content.substr(0, content.find(mark));
  }

 private:
  int master_ = -1;
  std::FILE* file_ = nullptr;
};

TEST(Progress, ShowsWorkInUnitsOfAnySize) {
  PlainFile file;
  double now = 0;
  Progress progress({.label = "write",
                     .total = 500'000'000,
                     .unit = "MB",
                     .unit_size = 1'000'000,
                     .out = file.get(),
                     .clock = [&] { return now; }});
  now = 12.5;
  progress.update(400'000'000);
  EXPECT_EQ(file.text(), "write 80.0 % | 32 MB/s | 13 s, 3.1 s left\n");
}

TEST(Progress, WritesPlainLinesFromTimeToTimeWithoutATerminal) {
  PlainFile file;
  double now = 0;
  {
    Progress progress({.label = "train", .total = 1000000, .out = file.get(), .clock = [&] { return now; }});
    for (int second = 1; second <= 25; ++second) {
      now = second;
      progress.update(20000 * second, "loss 2.5");
    }
    progress.print("saved");
  }
  EXPECT_EQ(file.text(),
            "train 20.0 % | loss 2.5 | 20,000 tokens/s | 10 s, 40 s left\n"
            "train 40.0 % | loss 2.5 | 20,000 tokens/s | 20 s, 30 s left\n"
            "saved\n"
            "train 50.0 % | loss 2.5 | 20,000 tokens/s | 25 s\n");
}

TEST(Progress, WithoutASummaryOnlyLongWorkPrintsLines) {
  for (int seconds : {1, 12}) {
    PlainFile file;
    double now = 0;
    {
      Progress progress({.label = "measure", .total = 100, .summary = false, .out = file.get(), .clock = [&] {
                           return now;
                         }});
      for (int second = 1; second <= seconds; ++second) {
        now = second;
        progress.update(second);
      }
    }
    EXPECT_EQ(file.text().empty(), seconds == 1) << file.text();
  }
}

TEST(Progress, PlainLinesBecomeLessFrequentInALongRun) {
  PlainFile file;
  double now = 0;
  Progress progress({.total = 100000, .out = file.get(), .clock = [&] { return now; }});
  for (int second = 1; second < 100000; ++second) {
    now = second;
    progress.update(second);
  }
  std::string text = file.text();
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 450);
  EXPECT_GT(std::count(text.begin(), text.end(), '\n'), 300);
}

TEST(Progress, SpeedCountsThisRunOnlyAndFollowsChanges) {
  PlainFile file;
  double now = 100;
  {
    Progress progress(
        {.total = 2000, .start = 1000, .unit = "steps", .out = file.get(), .clock = [&] { return now; }});
    now += 10;
    progress.update(1100);
    for (int i = 1; i <= 60; ++i) {
      now += 1;
      progress.update(1100 + i);  // ten times slower now
    }
  }
  std::istringstream lines(file.text());
  std::string first, line, last;
  std::getline(lines, first);
  EXPECT_EQ(first, "55.0 % | 10 steps/s | 10 s, 1 min 30 s left");
  std::string before;
  while (std::getline(lines, line)) before = last, last = line;
  EXPECT_NE(before.find("| 1.11 steps/s |"), std::string::npos) << before;
  EXPECT_EQ(last, "58.0 % | 2.29 steps/s | 1 min 10 s");
}

TEST(Progress, WithoutATotalItCounts) {
  PlainFile file;
  double now = 0;
  Progress progress({.label = "read", .unit = "documents", .out = file.get(), .clock = [&] { return now; }});
  now = 10;
  progress.update(12340, "a\nb");
  EXPECT_EQ(file.text(), "read 12,340 documents | a b | 1,230 documents/s | 10 s\n");
}

TEST(Progress, WritesNothingWithoutUpdates) {
  PlainFile file;
  Progress({.total = 10, .out = file.get()}).finish();
  EXPECT_EQ(file.text(), "");
}

TEST(Progress, RewritesOneLineOfATerminal) {
  Terminal terminal(40);
  if (!terminal.get()) GTEST_SKIP() << "this machine has no pseudo terminals";
  EXPECT_EQ(platform::terminal_width(terminal.get()), 40);
  double now = 0;
  Progress progress({.label = "träin", .total = 200, .out = terminal.get(), .clock = [&] { return now; }});
  now = 1;
  progress.update(50, "loss 2.25");
  // 39 characters (ä is one); the rest is cut.
  EXPECT_EQ(terminal.text(), "\rträin 25.0 % | loss 2.25 | 50 tokens/s \x1b[K");
  now = 1.05;
  progress.update(60, "loss 2.25");
  EXPECT_EQ(terminal.text(), "");  // too early
  progress.print("a note");
  // The terminal turns \n into \r\n.
  EXPECT_EQ(terminal.text(), "\r\x1b[Ka note\r\n\rträin 30.0 % | loss 2.25 | 50 tokens/s \x1b[K");
  progress.finish();
  EXPECT_EQ(terminal.text(), "\r\x1b[Kträin 30.0 % | loss 2.25 | 57.1 tokens/s | 1.1 s\r\n");
  progress.finish();
  progress.update(100);
  EXPECT_EQ(terminal.text(), "");
}

TEST(Progress, ManyThreadsMayReport) {
  PlainFile file;
  {
    Progress progress({.total = 4000, .out = file.get()});
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i) {
          progress.update(i);
          if (i % 100 == 0) progress.print("line");
        }
      });
  }
  std::string text = file.text();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 41);
}

}  // namespace
}  // namespace aviary
