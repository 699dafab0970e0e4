// aviary watch as its users meet it: runs are looked at, and, where that is allowed, stopped, gone on with
// and begun.
#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/json.h"
#include "base/platform.h"
#include "http/client.h"
#include "program.h"
#include "server.h"

namespace aviary::program {
namespace {

using nlohmann::json;

http::Headers joined(http::Headers first, const http::Headers& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

class Watch : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_page()) GTEST_SKIP() << "built without the page";
    train_tiny(folder_.path(), 4);
    fs::create_directory(folder_ / "runs");
    fs::rename(folder_ / "run", folder_ / "runs/one");
  }
  void TearDown() override {
    if (!fs::exists(folder_ / "runs")) return;
    for (const auto& entry : fs::directory_iterator(folder_ / "runs"))
      if (const int64_t id = platform::lock_holder(entry.path())) platform::interrupt_process(id);
  }

  void start(const Arguments& arguments = {}) {
    server_ = std::make_unique<Process>(folder_.path(), Arguments{"watch", "--port", "0"} + arguments);
    address_ = address_of(*server_);
  }
  json get(const std::string& path) const {
    const http::ClientReply reply = http::HttpClient(address_).get("/v1/aviary/" + path);
    EXPECT_EQ(reply.status, 200) << path << " " << reply.body;
    return parse_json(reply.body, path);
  }
  http::ClientReply post(const std::string& path, const std::string& body = "{}",
                         const http::Headers& headers = {}) const {
    const http::Headers type{{"Content-Type", "application/json"}};
    return http::HttpClient(address_).post("/v1/aviary/" + path, joined(type, headers), body);
  }
  json run_named(const std::string& name) const {
    const json all = get("runs");
    for (const json& run : all["runs"])
      if (run["name"] == name) return run;
    return {};
  }
  template <typename Condition>
  void wait_for(Condition condition, const char* what) const {
    for (int i = 0; i < 6000; ++i) {
      if (condition()) return;
      sleep_for(0.01);
    }
    ADD_FAILURE() << what;
  }

  TestFolder folder_;
  std::unique_ptr<Process> server_;
  std::string address_;
};

TEST_F(Watch, ShowsRunsAndEndsWhenItIsAsked) {
  start();
  const json run = run_named("one");
  EXPECT_EQ(run["running"], false);
  EXPECT_EQ(run["config"]["context"], 16);
  EXPECT_EQ(get("runs/" + run["id"].dump() + "/log")["step"], 4);
  EXPECT_EQ(get("about")["control"], false);
  EXPECT_TRUE(get("about")["models"].empty());
  const http::ClientReply refused = post("runs/" + run["id"].dump() + "/resume");
  EXPECT_EQ(refused.status, 403);
  EXPECT_NE(refused.body.find("--control"), std::string::npos);
  EXPECT_EQ(http::HttpClient(address_).post("/v1/chat/completions", {}, "{}").status, 404);
  server_->signal(SIGINT);
  EXPECT_EQ(server_->wait().code, 0);
}

TEST_F(Watch, RefusesWhatItCannotShow) {
  expect_refusal(run(folder_.path(), {"watch", "nowhere"}), {"nowhere", "no such folder"});
  fs::create_directory(folder_ / "empty");
  expect_refusal(run(folder_.path(), {"watch", "empty"}), {"empty", "log.jsonl"});
  expect_refusal(run(folder_.path(), {"watch", "--control", "--host", "0.0.0.0"}),
                 {"--control", "--api-key"});
  expect_refusal(run(folder_.path(), {"watch", "--api-key", ""}), {"--api-key is empty"});
}

TEST_F(Watch, AsksForAKeyAndForNoPageOfOthers) {
  start({"--control", "--api-key", "secret"});
  const http::Headers key{{"Authorization", "Bearer secret"}};
  EXPECT_EQ(http::HttpClient(address_).get("/v1/aviary/runs").status, 401);
  EXPECT_EQ(http::HttpClient(address_).get("/v1/aviary/runs", key).status, 200);
  EXPECT_EQ(post("runs/0/stop").status, 401);
  EXPECT_EQ(post("runs/0/stop", "{}", key).status, 400);  // nobody trains there
  EXPECT_EQ(post("runs/0/stop", "{}", joined(key, {{"Origin", "http://example.com"}})).status, 403);
  EXPECT_EQ(http::HttpClient(address_)
                .post("/v1/aviary/runs/0/stop",
                      joined(key, {{"Sec-Fetch-Site", "same-origin"}, {"Content-Type", "text/plain"}}), "{}")
                .status,
            415);
}

