#include "terminal/line_editor.h"

#include <gtest/gtest.h>

#include "terminal/entry_reader.h"
#include "terminal/text_width.h"

namespace aviary {
namespace {

using Kind = Key::Kind;
using Result = LineEditor::Result;

// Types bytes as a terminal sends them.
Result type(LineEditor& editor, const std::string& bytes) {
  KeyReader reader;
  reader.push(bytes);
  Result result = Result::editing;
  while (const std::optional<Key> key = reader.next()) result = editor.handle(*key);
  return result;
}

std::string typed(const std::string& bytes) {
  LineEditor editor;
  editor.begin("> ");
  type(editor, bytes);
  return editor.text();
}

TEST(TextWidth, CountsColumns) {
  EXPECT_EQ(display_width("abc"), 3);
  EXPECT_EQ(display_width("\u4f60\u597d"), 4);
  EXPECT_EQ(display_width("e\u0301"), 1);
  EXPECT_EQ(display_width("\xff"), 1);
}

TEST(LineEditor, EditsInTheMiddle) {
  EXPECT_EQ(typed("hello\033[D\033[DX"), "helXlo");
  EXPECT_EQ(typed("hello\x01X\x05Y"), "XhelloY");
  EXPECT_EQ(typed("ab\x7f\x7f\x7f"
                  "c"),
            "c");
  EXPECT_EQ(typed("one two\x17three"), "one three");
  EXPECT_EQ(typed("one two\033b\x0b!"), "one !");
  EXPECT_EQ(typed("one two\x15three"), "three");
  EXPECT_EQ(typed("abc\x01\033[3~"), "bc");
  EXPECT_EQ(typed("abc\x01\x04"), "bc");
}

TEST(LineEditor, ACharacterIsErasedWhole) {
  EXPECT_EQ(typed("a\u4f60\x7f"), "a");
  EXPECT_EQ(typed("ae\u0301\x7f"), "a");
  EXPECT_EQ(typed("ae\u0301x\033[D\033[D\033[3~"), "ax");
}

TEST(LineEditor, TheHistoryIsSearchedBackwards) {
  LineEditor editor;
  for (const char* entry : {"one bird", "two foxes", "three birds", "four"}) editor.remember(entry);
  editor.begin("> ");
  type(editor,
       "new\x12"
       "bird");
  EXPECT_EQ(editor.text(), "three birds");
  EXPECT_NE(editor.draw(80).find("(search 'bird') three birds"), std::string::npos);
  type(editor, "\x12");
  EXPECT_EQ(editor.text(), "one bird");
  type(editor, "\x12");
  EXPECT_EQ(editor.text(), "one bird") << "there is none before";
  type(editor, "\x03");
  EXPECT_EQ(editor.text(), "new") << "Ctrl-C takes the search back";
  type(editor,
       "\x12"
       "fox\x05!");
  EXPECT_EQ(editor.text(), "two foxes!") << "any other key goes on with what was found";
  type(editor,
       "\x12"
       "o\x7f"
       "f");
  EXPECT_EQ(type(editor, "\r"), Result::entered);
  EXPECT_EQ(editor.text(), "two foxes!");
}

TEST(LineEditor, AnotherProgramMayChangeTheText) {
  LineEditor editor;
  editor.begin("> ");
  EXPECT_EQ(type(editor, "ab\x07"), Result::editor);
  editor.begin("> ");
  editor.set_text("line\nother");
  type(editor, "!");
  EXPECT_EQ(editor.text(), "line\nother!");
}

TEST(LineEditor, EndsWithEnterInterruptOrLeave) {
  LineEditor editor;
  editor.begin("> ");
  EXPECT_EQ(type(editor, "a"), Result::editing);
  EXPECT_EQ(type(editor, "\r"), Result::entered);
  EXPECT_EQ(type(editor, "\x03"), Result::interrupted);
  EXPECT_EQ(type(editor, "\x15\x04"), Result::left);
}

TEST(LineEditor, GoesThroughTheHistoryAndBack) {
  LineEditor editor;
  for (const char* entry : {"first", "second", "second"}) editor.remember(entry);
  editor.begin("> ");
  type(editor, "new\033[A");
  EXPECT_EQ(editor.text(), "second");
  type(editor, "\033[A\033[A\033[A");
  EXPECT_EQ(editor.text(), "first");
  type(editor, "\033[B\033[B\033[B");
  EXPECT_EQ(editor.text(), "new");
}

TEST(LineEditor, MovesBetweenTheLinesOfAPaste) {
  LineEditor editor;
  editor.begin("> ");
  type(editor, "\033[200~one\ntwo\nthree\033[201~\033[AX");
  EXPECT_EQ(editor.text(), "one\ntwoX\nthree");
  type(editor, "\033[A\x01Y");
  EXPECT_EQ(editor.text(), "Yone\ntwoX\nthree");
  type(editor, "\033[B\x05Z");
  EXPECT_EQ(editor.text(), "Yone\ntwoXZ\nthree");
}

TEST(LineEditor, DrawsTheEntryAndPutsTheCursorInIt) {
  LineEditor editor;
  editor.begin("> ");
  type(editor, "abc\033[D");
  EXPECT_EQ(editor.draw(20), "\r\033[J> abc\r\033[4C");
  EXPECT_EQ(editor.finish(20), "\r\033[J> abc\r\033[5C\r\n");
}

TEST(LineEditor, BreaksRowsBeforeTheyAreFull) {
  LineEditor editor;
  editor.begin("> ");
  type(editor, "abcd");
  EXPECT_EQ(editor.draw(6), "\r\033[J> abcd\r\n\r");
  type(editor, "\u4f60\u4f60\u4f60");
  EXPECT_EQ(editor.draw(6), "\033[1A\r\033[J> abcd\r\n\u4f60\u4f60\u4f60\r\n\r");
  type(editor, "\x01");
  EXPECT_EQ(editor.draw(6), "\033[2A\r\033[J> abcd\r\n\u4f60\u4f60\u4f60\r\n\033[2A\r\033[2C");
}

TEST(LineEditor, ShowsNoOrdersToTheTerminal) {
  LineEditor editor;
  editor.begin("> ");
  type(editor, "\033[200~a\033[31mb\033[201~");
  EXPECT_EQ(editor.draw(40).find("\033[31m"), std::string::npos);
}

TEST(EntryLines, QuotesJoinLines) {
  EntryLines lines;
  EXPECT_EQ(lines.add("one"), "one");
  EXPECT_EQ(lines.add("\"\"\"one"), std::nullopt);
  EXPECT_TRUE(lines.open());
  EXPECT_EQ(lines.add("/two"), std::nullopt);
  EXPECT_EQ(lines.add("three\"\"\""), "one\n/two\nthree");
  EXPECT_FALSE(lines.open());
  EXPECT_EQ(lines.add("\"\"\"all\"\"\""), "all");
}

}  // namespace
}  // namespace aviary
