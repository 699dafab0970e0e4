// Models that are converted and measured from the page, with a stand-in for the program.
#include "page/model_work.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/json.h"
#include "page/no_models.h"
#include "page/page.h"
#include "support/fake_service.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Tells its arguments; measures a speed; waits where it shall, until it is asked to stop.
constexpr const char* stand_in_at_work = R"(#!/bin/sh
here=$(dirname "$0")
printf '[%s]' "$@" >> "$here/asked"
echo 'measure 40 %'
trap 'exit 130' INT
while [ -e "$here/wait" ]; do sleep 0.02; done
if [ -e "$here/broken" ]; then echo 'aviary: this version cannot be written'; exit 1; fi
case "$1" in bench) printf '{\n  "decode": [{"batch": 1}]\n}\n';; *) echo 'x' > "$3"; echo '2 tensors';; esac
)";

class ModelWorkTest : public testing::Test {
 protected:
  ModelWorkTest() {
    std::ofstream(folder / "aviary") << stand_in_at_work;
    fs::permissions(folder / "aviary", fs::perms::owner_all);
    fs::create_directories(folder / "runs/one");
    fs::create_directories(folder / "flock-1.5");
    std::ofstream(folder / "runs/one/log.jsonl") << "{\"step\":1}\n";
    add_model_work(router, std::make_shared<Runs>(std::vector<fs::path>{folder / "runs"}),
                   std::make_shared<ModelWork>(folder / "aviary"),
                   {{"bird", folder / "bird.pth"}, {"flock", folder / "flock-1.5/"}});
  }
  ~ModelWorkTest() override { fs::remove(folder / "wait"); }

