// aviary chat: a pipe, one message, a terminal.
#include <gtest/gtest.h>

#include <cstdlib>

#include "http/client.h"
#include "program.h"
#include "server.h"

namespace aviary::program {
namespace {

class Chat : public testing::Test {
 protected:
  Chat() { train_tiny(folder_.path(), 10); }
  const Arguments chat_ = {"chat", "run", "--tokens", "20", "--seed", "7", "--threads", "1"};
  const TestFolder folder_;
};

TEST_F(Chat, AnswersWhatComesThroughAPipe) {
  write(folder_ / "question.txt", "the bird\nand the sea\n");
  const Outcome outcome = run(folder_.path(), chat_, folder_ / "question.txt");
  expect_success(outcome);
  EXPECT_FALSE(outcome.out.empty());
  EXPECT_EQ(outcome.out.find('\033'), std::string::npos);
  EXPECT_EQ(run(folder_.path(), chat_, folder_ / "question.txt").out, outcome.out);
}

TEST_F(Chat, AnswersOneMessageOfTheCommandLine) {
  const Outcome outcome = run(folder_.path(), chat_ + Arguments{"-p", "the bird", "--quiet"});
  expect_success(outcome);
  EXPECT_FALSE(outcome.out.empty());
  EXPECT_EQ(outcome.err, "");
}

TEST_F(Chat, AMessageComesFromAFileOrTheStandardInputToo) {
  write(folder_ / "question.txt", "the bird\nand the sea");
  const std::string reply = run(folder_.path(), chat_ + Arguments{"-p", "the bird\nand the sea"}).out;
  EXPECT_FALSE(reply.empty());
  EXPECT_EQ(run(folder_.path(), chat_ + Arguments{"-f", "question.txt"}).out, reply);
  EXPECT_EQ(run(folder_.path(), chat_ + Arguments{"-p", "the bird\\nand the sea", "--escape"}).out, reply);
  for (const Arguments& input : {Arguments{}, Arguments{"-p", "-"}, Arguments{"-f", "-"}})
    EXPECT_EQ(run(folder_.path(), chat_ + input, folder_ / "question.txt").out, reply);
}

TEST_F(Chat, AnInputThatIsNoMessageIsRefused) {
  expect_refusal(run(folder_.path(), chat_), {"the standard input", "empty"});
  write(folder_ / "bad", " \n");
  expect_refusal(run(folder_.path(), chat_, folder_ / "bad"), {"there is no message"});
  write(folder_ / "bad", std::string("\xff\xfe:\0", 4));
  expect_refusal(run(folder_.path(), chat_, folder_ / "bad"), {"the standard input", "UTF-16"});
}

TEST_F(Chat, FlagsWithoutEffectAreRefused) {
  expect_refusal(run(folder_.path(), {"chat", "run", "--url", "http://127.0.0.1:1"}), {"--url"});
  expect_refusal(run(folder_.path(), {"chat", "run", "--chat-template", "other"}), {"--chat-template"}, 2);
  expect_refusal(run(folder_.path(), {"chat", "--url", "http://127.0.0.1:1", "-p", "x"}), {"127.0.0.1"});
  for (const Arguments& message : {Arguments{}, Arguments{"-p", "x"}, Arguments{"-f", "text.txt"}})
    expect_refusal(run(folder_.path(), chat_ + message + Arguments{"--load", "talk.json"}), {"--load"});
}

TEST_F(Chat, ConversesInATerminal) {
  Terminal terminal(folder_.path(), chat_);
  terminal.read_until(">>> ");
  terminal.type("the bird\r");
  terminal.read_until("limit of tokens");
  terminal.type("/nothing\r");
  terminal.read_until("there is no command");
  terminal.type("/stats\r");
  EXPECT_NE(terminal.read_until("all replies").find("20 tokens written"), std::string::npos);
  terminal.type("/branch other\r");
  terminal.read_until("a copy of main");
  terminal.type("/undo\r");
  terminal.read_until("1 question forgotten");
  terminal.type("\033[200~two\nlines\033[201~\r");
  terminal.read_until("limit of tokens");
  // Keys that come faster than they are read are not lost.
  terminal.type("\"\"\"three\rfour\"\"\"\r");
  terminal.read_until("limit of tokens");
  terminal.type("/save talk.json\r");
  terminal.read_until("is written");
  EXPECT_NE(read(folder_ / "talk.json").find("two\\nlines"), std::string::npos);
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0);
}

// $EDITOR writes the message, and Ctrl-R finds it again.
TEST_F(Chat, AnEditorAndTheHistoryHelpWithLongMessages) {
  write(folder_ / "write.sh", "printf 'a long\nmessage' > \"$1\"\n");
  ::setenv("VISUAL", "sh write.sh", 1);
  Terminal terminal(folder_.path(), chat_);
  ::unsetenv("VISUAL");
  terminal.read_until(">>> ");
  terminal.type("\x07");
  terminal.read_until("message");
  terminal.type("\r");
  terminal.read_until("limit of tokens");
  terminal.type("\x12long");
  terminal.read_until("(search 'long')");
  terminal.type("\r");
  terminal.read_until("limit of tokens");
  terminal.type("/save talk.json\r");
  terminal.read_until("is written");
  const std::string saved = read(folder_ / "talk.json");
  EXPECT_NE(saved.find("a long\\nmessage"), saved.rfind("a long\\nmessage"));
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.wait(), 0);
}

