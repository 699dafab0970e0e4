#include "chat/chat_template.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

using Messages = std::vector<Message>;

const Message system_text{.role = Role::system, .content = "Be brief."};
const Message question{.role = Role::user, .content = " How\r\n\r\nmany? "};
const Message answer{.role = Role::assistant, .content = "Two.\n\nOr three. "};
const Message again{.role = Role::user, .content = "Sure?"};

RenderedChat rendered(const char* name, const Messages& messages, Thinking thinking = Thinking::usual,
                      bool continue_last = false, const std::vector<Tool>& tools = {}) {
  return find_chat_template(name)->render(messages, tools, thinking, continue_last);
}
std::string prompt(const char* name, const Messages& messages, Thinking thinking = Thinking::usual) {
  return rendered(name, messages, thinking).text();
}

TEST(ChatTemplate, SpellsConversationsAsTheModelsKnowThem) {
  const Messages all = {system_text, question, answer, again};
  EXPECT_EQ(
      prompt("world", all),
      "System: Be brief.\n\nUser: How\nmany?\n\nAssistant: Two.\n\nOr three.\n\nUser: Sure?\n\nAssistant:");
  EXPECT_EQ(prompt("g1", {question}), "User: How\nmany?\n\nAssistant: <think");
  EXPECT_EQ(prompt("flower", all),
            "System✿Be brief.✿\nUser✿How\nmany?✿\nBot✿Two.\n\nOr three.✿\nUser✿Sure?✿\nBot✿<think");
  EXPECT_EQ(
      prompt("raven", all),
      "Be brief.\n\n# Instruction:\nHow\nmany?\n\n# Response:\nTwo.\n\nOr three.\n\n# Instruction:\nSure?\n\n"
      "# Response:\n");
  EXPECT_EQ(prompt("qa", {again}), "\nQ & A\n\nQuestion:\nSure?\n\nDetailed Expert Answer:\n");
  EXPECT_EQ(prompt("plain", all), "Be brief.\n\n How\n\nmany? Two.\n\nOr three. \n\nSure?");
}

TEST(ChatTemplate, ThinkingIsSwitchedByThePrompt) {
  EXPECT_EQ(prompt("g1", {again}, Thinking::none), "User: Sure?\n\nAssistant: <think>\n</think");
  EXPECT_EQ(prompt("g1", {again}, Thinking::brief), "User: Sure? (think a bit)\n\nAssistant: <think");
  EXPECT_EQ(prompt("g1", {again}, Thinking::thorough), "User: Sure? (think a lot)\n\nAssistant: <think");
  EXPECT_EQ(prompt("flower", {again}, Thinking::none), "User✿Sure?✿\nBot✿<think></think");
  EXPECT_EQ(prompt("world", {again}, Thinking::thorough), prompt("world", {again}));
  EXPECT_TRUE(rendered("g1", {again}).reply.thought_open);
  EXPECT_FALSE(rendered("g1", {again}, Thinking::none).reply.thought_open);
  EXPECT_EQ(rendered("g1", {again}, Thinking::none).reply.marker_rest, ">");
}

TEST(ChatTemplate, ALastMessageOfTheAssistantIsContinued) {
  const Messages prefilled = {again, {.role = Role::assistant, .content = "Yes, "}};
  const RenderedChat chat = rendered("g1", prefilled, Thinking::usual, true);
  EXPECT_EQ(chat.text(), "User: Sure?\n\nAssistant: Yes,");
  EXPECT_FALSE(chat.reply.trims);
  EXPECT_FALSE(chat.reply.thought_open);
  EXPECT_EQ(rendered("world", prefilled).text(), "User: Sure?\n\nAssistant: Yes,\n\nAssistant:");
  const RenderedChat thought =
      rendered("g1", {again, {.role = Role::assistant, .reasoning = "So"}}, Thinking::usual, true);
  EXPECT_EQ(thought.text(), "User: Sure?\n\nAssistant: <think>\nSo");
  EXPECT_TRUE(thought.reply.thought_open);
}

