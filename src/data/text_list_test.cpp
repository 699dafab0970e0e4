#include "data/text_list.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace aviary {
namespace {

void expect_refused(std::string_view bytes, const TextListOptions& options, const std::string& words) {
  try {
    read_text_list(bytes, "list", options);
    ADD_FAILURE() << "not refused: " << bytes;
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

TEST(TextListTest, PlainLinesAreTextsWithoutTheirEnds) {
  const TextList list = read_text_list("\xef\xbb\xbf one\r\n\n  \ntwo\nthree", "list", {});
  ASSERT_EQ(list.texts.size(), 3U);
  EXPECT_EQ(list.blank, 2);
  EXPECT_EQ(list.texts[0].text, " one");
  EXPECT_EQ(list.texts[1].text, "two");
  EXPECT_EQ(list.texts[1].line, 4);
  EXPECT_EQ(list.texts[2].text, "three");
}

TEST(TextListTest, RowsHaveTextsAndLabels) {
  const TextList list = read_text_list(
      "{\"text\": \"a\\nb\", \"label\": 3}\n\n{\"label\": \"x\", \"other\": [1], \"text\": \"c\"}\n", "list",
      {.labels = true});
  ASSERT_EQ(list.texts.size(), 2U);
  EXPECT_EQ(list.texts[0].text, "a\nb");
  EXPECT_EQ(list.texts[0].label, "3");
  EXPECT_EQ(list.texts[1].label, "x");
  EXPECT_EQ(list.texts[1].line, 3);
  const TextList renamed =
      read_text_list("{\"title\": \"t\", \"section\": true}", "list",
                     {.rename = {{"title", "text"}, {"section", "label"}}, .labels = true});
  EXPECT_EQ(renamed.texts[0].text, "t");
  EXPECT_EQ(renamed.texts[0].label, "true");
}

TEST(TextListTest, BadLinesAreNamed) {
  const TextListOptions labels{.labels = true};
  const std::string good = "{\"text\": \"a\", \"label\": \"x\"}\n";
  expect_refused(good + "{\"text\": \"b\"}", labels, "list:2: the row has no 'label'");
  expect_refused(good + "{\"label\": \"b\"}", labels, "list:2: the row has no 'text'");
  expect_refused(good + "{\"text\": 3, \"label\": 1}", labels, "list:2: 'text' is a JSON number");
  expect_refused(good + "{\"text\": \" \", \"label\": 1}", labels, "list:2: 'text' is empty");
  expect_refused(good + "{\"text\": \"b\", \"label\": 1.5}", labels, "list:2: 'label' is a JSON number");
  expect_refused(good + "{\"text\": \"b\", \"label\": \"\"}", labels, "list:2: 'label' is empty");
  expect_refused(good + "[1]", labels, "list:2");
  expect_refused(good + "{\"text\": ", labels, "list:2");
  expect_refused(good + "\xff", labels, "list:2: byte 0 of the line is not UTF-8");
  expect_refused("plain\n", labels, "list:1: expected a row");
  expect_refused("plain\n", {.rename = {{"a", "text"}}}, "--map");
  expect_refused(good, {.rename = {{"title", "text"}}}, "no row has the key");
  expect_refused(" \n\n", {}, "only empty lines");
}

}  // namespace
}  // namespace aviary
