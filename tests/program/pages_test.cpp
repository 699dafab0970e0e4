// The commands of the pages on data, chats, the server, states and grammars, on a small model with the names
// that the pages use.
#include <gtest/gtest.h>

#include <csignal>

#include "documents.h"
#include "http/client.h"
#include "program.h"
#include "server.h"
#include "support/repository.h"

namespace aviary::program {
namespace {

class Page : public testing::Test {
 protected:
  Page() {
    train_tiny(folder_.path(), 2);
    fs::create_directory(folder_ / "runs");
    fs::rename(folder_ / "run", folder_ / "runs/austen");
    for (const char* model : {"rwkv7-g1a-0.4b.pth", "model.gguf"})
      fs::copy_file(folder_ / "runs/austen/model.safetensors", folder_ / model);
    write(folder_ / "question.txt", "How many legs has a spider?\n");
    write(folder_ / "chapter.txt", "The bird sang all day. It rained.\n");
    write(folder_ / "letter.txt", "My dear sister, the rain has ended.\n");
    write(folder_ / "keys.txt", "secret\n");
    for (const char* folder : {"corpus", "letters"}) {
      fs::create_directory(folder_ / folder);
      write(folder_ / folder / "one.txt", prose(2000, 1));
      write(folder_ / folder / "two.txt", prose(2000, 2));
    }
    write(folder_ / "person.json",
          R"({"type": "object", "properties": {"age": {"type": "integer", "maximum": 9}},
                                       "required": ["age"], "additionalProperties": false})");
    write(folder_ / "answer.gbnf",
          "root ::= (\"yes\" | \"no\") \", because \" reason \".\"\nreason ::= [a-z ]{5,60}\n");
  }

  // Runs the lines of a page in order; returns how many there were.
  int run_page(const std::string& name) {
    int lines = 0;
    for (const std::string& line : lines_in(read(repository() / name))) {
      SCOPED_TRACE(line);
      const bool ours = line.starts_with("aviary "), asks = line.starts_with("curl ");
      if (!ours && !asks) continue;
      ++lines;
      const Arguments words = words_of(line.substr(line.find(' ') + 1));
      if (asks)
        ask(words);
      else if (words[0] == "serve")
        serve(words);
      else if (words[0] == "watch")
        watch(words);
      else
        start_and_wait(words);
    }
    return lines;
  }

 private:
  void start_and_wait(Arguments words) {
    for (std::string& word : words)
      if (word == "http://127.0.0.1:8080") word = address();
    const bool talks = words[0] == "chat" && std::find(words.begin(), words.end(), "-p") == words.end();
    const bool short_already = std::find(words.begin(), words.end(), "-n") != words.end();
    if ((words[0] == "chat" || words[0] == "generate") && !short_already)
      words = words + Arguments{"-n", "20"};
    const fs::path input = talks ? folder_ / "question.txt" : fs::path("/dev/null");
    expect_success(run(folder_.path(), words, input));
  }

  void serve(const Arguments& words) {
    server_ = std::make_unique<Process>(folder_.path(), words + Arguments{"--port", "0"});
    const std::string shown = address_of(*server_);
    address_ = "http://127.0.0.1" + shown.substr(shown.rfind(':'));
  }

  void watch(const Arguments& words) {
    if (!has_page()) return;
    Process watching(folder_.path(), words + Arguments{"--port", "0"});
    const http::HttpClient client(address_of(watching));
    EXPECT_NE(client.get("/v1/aviary/runs").body.find("\"austen\""), std::string::npos);
    watching.signal(SIGINT);
    EXPECT_EQ(watching.wait().code, 0);
  }

  std::string address() {
    if (!server_) serve({"serve", "runs/austen"});
    return address_;
  }

  // A line of curl: an address of the page, and -d, -X, --data-binary @FILE or -o FILE.
  void ask(const Arguments& words) {
    std::string method = "GET", path, body, out;
    for (size_t i = 0; i < words.size(); ++i) {
      constexpr std::string_view host = "http://localhost:8080";
      if (words[i].starts_with(host)) path = words[i].substr(host.size());
      if (words[i] == "-X") method = words.at(++i);
      if (words[i] == "-o") out = words.at(++i);
      if (words[i] == "--data-binary") body = read(folder_ / words.at(++i).substr(1));
      if (words[i] != "-d") continue;
      body = words.at(++i);
      method = "POST";
    }
    std::string answer;
    const http::ClientReply reply =
        http::HttpClient(address()).stream(method, path, {}, body, [&](std::string_view bytes) {
          answer += bytes;
          return true;
        });
    EXPECT_EQ(reply.status, 200) << reply.body;
    if (!out.empty()) write(folder_ / out, answer);
  }

  const TestFolder folder_;
  std::unique_ptr<Process> server_;
  std::string address_;
};

TEST_F(Page, Chat) { EXPECT_GE(run_page("docs/chat.md"), 4); }
TEST_F(Page, Serving) { EXPECT_GE(run_page("docs/serving.md"), 4); }
TEST_F(Page, States) { EXPECT_GE(run_page("docs/states.md"), 15); }
TEST_F(Page, Data) { EXPECT_EQ(run_page("docs/data.md"), 4); }
TEST_F(Page, ThePage) { EXPECT_EQ(run_page("docs/page.md"), 3); }
TEST_F(Page, Grammars) { EXPECT_GE(run_page("docs/grammars.md"), 3); }

}  // namespace
}  // namespace aviary::program
