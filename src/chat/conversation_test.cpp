#include "chat/conversation.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace aviary {
namespace {

Conversation example() {
  Conversation talk;
  talk.messages() = {{.role = Role::system, .content = "S"},
                     {.role = Role::user, .content = "one"},
                     {.role = Role::assistant, .content = "1", .reasoning = "hm"},
                     {.role = Role::user, .content = "two"},
                     {.role = Role::assistant, .content = "2"}};
  return talk;
}

TEST(Conversation, ForgetsQuestionsFromTheEnd) {
  Conversation talk = example();
  EXPECT_TRUE(talk.forget_reply());
  EXPECT_EQ(talk.messages().size(), 4u);
  EXPECT_EQ(talk.undo(1), 1);
  EXPECT_EQ(talk.messages().size(), 3u);
  EXPECT_EQ(talk.undo(5), 1);
  EXPECT_EQ(talk.messages().size(), 1u);
  EXPECT_FALSE(talk.forget_reply());
  talk = example();
  talk.clear();
  EXPECT_EQ(talk.messages().size(), 1u);
}

TEST(Conversation, BranchesAreIndependentCopies) {
  Conversation talk = example();
  talk.branch("other");
  talk.undo(1);
  EXPECT_EQ(talk.length("main"), 5u);
  EXPECT_EQ(talk.length("other"), 3u);
  talk.go_to("main");
  EXPECT_EQ(talk.messages().size(), 5u);
  EXPECT_EQ(talk.names(), (std::vector<std::string>{"main", "other"}));
  EXPECT_THROW(talk.branch("other"), Error);
  EXPECT_THROW(talk.branch("two words"), Error);
  EXPECT_THROW(talk.branch(""), Error);
  EXPECT_THROW(talk.go_to("nowhere"), Error);
}

TEST(Conversation, SurvivesAFile) {
  Conversation talk = example();
  talk.branch("other");
  talk.undo(1);
  const Conversation again(talk.json(), "file");
  EXPECT_EQ(again.json(), talk.json());
  EXPECT_EQ(again.current(), "other");
  EXPECT_EQ(again.messages()[2].reasoning, "hm");
}

TEST(Conversation, OtherFilesAreRefused) {
  for (
      const char* text :
      {"", "{}", "[]", R"({"format":"other","branch":"a","branches":[]})",
       R"({"format":"aviary-chat","branch":"a","branches":[]})",
       R"({"format":"aviary-chat","branch":"b","branches":[{"name":"a","messages":[]}]})",
       R"({"format":"aviary-chat","branch":"a","branches":[{"name":"a","messages":[{"role":"x","content":""}]}]})",
       R"({"format":"aviary-chat","branch":"a","branches":[{"name":"a","messages":[3]}]})"})
    EXPECT_THROW(Conversation(text, "file"), Error) << text;
}

}  // namespace
}  // namespace aviary
