#include "base/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/human.h"
#include "base/platform.h"

namespace aviary {
namespace {

constexpr double redraw_seconds = 0.1;
constexpr double memory_seconds = 15;  // of the speed
constexpr double first_line_seconds = 10, last_line_seconds = 300;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

ProgressOptions with_clock(ProgressOptions options) {
  if (!options.clock) options.clock = steady_seconds;
  return options;
}

// Makes the text a single line: control characters become spaces.
std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 32 || c == 127) c = ' ';
  return line;
}

// The first `columns` characters of UTF-8 text.
std::string_view cut(std::string_view text, int columns) {
  int count = 0;
  for (size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80 && ++count > columns) return text.substr(0, i);
  return text;
}

}  // namespace

Progress::Progress(ProgressOptions options)
    : options_(with_clock(std::move(options))),
      started_(options_.clock()),
      drawn_(started_ - redraw_seconds),
      sampled_(started_),
      done_(options_.start),
      sampled_done_(options_.start) {
  if (platform::terminal_width(options_.out) == 0) drawn_ = started_;
}

Progress::~Progress() { finish(); }

void Progress::update(int64_t done, std::string_view fields) {
  std::lock_guard lock(mutex_);
  if (finished_) return;
  double now = options_.clock();
  done_ = done;
  fields_ = one_line(fields);
  updated_ = true;
  if (now - sampled_ >= redraw_seconds) {
    double fade = std::exp(-(now - sampled_) / memory_seconds);
    recent_work_ = recent_work_ * fade + static_cast<double>(done_ - sampled_done_);
    recent_time_ = recent_time_ * fade + (now - sampled_);
    sampled_ = now;
    sampled_done_ = done_;
  }
  bool terminal = platform::terminal_width(options_.out) > 0;
  double pause =
      terminal ? redraw_seconds : std::clamp((now - started_) / 20, first_line_seconds, last_line_seconds);
  if (now - drawn_ >= pause) draw(now);
}

void Progress::print(std::string_view line) {
  std::lock_guard lock(mutex_);
  write(fmt::format("{}{}\n", live_ ? "\r\x1b[K" : "", line));
  if (live_) draw(options_.clock());
}

void Progress::finish() {
  std::lock_guard lock(mutex_);
  if (finished_ || !updated_) return;
  finished_ = true;
  if (!options_.summary && !drew_) return;
  write(fmt::format("{}{}\n", live_ ? "\r\x1b[K" : "", line(options_.clock(), true)));
  live_ = false;
}

std::string Progress::line(double now, bool last) const {
  std::string text = one_line(options_.label);
  if (!text.empty()) text += ' ';
  if (options_.total > 0)
    text += fmt::format("{:.1f} %", 100.0 * static_cast<double>(done_) / static_cast<double>(options_.total));
  else
    text += fmt::format("{} {}", with_commas(done_ / options_.unit_size), options_.unit);
  if (!fields_.empty()) text += " | " + fields_;

  double elapsed = now - started_;
  double work = last ? static_cast<double>(done_ - options_.start) : recent_work_;
  double time = last ? elapsed : recent_time_;
  if (time > 0 && !options_.unit.empty())
    text += " | " + human_rate(work / time / static_cast<double>(options_.unit_size), options_.unit);
  text += " | " + human_duration(elapsed);
  if (!last && options_.total > done_ && work > 0)
    text +=
        fmt::format(", {} left", human_duration(static_cast<double>(options_.total - done_) * time / work));
  return text;
}

void Progress::draw(double now) {
  drawn_ = now;
  drew_ = true;
  std::string text = line(now, false);
  int width = platform::terminal_width(options_.out);
  live_ = width > 0;
  if (live_)  // one column stays free, so that the terminal does not wrap the line
    write(fmt::format("\r{}\x1b[K", cut(text, width - 1)));
  else
    write(text + '\n');
}

// Written in one call; errors are ignored, because a closed terminal must not stop the work.
void Progress::write(std::string_view text) const {
  static_cast<void>(std::fwrite(text.data(), 1, text.size(), options_.out));
  static_cast<void>(std::fflush(options_.out));
}

}  // namespace aviary