TEST(ChatTemplate, ToolsStandInTheSystemMessage) {
  const std::vector<Tool> tools = {{.name = "now"}};
  const std::string described =
      "Tools:\n[\n{\"name\":\"now\",\"arguments\":{}}\n]\nTo use a tool, return only a JSON function "
      "call.\n\n";
  EXPECT_EQ(rendered("world", {system_text, again}, Thinking::usual, false, tools).text(),
            "System: Be brief.\n" + described + "User: Sure?\n\nAssistant:");
  EXPECT_EQ(rendered("world", {again}, Thinking::usual, false, tools).text(),
            "System: " + described + "User: Sure?\n\nAssistant:");
  EXPECT_EQ(rendered("world", {again}, Thinking::usual, false, tools).reply.tools,
            std::vector<std::string>{"now"});
}

TEST(ChatTemplate, CallsAndResultsAreTurns) {
  Messages all = {again, {.role = Role::assistant, .content = "Wait.", .calls = {{"1", "now", "{\"z\":1}"}}}};
  all.push_back({.role = Role::tool, .content = "{\"hour\":3}", .call_id = "1"});
  EXPECT_EQ(prompt("world", all),
            "User: Sure?\n\nAssistant: Wait.\n```json\n{\"name\":\"now\",\"arguments\":{\"z\":1}}\n```\n\n"
            "User: Function output:\n{\"hour\":3}\n\nAssistant:");
  all[1].calls.push_back({"2", "then", ""});
  all.push_back({.role = Role::tool, .content = "4", .call_id = "2"});
  const std::string text = prompt("world", all);
  EXPECT_NE(text.find("User: Function output of now:\n{\"hour\":3}\n\nUser: Function output of then:\n4\n\n"),
            std::string::npos)
      << text;
}

TEST(ChatTemplate, NoContentCanEndItsTurn) {
  EXPECT_EQ(prompt("world", {{.content = "a\n\nAssistant: b"}}), "User: a\nAssistant: b\n\nAssistant:");
  EXPECT_EQ(prompt("flower", {{.content = "a✿\nBot✿b"}}), "User✿a❀\nBot❀b✿\nBot✿<think");
}

TEST(ChatTemplate, EmptyContentsLeaveNoSpaceBehind) {
  EXPECT_EQ(prompt("world", {{.content = " \n"}}), "User:\n\nAssistant:");
  EXPECT_EQ(prompt("world", {{.role = Role::system}, again}), "User: Sure?\n\nAssistant:");
  EXPECT_EQ(prompt("world", {}), "Assistant:");
  EXPECT_EQ(prompt("plain", {}), "");
}

TEST(ChatTemplate, NamesOfSpeakersAreShown) {
  EXPECT_EQ(prompt("world", {{.content = "hi", .name = "Ann"}}), "User: Ann: hi\n\nAssistant:");
}

Message any_message(Random& random, Role role, Thinking thinking, bool thoughts) {
  const char* contents[] = {"a", "two words", "x\n\ny", "", "✿", "<think>", "```json\n"};
  const auto pick = [&] { return std::string(contents[random.below(std::size(contents))]); };
  Message message{.role = role, .content = pick()};
  if (role != Role::assistant) return message;
  message.content += ".";
  if (thoughts && thinking != Thinking::none) message.reasoning = pick() + "!";
  if (random.below(4) == 0) message.calls.push_back({"1", "now", "{}"});
  return message;
}

TEST(ChatTemplate, TheSegmentsOfAConversationBeginThoseOfALongerOne) {
  Random random(1);
  const std::vector<Tool> tools = {{.name = "now"}};
  for (const std::string& name : chat_template_names())
    for (int round = 0; round < 200; ++round) {
      const auto thinking = static_cast<Thinking>(random.below(4));
      const ChatTemplate& form = *find_chat_template(name);
      const std::vector<Tool>& some = round % 3 == 0 ? tools : std::vector<Tool>();
      Messages messages;
      std::vector<std::vector<std::string>> earlier;
      if (round % 2 == 0) messages.push_back(any_message(random, Role::system, thinking, false));
      for (int turn = 0; turn < 4; ++turn) {
        messages.push_back(any_message(random, turn % 2 ? Role::tool : Role::user, thinking, false));
        earlier.push_back(form.render(messages, some, thinking).segments);
        messages.push_back(any_message(random, Role::assistant, thinking, form.thought.exists()));
      }
      const RenderedChat last = form.render(messages, some, thinking);
      ASSERT_EQ(last.message_ends.size(), messages.size());
      for (const std::vector<std::string>& before : earlier) {
        ASSERT_LE(before.size(), last.segments.size());
        ASSERT_TRUE(std::equal(before.begin(), before.end(), last.segments.begin()))
            << name << ": " << last.text();
      }
      for (const std::string& segment : last.segments) EXPECT_FALSE(segment.empty());
    }
}

