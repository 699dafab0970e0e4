#include "terminal/chat_session.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "support/repository.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

// Answers "re: QUESTION", and keeps what it was asked.
class EchoSource : public ReplySource {
 public:
  std::vector<ReplyRequest> asked;
  std::string failure;

  ReplyOutcome reply(const ReplyRequest& request, const ReplyWatch& watch) override {
    asked.push_back(request);
    if (!failure.empty()) throw Error(failure);
    watch.delta({.reasoning = "hm"});
    watch.delta(
        {.content = "re: " + request.messages.back().content,
         .logprobs = {
             {.bytes = "re", .logprob = -0.6931471805599453, .top = {{0, "re", -0.69}, {1, "so", -1.0}}}}});
    return {.usage = {.prompt_tokens = 10, .cached_tokens = 4, .tokens = 3}};
  }
  std::string state_after(const ReplyRequest& request) override {
    return request.state + "+" + std::to_string(request.messages.size());
  }
  std::string take_state(const std::string& bytes) override {
    if (bytes == "foreign") throw Error("the state was made with another model");
    return "<" + bytes + ">";
  }
  std::string mix_states(const std::vector<std::pair<std::string, double>>& parts) override {
    std::string mix;
    for (const auto& [state, weight] : parts) mix += state + "*" + std::to_string(weight).substr(0, 4);
    return mix;
  }
  std::string model() const override { return "echo"; }
  std::string chat_template() const override { return "world"; }
};

class Session : public testing::Test {
 protected:
  ChatScreen screen() {
    return {.write = [this](std::string_view bytes) { out += bytes; },
            .tell = [this](std::string_view line) { told += std::string(line) + "\n"; },
            .stopped = [] { return false; },
            .style = {.columns = 0, .styled = false}};
  }
  // What is told about an entry.
  std::string told_about(const std::string& entry) {
    told.clear();
    EXPECT_TRUE(session.handle(entry));
    return told;
  }
  const std::vector<Message>& messages() const { return session.conversation().messages(); }

  EchoSource source;
  std::string out, told;
  ChatSession session{source, {.system = "S"}, screen()};
};

TEST_F(Session, KeepsTheConversation) {
  session.handle("one");
  session.handle("two");
  EXPECT_EQ(out, "re: one\nre: two\n");
  ASSERT_EQ(messages().size(), 5u);
  EXPECT_EQ(messages()[0].content, "S");
  EXPECT_EQ(messages()[4].content, "re: two");
  EXPECT_EQ(messages()[4].reasoning, "hm");
  EXPECT_EQ(source.asked[1].messages.size(), 4u);
}

TEST_F(Session, ASlashIsACommandAndTwoAreText) {
  EXPECT_NE(told_about("/nothing here").find("there is no command '/nothing'"), std::string::npos) << told;
  EXPECT_TRUE(source.asked.empty());
  session.handle("//etc is a folder");
  EXPECT_EQ(source.asked[0].messages.back().content, "/etc is a folder");
  EXPECT_NE(told_about("/HELP").find("/undo [N]"), std::string::npos);
  EXPECT_EQ(source.asked.size(), 1u);
  for (const char* leaving : {"/exit", "/quit", "/bye", "/Bye "}) EXPECT_FALSE(session.handle(leaving));
  session.handle("  ");
  EXPECT_EQ(source.asked.size(), 1u);
}

TEST_F(Session, AFailureLosesNothing) {
  session.handle("one");
  source.failure = "the server is gone";
  EXPECT_EQ(told_about("two"), "the server is gone\n");
  EXPECT_EQ(messages().size(), 3u);
  told_about("/regen");
  EXPECT_EQ(messages().size(), 3u);
  EXPECT_THROW(session.ask("three"), Error);
}

TEST_F(Session, UndoRegenerateAndBranches) {
  session.handle("one");
  session.handle("two");
  told_about("/regen");
  EXPECT_EQ(source.asked.back().messages.size(), 4u);
  EXPECT_EQ(messages().size(), 5u);
  EXPECT_EQ(told_about("/branch side"), "[branch side, a copy of main]\n");
  EXPECT_EQ(told_about("/undo 2"), "[2 questions forgotten]\n");
  EXPECT_EQ(messages().size(), 1u);
  EXPECT_EQ(told_about("/undo"), "there is nothing to undo\n");
  EXPECT_EQ(told_about("/branches"), "  main: 5 messages\n* side: 1 messages\n");
  EXPECT_NE(told_about("/goto main").find("two"), std::string::npos);
  EXPECT_EQ(messages().size(), 5u);
  told_about("/clear");
  EXPECT_EQ(messages().size(), 1u);
}

TEST_F(Session, SettingsReachTheModel) {
  session.handle("/set temperature 0.5");
  session.handle("/set max_tokens 7");
  session.handle("/set seed 3");
  session.handle("/think a bit");
  session.handle("/template g1");
  session.handle("one");
  EXPECT_EQ(source.asked[0].settings.temperature, 0.5);
  EXPECT_EQ(source.asked[0].settings.max_tokens, 7);
  EXPECT_EQ(source.asked[0].thinking, Thinking::brief);
  EXPECT_EQ(source.asked[0].chat_template, "g1");
  session.handle("/regen");
  EXPECT_EQ(source.asked[1].settings.seed, 4u);
  session.handle("/set temperature usual");
  session.handle("one");
  EXPECT_EQ(source.asked[2].settings.temperature, std::nullopt);
  for (const char* wrong :
       {"/set temperature", "/set temperature x", "/set top_p 2", "/set speed 1", "/think much",
        "/template other", "/undo x", "/clear now", "/save", "/load /nowhere/x", "/read /nowhere/x"}) {
    told.clear();
    session.handle(wrong);
    EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 1) << wrong << ": " << told;
  }
  EXPECT_EQ(source.asked.size(), 3u);
}