TEST_F(Watch, ARunIsStoppedWithEverythingSavedAndGoesOnAfterTheServerHasEnded) {
  write(folder_ / "text.txt", prose(4000));
  Process training(folder_.path(),
                   Arguments{"train", "text.txt", "--out", "runs/long", "--steps", "100000"} + tiny);
  start({"--control"});
  wait_for([&] { return run_named("long")["running"] == true && !run_named("long")["config"].is_null(); },
           "it trains");
  const std::string id = run_named("long")["id"].dump();
  wait_for([&] { return get("runs/" + id + "/log")["step"] > 5; }, "it takes steps");
  EXPECT_EQ(post("runs/" + id + "/resume").status, 400);
  EXPECT_EQ(post("runs/" + id + "/stop").status, 200);  // of a process that was started elsewhere
  const Outcome stopped = training.wait();
  EXPECT_EQ(stopped.code, 130);
  EXPECT_NE(stopped.out.find("everything is saved"), std::string::npos) << stopped.out;
  const int64_t steps = get("runs/" + id + "/log")["step"];
  EXPECT_EQ(run_named("long")["running"], false);

  EXPECT_EQ(post("runs/" + id + "/resume").status, 200);
  EXPECT_EQ(run_named("long")["running"], true);
  wait_for([&] { return get("runs/" + id + "/log")["step"] > steps + 5; }, "it goes on");
  server_->signal(SIGINT);
  EXPECT_EQ(server_->wait().code, 0);
  start({"--control", "runs"});
  EXPECT_EQ(run_named("long")["running"], true);
  const std::string now = run_named("long")["id"].dump();
  EXPECT_EQ(post("runs/" + now + "/stop").status, 200);
  wait_for([&] { return run_named("long")["running"] == false; }, "it ends");
  EXPECT_NE(get("runs/" + now + "/output")["text"].get<std::string>().find("everything is saved"),
            std::string::npos);
}

TEST_F(Watch, AFinishedRunGoesOnWithMoreSteps) {
  start({"--control"});
  const std::string id = run_named("one")["id"].dump();
  EXPECT_EQ(post("runs/" + id + "/resume", R"({"steps":3})").status, 200);  // fewer than are done
  wait_for([&] { return run_named("one")["running"] == false; }, "it is refused");
  EXPECT_NE(run_named("one")["problem"].get<std::string>().find("has done 4 steps"), std::string::npos);
  EXPECT_EQ(post("runs/" + id + "/resume", R"({"steps":12})").status, 200);
  wait_for([&] { return get("runs/" + id + "/log")["step"] == 12; }, "it takes the new steps");
  wait_for([&] { return run_named("one")["running"] == false; }, "it ends");
  EXPECT_EQ(run_named("one")["problem"], "");
  EXPECT_EQ(run_named("one")["config"]["steps"], 12);
  const json layers = get("runs/" + id + "/layers");
  EXPECT_EQ(layers["step"], json::array({1, 10}));
  EXPECT_EQ(layers["norms"].size(), 2 * layers["rows"].get<size_t>());
}

TEST_F(Watch, ARunIsTunedFromRowsThatThePageSends) {
  start({"--control"});
  std::string rows;
  for (int i = 0; i < 20; ++i)
    rows += "{\"prompt\": \"the bird \", \"completion\": \"sings over a river\"}\n";
  json wish{{"run", run_named("one")["id"]},
            {"name", "birds.jsonl"},
            {"rows", rows},
            {"method", "lora"},
            {"steps", 3}};
  json draft = parse_json(post("tune/plan", wish.dump()).body, "draft");
  const std::string place = "tune/" + draft["draft"].dump();
  wait_for([&] { return (draft = get(place))["state"] != "planning"; }, "it is planned");
  EXPECT_EQ(draft["state"], "ready") << draft;
  EXPECT_NE(draft["text"].get<std::string>().find("20 documents"), std::string::npos) << draft;
  const json begun = parse_json(post(place + "/begin").body, "begun");
  EXPECT_EQ(begun["name"], "birds");
  wait_for(
      [&] {
        return fs::exists(folder_ / "runs/birds/adapter.safetensors") &&
               run_named("birds")["running"] == false;
      },
      "it is finished");
  EXPECT_EQ(run_named("birds")["problem"], "");
  EXPECT_EQ(get("runs/" + begun["run"].dump() + "/log")["step"], 3);

  wish["rows"] = "{\"prompt\": \"no completion\n";
  wish["name"] = "broken.jsonl";
  draft = parse_json(post("tune/plan", wish.dump()).body, "draft");
  wait_for([&] { return (draft = get("tune/" + draft["draft"].dump()))["state"] != "planning"; },
           "it is refused");
  EXPECT_EQ(draft["state"], "refused") << draft;
  EXPECT_EQ(post("tune/" + draft["draft"].dump() + "/give-up").status, 200);
  EXPECT_FALSE(fs::exists(folder_ / "runs/broken"));
}

}  // namespace
}  // namespace aviary::program