// Keeps the state after a turn as a.state, loads it again, and writes another turn after it.
void save_and_go_on(Terminal& terminal) {
  terminal.read_until(">>> ");
  terminal.type("the bird\r");
  terminal.read_until("limit of tokens");
  terminal.type("/save a.state\r");
  terminal.read_until("is written");
  terminal.type("/load a.state\r");
  terminal.read_until("after the state of");
  terminal.type("it sang\r");
  terminal.read_until("limit of tokens");
}

// What a state has read is not read again: a conversation goes on as it would have.
TEST_F(Chat, AStateIsSavedAndGoneOnFrom) {
  Terminal terminal(folder_.path(), chat_);
  save_and_go_on(terminal);
  terminal.type("/mix a.state 0.5 a.state 0.5\r");
  terminal.read_until("after 2 states");
  terminal.type("/load run/model.safetensors.state\r");
  terminal.read_until("No such file");
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.wait(), 0);
  const Outcome outcome = run(folder_.path(), chat_ + Arguments{"-p", "it sang", "--state", "a.state"});
  expect_success(outcome);
  expect_refusal(run(folder_.path(), chat_ + Arguments{"--load", "x", "--state", "a.state"}), {"--load"});
}

// The same model answers as if it were in this process; nothing stays in the server.
TEST_F(Chat, StatesGoThroughAServer) {
  Process server(folder_.path(), {"serve", "run", "--port", "0", "--threads", "1"});
  const std::string address = address_of(server);
  const Arguments remote = {"chat", "--url", address, "--tokens", "20", "--seed", "7"};
  Terminal terminal(folder_.path(), remote);
  save_and_go_on(terminal);
  terminal.type("/save b.state\r");
  terminal.read_until("is written");
  terminal.type("/mix a.state 0.5 b.state 0.5\r");
  terminal.read_until("after 2 states");
  EXPECT_NE(http::HttpClient(address).get("/v1/states").body.find("state_"), std::string::npos);
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.wait(), 0);
  EXPECT_EQ(http::HttpClient(address).get("/v1/states").body, R"({"object":"list","data":[]})");
  for (const char* state : {"a.state", "b.state"}) {
    const Arguments more = {"-p", "it sang", "--state", state};
    EXPECT_EQ(run(folder_.path(), remote + more).out, run(folder_.path(), chat_ + more).out);
  }
  expect_refusal(run(folder_.path(), remote + Arguments{"-p", "x", "--state", "run"}),
                 {"--state run", "kept after a text"});
}

TEST_F(Chat, CtrlCStopsAReplyAndNotTheProgram) {
  Terminal terminal(folder_.path(), {"chat", "run", "--tokens", "10000000", "--threads", "1"});
  terminal.read_until(">>> ");
  terminal.type("half a line\x03");
  terminal.read_until(">>> ");
  terminal.type("/exit\r");
  EXPECT_EQ(terminal.wait(), 0);
}

}  // namespace
}  // namespace aviary::program