TEST_F(Session, SavesAndLoads) {
  const TestFolder folder;
  session.handle("one");
  told_about("/save " + (folder / "talk.json").string());
  told_about("/clear");
  EXPECT_NE(told_about("/load " + (folder / "talk.json").string()).find("one"), std::string::npos);
  EXPECT_EQ(messages().size(), 3u);
}

TEST_F(Session, GoesOnAfterStates) {
  const TestFolder folder;
  const auto file = [&](const char* name) { return (folder / name).string(); };
  std::ofstream(folder / "a.state") << "A";
  std::ofstream(folder / "foreign.state") << "foreign";
  session.handle("one");
  EXPECT_EQ(source.asked.back().state, "");
  told_about("/save " + file("talk.state"));
  std::ifstream saved(folder / "talk.state");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(saved), {}), "+3");
  EXPECT_NE(told_about("/load " + file("foreign.state")).find("another model"), std::string::npos);
  EXPECT_EQ(messages().size(), 3u);
  told_about("/load " + file("a.state"));
  EXPECT_TRUE(messages().empty()) << "the state has read what was before";
  session.handle("two");
  EXPECT_EQ(source.asked.back().state, "<A>");
  EXPECT_EQ(source.asked.back().messages.size(), 1u);
  EXPECT_NE(told_about("/save " + file("talk.json")).find("follows a state"), std::string::npos);
  told_about("/mix " + file("a.state") + " 0.5 " + file("talk.state") + " 0.25");
  session.handle("three");
  EXPECT_EQ(source.asked.back().state, "<A>*0.50<+3>*0.25");
  for (const char* wrong : {"/mix", "/mix a.state", "/mix a.state x"})
    EXPECT_NE(told_about(wrong).find("/mix takes"), std::string::npos) << told;
  told_about("/clear");
  session.handle("four");
  EXPECT_EQ(source.asked.back().state, "");
}

TEST_F(Session, ReadsATextBeforeTheQuestion) {
  const TestFolder folder;
  std::ofstream(folder / "text.txt") << "The bird is blue.";
  EXPECT_NE(told_about("/read " + (folder / "text.txt").string()).find("17 B"), std::string::npos) << told;
  session.handle("What is blue?");
  ASSERT_EQ(source.asked[0].messages.size(), 3u);
  EXPECT_EQ(source.asked[0].messages[1].content, "The bird is blue.");
}

TEST_F(Session, SaysWhyAndHowMuch) {
  EXPECT_NE(told_about("/why").find("no reply"), std::string::npos);
  session.handle("one");
  EXPECT_NE(told_about("/why").find("1.0 bits  're'"), std::string::npos) << told;
  EXPECT_NE(told.find("'so' 37 %"), std::string::npos) << told;
  EXPECT_NE(told_about("/stats").find("prompt of 10 tokens, 4 of them known; 3 tokens written"),
            std::string::npos);
}

TEST(RemoteBody, HasWhatWasSetAndNothingElse) {
  const std::vector<Message> talk = {{.role = Role::system, .content = "S"},
                                     {.role = Role::assistant, .content = "a", .reasoning = "b"}};
  const auto plain = parse_json(remote_body({.messages = talk}, "bird"), "body");
  EXPECT_EQ(plain["model"], "bird");
  EXPECT_EQ(plain["messages"][1]["reasoning_content"], "b");
  EXPECT_TRUE(plain["stream"]);
  EXPECT_FALSE(plain.contains("temperature"));
  EXPECT_FALSE(plain.contains("reasoning_effort"));
  const auto set = parse_json(
      remote_body({.thinking = Thinking::none, .settings = {.temperature = 0.5, .seed = 7}}, "b"), "body");
  EXPECT_EQ(set["temperature"], 0.5);
  EXPECT_EQ(set["seed"], 7);
  EXPECT_EQ(set["reasoning_effort"], "none");
}

// The names in `text` that begin with a slash after a character of `before`.
std::set<std::string> commands_in(std::string_view text, std::string_view before) {
  std::set<std::string> names;
  for (size_t at = text.find('/'); at != text.npos; at = text.find('/', at + 1)) {
    if (at > 0 && before.find(text[at - 1]) == before.npos) continue;
    const size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz?", at + 1);
    if (end != at + 1) names.emplace(text.substr(at, end - at));
  }
  return names;
}

TEST(ChatCommands, ThePageExplainsThemAll) {
  std::set<std::string> known, explained;
  for (const auto& [names, help] : ChatSession::commands()) known.merge(commands_in(names, " "));
  known.erase("/?");
  std::ifstream page(repository() / "docs/chat.md");
  for (std::string line; std::getline(page, line);)
    if (line.starts_with("| `/")) explained.merge(commands_in(line.substr(0, line.find('|', 1)), "`"));
  EXPECT_EQ(explained, known);
}

}  // namespace
}  // namespace aviary
