#include "chat/reply_parser.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace aviary {
namespace {

using Events = std::vector<ReplyEvent>;
using Kind = ReplyEvent::Kind;

// Appends events; pieces of the same kind are joined, as their split carries no meaning.
void append(Events& all, const Events& more) {
  for (const ReplyEvent& event : more) {
    const bool piece = event.kind != Kind::call_begin && event.kind != Kind::call_end;
    if (piece && !all.empty() && all.back().kind == event.kind)
      all.back().text += event.text;
    else
      all.push_back(event);
  }
}

Events parsed(const ReplyForm& form, const std::vector<std::string>& pieces) {
  ReplyParser parser(form);
  Events all;
  for (const std::string& piece : pieces) append(all, parser.push(piece));
  append(all, parser.finish());
  return all;
}

ReplyEvent thought(const std::string& text) { return {Kind::reasoning, text}; }
ReplyEvent content(const std::string& text) { return {Kind::content, text}; }

void add_call(Events& events, const std::string& name, const std::string& arguments, bool complete = true) {
  events.push_back({Kind::call_begin, name});
  if (!arguments.empty()) events.push_back({Kind::call_arguments, arguments});
  events.push_back({Kind::call_end, "", complete});
}

const ReplyForm usual{.thoughts = true};
const ReplyForm with_tools{.thoughts = true, .tools = {"f", "a \"b\""}};
const ReplyForm open_thought{.thoughts = true, .thought_open = true, .marker_rest = ">", .tools = {"f"}};
const ReplyForm empty_thought{.thoughts = true, .marker_rest = ">"};

struct Case {
  const ReplyForm* form;
  std::string text;
  Events events;
};

std::vector<Case> cases() {
  std::vector<Case> all = {
      {&usual, "", {}},
      {&usual, " Hello\n\nworld ", {content("Hello\n\nworld ")}},
      {&usual, "\n<think>\n I see.\n</think>\n\nYes", {thought("I see."), content("Yes")}},
      {&usual, "<think></think>Yes", {content("Yes")}},
      {&usual, "a <think> b", {content("a <think> b")}},
      {&usual, "<thin", {content("<thin")}},
      {&usual, "<think>no end </thin", {thought("no end </thin")}},
      {&usual,
       "```json\n{\"name\":\"f\",\"arguments\":{}}\n```",
       {content("```json\n{\"name\":\"f\",\"arguments\":{}}\n```")}},
      {&open_thought,
       ">\nfirst\n\nsecond </b>\n</think>\nYes",
       {thought("first\n\nsecond </b>"), content("Yes")}},
      {&open_thought, "no bracket</think>Yes", {thought("no bracket"), content("Yes")}},
      {&empty_thought, ">\nYes", {content("Yes")}},
      {&empty_thought, "Yes", {content("Yes")}},
      {&with_tools,
       "```json\n{\"name\":\"g\",\"arguments\":{}}\n```",
       {content("```json\n{\"name\":\"g\",\"arguments\":{}}\n```")}},
      {&with_tools, "see \n```json\n[1, 2]\n```\n", {content("see \n```json\n[1, 2]\n```\n")}},
      {&with_tools, "a ``` b ```js", {content("a ``` b ```js")}},
      {&with_tools,
       "x ```json" + std::string(2000, ' ') + "{",
       {content("x ```json" + std::string(2000, ' ') + "{")}},
      {&with_tools, "end \n", {content("end \n")}},
  };
  Case one{&with_tools,
           "Wait.\n```json\n{\"name\":\"f\",\"arguments\":{\"x\": \"a```b\"}}\n```\n",
           {content("Wait.")}};
  add_call(one.events, "f", "{\"x\": \"a```b\"}");
  all.push_back(one);
  Case two{&with_tools,
           "```json { \"name\" : \"a \\\"b\\\"\" , \"arguments\" : { } }```\n\n```json\n{\"name\":\"f\","
           "\"arguments\":{\"y\":[1]}}\n``` done",
           {}};
  add_call(two.events, "a \"b\"", "{ }");
  add_call(two.events, "f", "{\"y\":[1]}");
  two.events.push_back(content("done"));
  all.push_back(two);
  Case cut{&with_tools, "```json\n{\"name\":\"f\",\"arguments\":{\"x\": \"a", {}};
  add_call(cut.events, "f", "{\"x\": \"a", false);
  all.push_back(cut);
  Case broken{&with_tools, "```json\n{\"name\":\"f\",\"arguments\":{\"x\": oops}}\n```", {}};
  add_call(broken.events, "f", "{\"x\": ", false);
  broken.events.push_back(content("oops}}\n```"));
  all.push_back(broken);
  Case unclosed{&with_tools, "```json\n{\"name\":\"f\",\"arguments\":{\"x\": 1}}\n``", {}};
  add_call(unclosed.events, "f", "{\"x\": 1}");
  all.push_back(unclosed);
  Case thinks{&open_thought, ">a</think>```json\n{\"name\":\"f\",\"arguments\":{}}\n```", {thought("a")}};
  add_call(thinks.events, "f", "{}");
  all.push_back(thinks);
  return all;
}

TEST(ReplyParser, TakesRepliesApart) {
  for (const Case& one : cases()) EXPECT_EQ(parsed(*one.form, {one.text}), one.events) << one.text;
}

TEST(ReplyParser, TheEventsDoNotDependOnTheSplit) {
  Random random(1);
  for (const Case& one : cases()) {
    std::vector<std::string> bytes;
    for (const char c : one.text) bytes.emplace_back(1, c);
    EXPECT_EQ(parsed(*one.form, bytes), one.events) << one.text;
    for (size_t cut = 0; cut <= one.text.size(); cut += 1 + cut / 64)
      EXPECT_EQ(parsed(*one.form, {one.text.substr(0, cut), one.text.substr(cut)}), one.events)
          << one.text << " cut at " << cut;
    for (int round = 0; round < 20; ++round) {
      std::vector<std::string> pieces;
      for (size_t at = 0; at < one.text.size();) {
        const auto length = static_cast<size_t>(random.below(12));
        pieces.push_back(one.text.substr(at, length));
        at += length;
      }
      EXPECT_EQ(parsed(*one.form, pieces), one.events) << one.text;
    }
  }
}

TEST(ReplyParser, TextThatCannotBeAMarkerIsNotHeldBack) {
  ReplyParser plain({});
  EXPECT_EQ(plain.push(" a\n"), Events{content("a\n")});
  ReplyParser parser(with_tools);
  EXPECT_EQ(parser.push(" a"), Events{content("a")});
  EXPECT_EQ(parser.push(" b ``"), Events{content(" b")});
  EXPECT_EQ(parser.push("`c"), Events{content(" ```c")});
  parser.push("```json\n{\"name\":\"f\",\"arguments\":");
  EXPECT_FALSE(parser.in_call());
  EXPECT_EQ(parser.push("{\"x"), (Events{{Kind::call_begin, "f"}, {Kind::call_arguments, "{\"x"}}));
  EXPECT_TRUE(parser.in_call());
}

TEST(ReplyParser, AContinuedReplyKeepsItsSpace) {
  EXPECT_EQ(parsed({.thoughts = true, .trims = false}, {" is\n"}), Events{content(" is\n")});
}

}  // namespace
}  // namespace aviary