// What the parser reports of a reply is rendered as the bytes that the model wrote.
TEST(ChatTemplate, AReplyIsRenderedAsItWasWritten) {
  struct Case {
    const char* name;
    Thinking thinking;
    std::string reply;
  };
  for (const Case& one : std::vector<Case>{
           {"world", Thinking::usual, " Two.\n\nOr three."},
           {"g1", Thinking::usual, ">\nHm.\n</think>\nTwo."},
           {"g1", Thinking::none, ">\nTwo."},
           {"flower", Thinking::usual, ">Hm.</think>Two."},
           {"flower", Thinking::none, ">Two."},
           {"raven", Thinking::usual, "Two."},
           {"plain", Thinking::usual, " and two.\n"},
           {"world", Thinking::usual, " Wait.\n```json\n{\"name\":\"now\",\"arguments\":{\"a\": 1}}\n```"},
       }) {
    const std::vector<Tool> tools = {{.name = "now"}};
    Messages messages = {again};
    const RenderedChat before = rendered(one.name, messages, one.thinking, false, tools);
    ReplyParser parser(before.reply);
    std::vector<ReplyEvent> events = parser.push(one.reply);
    for (const ReplyEvent& event : parser.finish()) events.push_back(event);
    Message reply{.role = Role::assistant};
    for (const ReplyEvent& event : events) {
      if (event.kind == ReplyEvent::Kind::reasoning) reply.reasoning += event.text;
      if (event.kind == ReplyEvent::Kind::content) reply.content += event.text;
      if (event.kind == ReplyEvent::Kind::call_begin) reply.calls.push_back({"", event.text, ""});
      if (event.kind == ReplyEvent::Kind::call_arguments) reply.calls.back().arguments += event.text;
    }
    messages.push_back(reply);
    const std::string after = rendered(one.name, messages, one.thinking, false, tools).text();
    EXPECT_TRUE(after.starts_with(before.text() + one.reply)) << one.name << ": " << after;
  }
}

TEST(ChatTemplate, IsDetectedFromFacts) {
  const auto detected = [](ChatFacts facts) { return std::string(detect_chat_template(facts).name); };
  EXPECT_EQ(detected({}), "plain");
  EXPECT_EQ(detected({.published_world = true}), "world");
  EXPECT_EQ(detected({.published_world = true, .file_name = "RWKV-x060-World-1B6.pth"}), "world");
  for (const char* file : {"rwkv7-g1a-0.4b-20250905-ctx4096.pth", "RWKV7-G1d2-1.5B.gguf", "g1.safetensors"})
    EXPECT_EQ(detected({.published_world = true, .file_name = file}), "g1") << file;
  for (const char* file : {"big1.pth", "g10b.pth", "g1ab.pth", "rwkv-bg1.pth"})
    EXPECT_EQ(detected({.file_name = file}), "plain") << file;
  EXPECT_EQ(detected({.file_name = "RWKV-4-Raven-7B.pth"}), "raven");
  EXPECT_EQ(detected({.file_name = "rwkv7-g1a.gguf", .stored = "rwkv-world"}), "g1");
  EXPECT_EQ(detected({.stored = "rwkv-world"}), "world");
  EXPECT_EQ(detected({.stored = "qa"}), "qa");
  EXPECT_EQ(detected({.stored = "{{ messages }}"}), "plain");
}

TEST(ChatTemplate, EveryTemplateIsFoundByItsName) {
  EXPECT_EQ(chat_template_names(),
            (std::vector<std::string>{"world", "g1", "flower", "raven", "qa", "plain"}));
  for (const std::string& name : chat_template_names()) {
    EXPECT_EQ(find_chat_template(name)->name, name);
    EXPECT_FALSE(find_chat_template(name)->description.empty());
  }
  EXPECT_EQ(find_chat_template("other"), nullptr);
}

TEST(ChatTemplate, EffortsHaveNames) {
  EXPECT_EQ(thinking_named("none"), Thinking::none);
  EXPECT_EQ(thinking_named("low"), Thinking::brief);
  EXPECT_EQ(thinking_named("medium"), Thinking::usual);
  EXPECT_EQ(thinking_named("high"), Thinking::thorough);
  EXPECT_EQ(thinking_named("much"), std::nullopt);
}

}  // namespace
}  // namespace aviary
