// The requests that start and stop runs, with a stand-in for the program.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/json.h"
#include "page/file_end.h"
#include "page/no_models.h"
#include "page/page.h"
#include "support/fake_service.h"
#include "support/test_folder.h"
#include "train/trainer.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ControlRoutes : public testing::Test {
 protected:
  ControlRoutes() {
    fs::create_directories(run);
    std::ofstream(run / "checkpoint.safetensors") << "x";
    std::ofstream(run / "model.safetensors") << "x";
    TrainConfig config;
    config.model = {.version = "rwkv7", .n_layer = 1, .n_embd = 32, .vocab_size = 256, .head_size = 16};
    config.schedule.steps = 100;
    write_run_config(run, config);
    std::ofstream(folder / "aviary") << "#!/bin/sh\nprintf '[%s]' \"$@\"\n";
    fs::permissions(folder / "aviary", fs::perms::owner_all);
    const auto runs = std::make_shared<Runs>(std::vector<fs::path>{folder / "runs"});
    const auto control =
        std::make_shared<Control>(ControlOptions{.program = folder / "aviary",
                                                 .new_runs = folder / "runs",
                                                 .models = {{"bird", folder / "bird.safetensors"}}});
    add_runs(router, runs, control);
    add_control(router, runs, control);
    runs->list();
  }
  FakeAnswer ask(const std::string& method, const std::string& path, const std::string& body = "") {
    const auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = method, .path = "/v1/aviary/" + path, .body = body}, answer);
    return *answer;
  }
  json answer_to(const std::string& method, const std::string& path, const std::string& body = "") {
    const FakeAnswer answer = ask(method, path, body);
    EXPECT_EQ(answer.status, 200) << path << " " << answer.body;
    return parse_json(answer.body, path);
  }
  json plan(const json& wish) {
    json draft = answer_to("POST", "tune/plan", wish.dump());
    for (int i = 0; i < 1000 && draft["state"] == "planning"; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      draft = answer_to("GET", "tune/" + draft["draft"].dump());
    }
    return draft;
  }
  json first_run() { return answer_to("GET", "runs")["runs"][0]; }

  TestFolder folder;
  const fs::path run = folder / "runs/one";
  NoModels none;
  Router router{none, {.keys = {}, .version = "1", .max_tokens = 0}};
};

TEST_F(ControlRoutes, WhatARunCanBeginWithIsTold) {
  const json choices = answer_to("GET", "tune");
  EXPECT_EQ(choices["bases"],
            parse_json(R"([{"name":"bird","model":"bird"},{"name":"one","run":0}])", "expected"));
  EXPECT_EQ(choices["methods"][0], "lora");
}

TEST_F(ControlRoutes, SettingsBecomeWordsOfACommand) {
  const json draft = plan({{"model", "bird"},
                           {"name", "rows.jsonl"},
                           {"rows", "{}"},
                           {"method", "lora"},
                           {"epochs", 0.5},
                           {"minutes", 2},
                           {"steps", 7},
                           {"learning_rate", 1e-5},
                           {"rank", 4}});
  EXPECT_EQ(draft["state"], "ready");
  EXPECT_EQ(draft["text"],
            "[tune][" + (folder / "bird.safetensors").string() + "][" +
                (folder / "runs/rows/rows.jsonl").string() + "][--out][" + (folder / "runs/rows").string() +
                "][--method][lora][--epochs][0.5][--minutes][2][--steps][7][--learning-rate][1e-05]"
                "[--rank][4][--plan]");
  const json begun = answer_to("POST", "tune/" + draft["draft"].dump() + "/begin");
  EXPECT_EQ(begun["name"], "rows");
  const json runs = answer_to("GET", "runs")["runs"];
  EXPECT_EQ(runs[0]["id"], begun["run"]);  // before it has written anything
  EXPECT_EQ(ask("GET", "tune/" + draft["draft"].dump()).status, 404);
}

TEST_F(ControlRoutes, ARunIsABaseByItsNumber) {
  const json draft = plan({{"run", 0}, {"name", "rows.jsonl"}, {"rows", "{}"}});
  EXPECT_TRUE(
      draft["text"].get<std::string>().starts_with("[tune][" + (run / "model.safetensors").string() + "]"));
  EXPECT_EQ(answer_to("POST", "tune/" + draft["draft"].dump() + "/give-up")["given_up"], true);
  EXPECT_FALSE(fs::exists(folder / "runs/rows"));
  fs::remove(run / "model.safetensors");
  EXPECT_EQ(ask("POST", "tune/plan", R"({"run":0,"name":"a","rows":"{}"})").status, 400);
  EXPECT_EQ(ask("POST", "tune/plan", R"({"run":9,"name":"a","rows":"{}"})").status, 404);
}

TEST_F(ControlRoutes, PathsAndOtherSettingsAreNotTaken) {
  for (const char* wish :
       {R"({"model":"../../etc/passwd","name":"a","rows":"{}"})", R"({"model":7,"name":"a","rows":"{}"})",
        R"({"name":"a","rows":"{}"})", R"({"model":"bird","rows":"{}"})", R"({"model":"bird","name":"a"})",
        R"({"model":"bird","name":"a","rows":"  "})",
        R"({"model":"bird","name":"a","rows":"{}","method":"--out"})",
        R"({"model":"bird","name":"a","rows":"{}","epochs":"2; ls"})",
        R"({"model":"bird","name":"a","rows":"{}","steps":-1})", "[", "[]"}) {
    const int status = ask("POST", "tune/plan", wish).status;
    EXPECT_TRUE(status == 400 || status == 404) << wish << " " << status;
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "runs"), fs::directory_iterator()), 1);
}

TEST_F(ControlRoutes, ARunGoesOnAndItsOutputIsTold) {
  EXPECT_EQ(first_run()["checkpoint"], true);
  EXPECT_EQ(answer_to("GET", "runs/0/output")["text"], "");
  answer_to("POST", "runs/0/resume");
  for (int i = 0; i < 1000 && first_run()["running"] == true; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(answer_to("GET", "runs/0/output")["text"], "[train][--resume][" + run.string() + "]");
  for (const char* steps : {"0", "-3", "1.5", "\"9; ls\"", "[]"})
    EXPECT_EQ(ask("POST", "runs/0/resume", fmt::format("{{\"steps\":{}}}", steps)).status, 400) << steps;
  answer_to("POST", "runs/0/resume", R"({"steps":150})");
  for (int i = 0; i < 1000 && first_run()["running"] == true; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(answer_to("GET", "runs/0/output")["text"].get<std::string>().ends_with("[--steps][150]"));
  EXPECT_EQ(ask("POST", "runs/0/stop").status, 400);
  EXPECT_EQ(ask("POST", "runs/5/stop").status, 404);
  EXPECT_EQ(ask("POST", "runs/x/resume").status, 404);
  EXPECT_EQ(ask("GET", "runs/0/stop").status, 405);
}

}  // namespace
}  // namespace aviary
