#include "compare/member.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace aviary {
namespace {

std::string error_of(const std::string& list) {
  try {
    parse_members(list);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Member, IsAVersionWithOptions) {
  const std::vector<Member> members =
      parse_members("rwkv7,rwkv4+recipe=v4-original+head_qk=32,rwkv7+head_size=16");
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members[0].name, "rwkv7");
  EXPECT_EQ(members[0].model, ModelConfig{.version = "rwkv7"});
  EXPECT_EQ(members[1].name, "rwkv4+recipe=v4-original+head_qk=32");
  EXPECT_EQ(members[1].model.version, "rwkv4");
  EXPECT_EQ(members[1].model.recipe, "v4-original");
  EXPECT_EQ(members[1].model.options.number("head_qk"), 32);
  EXPECT_EQ(members[2].model.head_size, 16);
}

TEST(Member, InvalidMembersAreErrors) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "expected names between commas"},
      {"rwkv4,", "expected names between commas"},
      {"rwkv99", "rwkv99"},
      {"rwkv4,rwkv7,rwkv4", "rwkv4 is there twice"},
      {"rwkv4+fly=1", "\"fly=1\" is nothing that rwkv4 takes"},
      {"rwkv4+head_qk", "OPTION=VALUE"},
      {"rwkv4+head_qk=many", "expected a number"},
      {"rwkv4+head_qk=-3", "expected a number"},
      {"rwkv4+head_qk=3x", "expected a number"},
      {"rwkv4+n_embd=64", "nothing that rwkv4 takes"},  // shared by all
      {"rwkv7+tiny_att_dim=8", "nothing that rwkv7 takes"},
      {"../rwkv4", "character"},
      {"rwkv4 ,rwkv7", "character"},
  };
  for (const auto& [list, words] : cases)
    EXPECT_NE(error_of(list).find(words), std::string::npos) << list << ": " << error_of(list);
}

}  // namespace
}  // namespace aviary
