#include "terminal/keys.h"

#include <gtest/gtest.h>

#include <vector>

namespace aviary {
namespace {

using Kind = Key::Kind;

std::vector<Key> keys_of(KeyReader& reader, const std::string& bytes) {
  reader.push(bytes);
  std::vector<Key> keys;
  while (const std::optional<Key> key = reader.next()) keys.push_back(*key);
  return keys;
}

std::vector<Kind> kinds_of(const std::string& bytes) {
  KeyReader reader;
  std::vector<Kind> kinds;
  for (const Key& key : keys_of(reader, bytes)) kinds.push_back(key.kind);
  return kinds;
}

TEST(Keys, AreReadFromTheBytesOfATerminal) {
  KeyReader reader;
  EXPECT_EQ(keys_of(reader, "a\u00e4\u4f60\r"),
            (std::vector<Key>{{Kind::text, "a\u00e4\u4f60"}, {Kind::enter}}));
  EXPECT_EQ(kinds_of("\033[A\033OB\033[C\033[D\033[H\033[F\033[3~\x7f"),
            (std::vector<Kind>{Kind::up, Kind::down, Kind::right, Kind::left, Kind::home, Kind::end,
                               Kind::erase, Kind::backspace}));
  EXPECT_EQ(kinds_of("\x03\x04\x0b\x15\x17\033b\033f"),
            (std::vector<Kind>{Kind::interrupt, Kind::leave, Kind::kill_to_end, Kind::kill_to_start,
                               Kind::kill_word, Kind::word_left, Kind::word_right}));
}

TEST(Keys, UnknownSequencesAreOneKey) {
  EXPECT_EQ(kinds_of("\033[15;2~x"), (std::vector<Kind>{Kind::other, Kind::text}));
  EXPECT_EQ(kinds_of("\033qx"), (std::vector<Kind>{Kind::other, Kind::text}));
  EXPECT_EQ(kinds_of("\xff"
                     "x"),
            (std::vector<Kind>{Kind::other, Kind::text}));
}

TEST(Keys, APastedTextKeepsItsLines) {
  KeyReader reader;
  EXPECT_EQ(keys_of(reader, "\033[200~one\r\ntwo\rthree\n"), std::vector<Key>{});
  EXPECT_EQ(keys_of(reader, "four\033[201~x"),
            (std::vector<Key>{{Kind::paste, "one\ntwo\nthree\nfour"}, {Kind::text, "x"}}));
}

TEST(Keys, MayArriveByteByByte) {
  const std::string bytes = "a\u4f60\033[A\033[200~p\r\033[201~\033[1;5C";
  KeyReader whole, pieces;
  std::vector<Key> collected;
  for (const char c : bytes)
    for (const Key& key : keys_of(pieces, {c})) {
      if (key.kind == Kind::text && !collected.empty() && collected.back().kind == Kind::text)
        collected.back().text += key.text;
      else
        collected.push_back(key);
    }
  EXPECT_EQ(collected, keys_of(whole, bytes));
  EXPECT_FALSE(pieces.waits());
  pieces.push("\033");
  EXPECT_EQ(pieces.next(), std::nullopt);
  EXPECT_TRUE(pieces.waits());
}

}  // namespace
}  // namespace aviary
