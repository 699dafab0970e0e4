#include "chat/clean.h"

#include <gtest/gtest.h>

namespace aviary {
namespace {

TEST(Clean, WhiteSpaceAroundATextIsRemovedInEveryScript) {
  EXPECT_EQ(trimmed(" \t\n a b \u3000\n"), "a b");
  EXPECT_EQ(trimmed(" \n"), "");
  EXPECT_EQ(trimmed("\xff a \xff"), "\xff a \xff");
}

TEST(Clean, ATurnHasNoEmptyLines) {
  EXPECT_EQ(clean_turn("\r\n\r\na\r\n\r\n\r\nb\n\n\nc\n"), "a\nb\nc");
  EXPECT_EQ(clean_turn("a\rb"), "a\rb");
  EXPECT_EQ(clean_turn(" \n "), "");
}

TEST(Clean, TheBillingLineIsRemoved) {
  EXPECT_EQ(without_billing_line("x-anthropic-billing-header: cc_version=2; cch=12ab;"), "");
  EXPECT_EQ(without_billing_line("x-anthropic-billing-header: cch=1;\n\nYou are helpful."),
            "You are helpful.");
  EXPECT_EQ(without_billing_line("About x-anthropic-billing-header"), "About x-anthropic-billing-header");
}

}  // namespace
}  // namespace aviary
