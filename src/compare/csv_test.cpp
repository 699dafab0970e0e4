#include "compare/csv.h"

#include <gtest/gtest.h>

namespace aviary {
namespace {

using Lines = std::vector<std::vector<std::string>>;

TEST(Csv, CellsInQuotesAreRead) {
  EXPECT_EQ(read_csv("a,b\n\"x, \"\"y\"\"\n\",2\r\n\n,\n"),
            (Lines{{"a", "b"}, {"x, \"y\"\n", "2"}, {"", ""}}));
  EXPECT_EQ(read_csv(""), Lines{});
  EXPECT_EQ(read_csv("\"never closed,\n1"), (Lines{{"never closed,\n1"}}));
}

TEST(Csv, CellsAreFoundByName) {
  const CsvTable table("a,b\n1,2\n3\n4,5,6\n");
  ASSERT_EQ(table.size(), 3u);
  EXPECT_EQ(table.at(0, "b"), "2");
  EXPECT_EQ(table.at(1, "b"), "");
  EXPECT_EQ(table.at(2, "a"), "4");
  EXPECT_EQ(table.at(2, "c"), "");
  EXPECT_EQ(CsvTable("").size(), 0u);
}

}  // namespace
}  // namespace aviary