  FakeAnswer ask(const std::string& method, const std::string& path, const std::string& body = "") {
    const auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = method, .path = "/v1/aviary/" + path, .body = body}, answer);
    return *answer;
  }
  json task() { return parse_json(ask("GET", "model-work").body, "work")["task"]; }
  json ended_task() {
    for (int i = 0; i < 2000 && task()["state"] == "running"; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return task();
  }
  std::string asked() {
    std::ifstream file(folder / "asked");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void expect_busy(const std::string& path, const std::string& body, const char* why) {
    const FakeAnswer answer = ask("POST", path, body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    EXPECT_NE(answer.body.find(why), std::string::npos) << answer.body;
  }

  TestFolder folder;
  NoModels none;
  Router router{none, {.keys = {}, .version = "1", .max_tokens = 0}};
};

TEST_F(ModelWorkTest, AConversionWritesANewFileBesideTheModel) {
  EXPECT_TRUE(task().is_null());
  EXPECT_EQ(ask("POST", "model-work/convert", R"({"model":"bird","type":"q8_0"})").status, 200);
  json done = ended_task();
  EXPECT_EQ(done["state"], "done");
  EXPECT_EQ(done["file"], (folder / "bird-q8_0.gguf").string());
  EXPECT_EQ(done["text"], "measure 40 %\n2 tensors\n");
  EXPECT_EQ(asked(), "[convert][" + (folder / "bird.pth").string() + "][" +
                         (folder / "bird-q8_0.gguf").string() + "][--type][q8_0]");
  ask("POST", "model-work/convert", R"({"model":"bird","type":"q8_0"})");
  done = ended_task();
  EXPECT_EQ(done["file"], (folder / "bird-q8_0-2.gguf").string());
  ask("POST", "model-work/convert", R"({"model":"bird","type":"bf16"})");
  EXPECT_EQ(ended_task()["file"], (folder / "bird-bf16.safetensors").string());
  ask("POST", "model-work/convert", R"({"model":"flock","type":"bf16"})");
  EXPECT_EQ(ended_task()["file"], (folder / "flock-1.5-bf16.safetensors").string());
}

TEST_F(ModelWorkTest, ASpeedIsToldAsTheProgramMeasuredIt) {
  EXPECT_EQ(ask("POST", "model-work/bench", R"({"model":"bird"})").status, 200);
  const json done = ended_task();
  EXPECT_EQ(done["state"], "done");
  EXPECT_EQ(done["measured"]["decode"][0]["batch"], 1);
  EXPECT_EQ(asked(), "[bench][" + (folder / "bird.pth").string() + "][--json]");
}

TEST_F(ModelWorkTest, OneThingIsDoneAtATimeAndCanBeStopped) {
  std::ofstream(folder / "wait") << "x";
  EXPECT_EQ(ask("POST", "model-work/bench", R"({"model":"bird"})").status, 200);
  for (int i = 0; i < 2000 && task()["text"] == ""; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  EXPECT_EQ(task()["text"], "measure 40 %\n");
  expect_busy("model-work/convert", R"({"model":"bird","type":"f16"})", "bird is being measured");
  expect_busy("model-work/bench", R"({"model":"bird"})", "wait until that is done");
  EXPECT_EQ(ask("POST", "model-work/stop").status, 200);
  EXPECT_EQ(ended_task()["state"], "failed");
  EXPECT_EQ(task()["text"], "stopped");
}

TEST_F(ModelWorkTest, NothingIsMeasuredBesideATraining) {
  std::error_code error;
  platform::File held(folder / "runs/one", platform::Open::read, error);
  ASSERT_TRUE(held.try_sure_lock());
  expect_busy("model-work/bench", R"({"model":"bird"})", "'one' is being trained");
  EXPECT_EQ(ask("POST", "model-work/convert", R"({"model":"bird","type":"f16"})").status, 200);
}

TEST_F(ModelWorkTest, WhyAConversionFailedIsTold) {
  std::ofstream(folder / "broken") << "x";
  ask("POST", "model-work/convert", R"({"model":"bird","type":"f16"})");
  EXPECT_EQ(ended_task()["state"], "failed");
  EXPECT_EQ(task()["text"], "this version cannot be written");
}

TEST_F(ModelWorkTest, WhatEndsWithTheServerLeavesNothingRunning) {
  std::ofstream(folder / "wait") << "x";
  {
    ModelWork work(folder / "aviary");
    work.bench({"bird", folder / "bird.pth"});
    while (work.last()->text.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(asked(), "[bench][" + (folder / "bird.pth").string() + "][--json]");
}

TEST_F(ModelWorkTest, AProgramThatCannotBeStartedIsTold) {
  ModelWork work(folder / "missing");
  EXPECT_THROW(work.bench({"bird", folder / "bird.pth"}), TaskFailure);
  EXPECT_FALSE(work.last().has_value());
}

TEST_F(ModelWorkTest, PathsAndOtherTypesAreNotTaken) {
  for (const char* body :
       {R"({"model":"../bird","type":"f16"})", R"({"model":"bird","type":"--force"})", R"({"model":"bird"})",
        R"({"type":"f16"})", R"({"model":"bird","type":7})", "[", "[]"}) {
    const int status = ask("POST", "model-work/convert", body).status;
    EXPECT_TRUE(status == 400 || status == 404) << body << " " << status;
  }
  EXPECT_EQ(ask("POST", "model-work/bench", R"({"model":"owl"})").status, 404);
  EXPECT_TRUE(task().is_null());
  EXPECT_FALSE(fs::exists(folder / "asked"));
}

TEST(ModelWorkRefused, WithoutControlNothingIsConvertedOrMeasured) {
  NoModels none;
  Router router{none, {.keys = {}, .version = "1", .max_tokens = 0}};
  add_model_work(router, nullptr, nullptr, {});
  for (const auto& [method, path] :
       {std::pair("GET", "model-work"), std::pair("POST", "model-work/convert"),
        std::pair("POST", "model-work/bench"), std::pair("POST", "model-work/stop")}) {
    const auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = method, .path = std::string("/v1/aviary/") + path, .body = "{}"}, answer);
    EXPECT_EQ(answer->status, 403) << path;
    EXPECT_NE(answer->body.find("--control"), std::string::npos);
  }
}

}  // namespace
}  // namespace aviary
