#include "terminal/entry_reader.h"

#include <array>
#include <cstdio>
#include <iostream>
#include <optional>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/platform.h"
#include "chat/clean.h"

namespace aviary {
namespace {

constexpr std::string_view quotes = "\"\"\"";
constexpr double key_seconds = 0.1;  // after which an Esc that nothing follows was a key

}  // namespace

std::optional<std::string> EntryLines::add(const std::string& line) {
  std::string_view rest = line;
  if (!open_) {
    if (!rest.starts_with(quotes)) return line;
    open_ = true;
    rest.remove_prefix(quotes.size());
  } else if (!text_.empty()) {
    text_ += '\n';
  }
  const size_t end = rest.find(quotes);
  text_ += rest.substr(0, end);
  if (end == std::string_view::npos) return {};
  std::string entry(trimmed(text_));
  reset();
  return entry;
}

std::optional<std::string> EntryReader::read_plain(const std::string& prompt) {
  terminal_.write(prompt);
  std::string line;
  if (!std::getline(std::cin, line)) return {};
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

std::optional<std::string> EntryReader::read_edited(const std::string& prompt, bool& interrupted) {
  std::error_code error;
  std::optional<platform::RawTerminal> raw;
  constexpr std::string_view pastes_on = "\033[?2004h", pastes_off = "\033[?2004l";
  const auto begin = [&] {
    raw.emplace(error);
    require(!error, "the terminal cannot be read: {}", error.message());
    editor_.begin(prompt);
  };
  const auto end = [&] {
    terminal_.write(editor_.finish(terminal_.columns()) + std::string(pastes_off));
    raw.reset();
  };
  begin();
  terminal_.write(std::string(pastes_on) + editor_.draw(terminal_.columns()));
  while (!terminal_.ended()) {
    bool changed = false;
    while (const std::optional<Key> key = keys_.next()) {  // also those that came with an earlier entry
      changed = true;
      const LineEditor::Result result = editor_.handle(*key);
      if (result == LineEditor::Result::editing) continue;
      end();
      if (result == LineEditor::Result::editor) {
        std::string text = terminal_.edit ? terminal_.edit(editor_.text()) : editor_.text();
        begin();
        editor_.set_text(std::move(text));
        terminal_.write(std::string(pastes_on));
        continue;
      }
      interrupted = result == LineEditor::Result::interrupted;
      if (result == LineEditor::Result::entered) return editor_.text();
      return interrupted ? std::optional(std::string()) : std::nullopt;
    }
    if (changed) terminal_.write(editor_.draw(terminal_.columns()));
    if (!raw->wait_for_bytes(key_seconds)) {
      keys_.drop();
      continue;
    }
    std::array<std::byte, 4096> bytes;
    const size_t count = raw->read(bytes, error);
    if (count == 0) break;
    keys_.push({reinterpret_cast<const char*>(bytes.data()), count});
  }
  end();
  return {};
}

std::optional<std::string> EntryReader::read() {
  EntryLines lines;
  while (true) {
    const std::string prompt = lines.open() ? "... " : ">>> ";
    bool interrupted = false;
    const std::optional<std::string> line =
        terminal_.editing ? read_edited(prompt, interrupted) : read_plain(prompt);
    if (!line) return {};
    if (interrupted) {
      lines.reset();
      continue;
    }
    std::optional<std::string> entry = lines.add(*line);
    if (!entry) continue;
    editor_.remember(*entry);
    return entry;
  }
}

}  // namespace aviary
