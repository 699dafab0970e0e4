#include "base/quotes.h"

#include <gtest/gtest.h>

namespace aviary {
namespace {

TEST(Quotes, NamesFromFilesStayOnOneLine) {
  EXPECT_EQ(in_quotes("emb.weight"), "'emb.weight'");
  EXPECT_EQ(in_quotes("a\nb\x7f"), "'a?b?'");
  EXPECT_EQ(in_quotes(std::string(100, 'x')), "'" + std::string(80, 'x') + "...'");
}

}  // namespace
}  // namespace aviary
