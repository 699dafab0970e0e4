// The report and the tables of a comparison with made-up numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "compare/results.h"

namespace aviary {
namespace {

MemberResult made_up(const std::string& name, double loss, double seconds_per_step) {
  MemberResult result;
  result.member = parse_member(name);
  result.config.model = result.member.model;
  result.config.model.n_embd = 64;
  result.config.context = 64;
  result.config.batch = 8;
  result.plan = {.parameters = 1234567, .training_bytes = 1 << 20, .tokens_per_second = 1000};
  result.cost.state_bytes = 1280;
  for (int64_t step = 1; step <= 200; ++step) {
    result.log.push_back({.step = step, .loss = loss + 3 / std::sqrt(static_cast<double>(step))});
    result.log.back().seconds = seconds_per_step;
    if (step % 20 == 0) result.log.back().validation_bits_per_byte = loss;
  }
  Measures measures{.windows = 10, .loss_by_position = {}, .generation = {{1024, 0.001}, {8192, 0.001}}};
  for (int t = 1; t <= 256; ++t) measures.loss_by_position.push_back(loss + 1.0 / t);
  result.measures = measures;
  return result;
}

ComparisonResult made_up_comparison() {
  ComparisonResult result;
  result.steps = 200;
  result.text_name = "a <b> & c.txt";
  result.shared.context = 64;
  result.shared.batch = 8;
  result.members = {made_up("rwkv4", 2, 0.01), made_up("rwkv7", 1.9, 0.02)};
  return result;
}

int count(const std::string& text, const std::string& part) {
  int number = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++number;
  return number;
}

TEST(Page, IsSelfContained) {
  const std::string page = page_of(made_up_comparison());
  EXPECT_EQ(count(page, "http"), count(page, "xmlns=\"http://www.w3.org/2000/svg\""))
      << "a link to elsewhere";
  EXPECT_EQ(count(page, "<script"), 0);
  EXPECT_EQ(count(page, "url("), 0);
  EXPECT_EQ(count(page, "<svg xmlns"), 4);
  EXPECT_EQ(count(page, "nan"), 0);
  EXPECT_NE(page.find("a &lt;b&gt; &amp; c.txt"), std::string::npos);
  EXPECT_NE(page.find("prefers-color-scheme:dark"), std::string::npos);
  for (const char* tag : {"table", "tr", "td", "th", "svg", "div", "main", "small", "span", "ul", "li"})
    EXPECT_EQ(count(page, std::string("<") + tag + " ") + count(page, std::string("<") + tag + ">"),
              count(page, std::string("</") + tag + ">"))
        << tag;
}

TEST(Page, NamesTheBestAndTheFastestMember) {
  const std::string page = page_of(made_up_comparison());
  EXPECT_NE(page.find("rwkv7 1.900, rwkv4 2.000"), std::string::npos);
  EXPECT_NE(page.find("rwkv4 was the first to finish its tokens, after 2.0 s"), std::string::npos);
  EXPECT_NE(page.find("lowest training loss was its own"), std::string::npos);
  EXPECT_NE(page.find("<td class=\"best\">1.9000"), std::string::npos);
  EXPECT_EQ(page.find("<td class=\"best\">2.0000"), std::string::npos);
}

TEST(Page, ShowsTheResultsOfAnUnfinishedComparison) {
  ComparisonResult result = made_up_comparison();
  result.members[0].log.resize(50);
  result.members[0].measures.reset();
  result.members[1].log.clear();
  result.members[1].measures.reset();
  std::string page = page_of(result);
  EXPECT_NE(page.find("at step 50"), std::string::npos);
  EXPECT_NE(page.find("not started"), std::string::npos);
  EXPECT_EQ(count(page, "nan"), 0);
  EXPECT_EQ(count(page, "inf"), 0);
  result.members[0].failure = "training diverged";
  page = page_of(result);
  EXPECT_NE(page.find("failed"), std::string::npos);
  EXPECT_NE(page.find("rwkv4: training diverged"), std::string::npos);
}

TEST(Page, MembersOfTheSameVersionHaveTheirOwnColors) {
  const std::vector<MemberResult> members = {made_up("rwkv4", 1, 1), made_up("rwkv7", 1, 1),
                                             made_up("rwkv4+head_qk=8", 1, 1),
                                             made_up("rwkv4+head_qk=16", 1, 1)};
  std::vector<std::string> colors = colors_of(members);
  std::sort(colors.begin(), colors.end());
  EXPECT_EQ(std::unique(colors.begin(), colors.end()), colors.end());
}

TEST(Page, TablesHaveAsManyColumnsAsTheirHeads) {
  ComparisonResult result = made_up_comparison();
  result.members[1].measures.reset();
  for (const auto& [name, csv] : tables_of(result)) {
    std::istringstream lines(csv);
    std::string head, line;
    ASSERT_TRUE(std::getline(lines, head));
    int rows = 0;
    for (; std::getline(lines, line); ++rows)
      EXPECT_EQ(std::count(line.begin(), line.end(), ','), std::count(head.begin(), head.end(), ','))
          << name << ": " << line;
    EXPECT_EQ(rows, name == "members.csv"      ? 2
                    : name == "loss.csv"       ? 400
                    : name == "validation.csv" ? 20
                                               : 256)
        << name;
  }
}

}  // namespace
}  // namespace aviary
