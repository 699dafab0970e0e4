// aviary serve as its users meet it: started, asked, killed, started again.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "http/client.h"
#include "program.h"
#include "server.h"

#include <nlohmann/json.hpp>

namespace aviary::program {
namespace {

class Serve : public testing::Test {
 protected:
  void SetUp() override { train_tiny(folder_.path()); }

  // Starts the server and waits until it listens.
  void start(const Arguments& more = {}) {
    server_ = std::make_unique<Process>(folder_.path(), Arguments{"serve", "run", "--port", "0"} + more);
    address_ = address_of(*server_);
  }
  http::ClientReply post(const std::string& path, const std::string& body) const {
    return http::HttpClient(address_).post(path, {{"Content-Type", "application/json"}}, body);
  }
  nlohmann::json complete(const std::string& prompt, int seed) const {
    const http::ClientReply reply = post(
        "/v1/completions", nlohmann::json{{"prompt", prompt}, {"seed", seed}, {"max_tokens", 24}}.dump());
    EXPECT_EQ(reply.status, 200) << reply.body;
    return parse_json(reply.body, "reply");
  }
  void kill_and_compare(int kills);

  TestFolder folder_;
  std::unique_ptr<Process> server_;
  std::string address_;
};

TEST_F(Serve, AnswersUntilItIsAskedToEnd) {
  start();
  EXPECT_EQ(http::HttpClient(address_).get("/health").status, 200);
  const nlohmann::json first = complete("some words", 1), again = complete("some words", 1);
  EXPECT_EQ(first["choices"][0]["text"], again["choices"][0]["text"]);
  EXPECT_EQ(again["usage"]["prompt_tokens_details"]["cached_tokens"], again["usage"]["prompt_tokens"]);
  EXPECT_EQ(http::HttpClient(address_).get("/v1/nothing").status, 404);
  EXPECT_EQ(post("/v1/completions", "{").status, 400);
  server_->signal(SIGTERM);
  EXPECT_EQ(server_->wait().code, 0);
}

TEST_F(Serve, ConvertsAndMeasuresItsModelWhereThatIsAllowed) {
  start({"--control"});
  auto ended_task = [&] {
    nlohmann::json task;
    for (int i = 0; i < 6000 && (task.is_null() || task["state"] == "running"); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      task = parse_json(http::HttpClient(address_).get("/v1/aviary/model-work").body, "work")["task"];
    }
    return task;
  };
  EXPECT_EQ(post("/v1/aviary/model-work/convert", R"({"model":"run","type":"f16"})").status, 200);
  EXPECT_EQ(ended_task()["state"], "done");
  EXPECT_TRUE(fs::is_regular_file(folder_ / "run/model-f16.safetensors"));
  EXPECT_EQ(post("/v1/aviary/model-work/bench", R"({"model":"run"})").status, 200);
  const nlohmann::json measured = ended_task()["measured"];
  EXPECT_GT(measured["decode"][0]["tokens_per_second"], 0);
  EXPECT_GT(measured["prompt"]["share_of_product_peak"], 0);
}

TEST_F(Serve, AsksForAKeyWhereOneIsSet) {
  write(folder_ / "keys", "secret\r\nother\n");
  start({"--api-key-file", "keys"});
  const http::HttpClient client(address_);
  EXPECT_EQ(client.get("/v1/models").status, 401);
  EXPECT_EQ(client.get("/v1/models", {{"Authorization", "Bearer secret"}}).status, 200);
  EXPECT_EQ(client.get("/v1/models", {{"x-api-key", "other"}}).status, 200);
  EXPECT_EQ(client.get("/v1/models", {{"x-api-key", "secre"}}).status, 401);
}

TEST_F(Serve, RefusesWhatItCannotServe) {
  expect_refusal(run(folder_.path(), {"serve", "nothing.gguf", "--port", "0"}), {"nothing.gguf"});
  expect_refusal(run(folder_.path(), {"serve", "run", "run", "--port", "0"}), {"run", "--alias"});
  expect_refusal(run(folder_.path(), {"serve", "run", "--api-key", ""}), {"--api-key", "empty"});
  expect_refusal(run(folder_.path(), {"serve", "run", "--control", "--cors-origin", "http://a.example"}),
                 {"--control", "--cors-origin"});
  expect_refusal(run(folder_.path(), {"serve", "run", "--control", "--host", "0.0.0.0"}),
                 {"--control", "--api-key"});
  expect_refusal(run(folder_.path(), {"chat", "nothing.gguf", "-p", "Hi"}), {"nothing.gguf"});
  write(folder_ / "broken.safetensors", "no model");
  expect_refusal(run(folder_.path(), {"chat", "broken.safetensors", "-p", "Hi"}), {"broken.safetensors"});
  expect_refusal(
      run(folder_.path(), {"chat", "--url", "http://localhost:1", "--precision", "f32", "-p", "Hi"}),
      {"--url", "--precision"});
  expect_refusal(run(folder_.path(), {"serve", "run", "--state-cache", "much"}), {"--state-cache", "much"},
                 2);
  start();
  const std::string port = address_.substr(address_.rfind(':') + 1);
  expect_refusal(run(folder_.path(), {"serve", "run", "--port", port}), {port, "in use"});
}

// Killed at random moments while it answers and writes states; what it knows after the next start is right.
void Serve::kill_and_compare(int kills) {
  std::vector<std::string> prompts;
  for (uint64_t i = 0; i < 6; ++i) prompts.push_back(prose(300, 1) + prose(100, i));
  std::vector<nlohmann::json> expected;
  start();
  for (size_t i = 0; i < prompts.size(); ++i)
    expected.push_back(complete(prompts[i], static_cast<int>(i))["choices"]);
  Random random(7);
  int64_t known = 0;
  for (int round = 0; round < kills; ++round) {
    start({"--state-folder", "states"});
    std::atomic<bool> killed = false;
    std::thread client([&] {
      for (size_t i = 0; !killed; i = (i + 1) % prompts.size()) try {
          const nlohmann::json reply = complete(prompts[i], static_cast<int>(i));
          EXPECT_EQ(reply["choices"], expected[i]);
          known += reply["usage"]["prompt_tokens_details"]["cached_tokens"].get<int64_t>();
        } catch (const Error&) {  // cut by the kill
        }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(random.below(200)));
    server_->signal(SIGKILL);
    killed = true;
    client.join();
  }
  EXPECT_GT(known, 0);
  start({"--state-folder", "states"});
  for (size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(complete(prompts[i], static_cast<int>(i))["choices"], expected[i]);
}

TEST_F(Serve, WhatItKnowsAfterAKillIsRight) { kill_and_compare(5); }

class ServeLong : public Serve {};

TEST_F(ServeLong, WhatItKnowsAfterFiftyKillsIsRight) { kill_and_compare(50); }

}  // namespace
}  // namespace aviary::program
