// Keys from the bytes that a terminal sends.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace aviary {

struct Key {
  enum class Kind : uint8_t {
    text,   // characters that were typed, or pasted
    paste,  // a pasted text, which may have line breaks (\n)
    enter,
    backspace,
    erase,  // the character under the cursor
    left,
    right,
    up,
    down,
    home,
    end,
    word_left,
    word_right,
    kill_to_end,
    kill_to_start,
    kill_word,
    clear_screen,
    search,     // Ctrl-R, in the history
    editor,     // Ctrl-G, the program that $EDITOR names
    interrupt,  // Ctrl-C
    leave,      // Ctrl-D
    other
  };
  Kind kind = Kind::other;
  std::string text = {};
  bool operator==(const Key&) const = default;
};

// Collects bytes and gives keys. A key may arrive in several pieces.
class KeyReader {
 public:
  void push(std::string_view bytes) { bytes_ += bytes; }
  // The next key; nothing if its bytes have not all arrived.
  std::optional<Key> next();
  // Whether bytes wait for more of their key. An Esc that nothing follows soon was the key Esc.
  bool waits() const { return !bytes_.empty(); }
  void drop() { bytes_.clear(); }

 private:
  std::optional<Key> escape_sequence();
  std::optional<Key> pasted();
  Key take(size_t length, Key::Kind kind);

  std::string bytes_;
};

}  // namespace aviary
