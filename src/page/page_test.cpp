#include "page/page.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "page/no_models.h"
#include "page/page_files.h"
#include "support/fake_service.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

class PageTest : public testing::Test {
 protected:
  PageTest() {
    std::filesystem::create_directories(folder / "runs/first");
    std::ofstream(folder / "runs/first/log.jsonl")
        << "{\"step\":1,\"tokens\":8,\"loss\":2.5,\"seconds\":1}\n";
    std::ofstream(folder / "runs/first/samples.jsonl")
        << "{\"step\":1,\"text\":\"old\"}\nbroken\n{\"step\":1,\"text\":\"new\"}\n";
    add_page(router);
    const auto runs = std::make_shared<Runs>(std::vector<std::filesystem::path>{folder / "runs"});
    add_about(router, true);
    add_runs(router, runs);
    add_control(router, runs, nullptr);
  }
  FakeAnswer ask(const std::string& path, HttpHeaders headers = {}, HttpHeaders query = {},
                 const std::string& method = "GET") {
    const auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = method, .path = path, .query = std::move(query), .headers = std::move(headers)},
                  answer);
    return *answer;
  }
  nlohmann::json samples() { return json("/v1/aviary/runs/0/samples")["samples"]; }
  nlohmann::json json(const std::string& path, HttpHeaders query = {}) {
    const FakeAnswer answer = ask(path, {}, std::move(query));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return parse_json(answer.body, path);
  }

  TestFolder folder;
  NoModels none;
  Router router{none, {.keys = {}, .version = "1", .max_tokens = 0}};
};

TEST_F(PageTest, ProgramsAndPeopleAreToldDifferentThingsAtTheFront) {
  EXPECT_EQ(ask("/").body, "Ollama is running");
  const FakeAnswer front = ask("/", {{"accept", "text/html,*/*"}});
  EXPECT_EQ(front.status, 200);
  EXPECT_NE(front.header("Content-Security-Policy").find("default-src 'none'"), std::string::npos);
  EXPECT_NE(front.body.find("Aviary"), std::string::npos);
  if (page_files().empty()) {
    EXPECT_NE(front.body.find(page_missing()), std::string::npos);
  }
}

TEST_F(PageTest, FilesAreKeptByTheBrowserUntilTheyChange) {
  if (page_files().empty()) GTEST_SKIP() << page_missing();
  for (const PageFile& file : page_files()) {
    const std::string path(file.path);
    const FakeAnswer plain = ask(path, {{"accept", "text/html"}});
    ASSERT_EQ(plain.status, 200) << path;
    EXPECT_EQ(plain.header("Content-Encoding"), "");
    const FakeAnswer packed = ask(path, {{"accept", "text/html"}, {"accept-encoding", "gzip, br"}});
    EXPECT_EQ(packed.header("Content-Encoding"), "gzip");
    EXPECT_LT(packed.body.size(), plain.body.size() + 100);
    EXPECT_EQ(packed.header("Cache-Control").find("immutable") != std::string::npos, path != "/");
    EXPECT_EQ(ask(path, {{"accept", "text/html"}, {"if-none-match", plain.header("ETag")}}).status, 304);
  }
}

TEST_F(PageTest, ThePageIsSmall) {
  size_t all = 0;
  for (const PageFile& file : page_files()) all += file.gzip.size();
  EXPECT_LE(all, 130'000u);
}

TEST_F(PageTest, RunsAreAskedForByNumberOnly) {
  const nlohmann::json runs = json("/v1/aviary/runs")["runs"];
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0]["name"], "first");
  EXPECT_TRUE(runs[0]["config"].is_null());
  const nlohmann::json log = json("/v1/aviary/runs/0/log", {{"points", "10"}});
  EXPECT_EQ(log["points"]["loss"], nlohmann::json::array({2.5}));
  EXPECT_EQ(json("/v1/aviary/runs/0/samples")["samples"][0]["text"], "new");
  for (const char* path : {"/v1/aviary/runs/1/log", "/v1/aviary/runs/-1/log", "/v1/aviary/runs/x/samples"})
    EXPECT_EQ(ask(path).status, 404) << path;
  EXPECT_EQ(ask("/v1/aviary/runs/0/log", {}, {{"points", "100000"}}).status, 400);
  EXPECT_EQ(ask("/v1/aviary/runs/0/log", {}, {{"axis", "weather"}}).status, 400);
}

TEST_F(PageTest, SamplesAreToldByStepAndTheLastOfARepeatedOneCounts) {
  json("/v1/aviary/runs");
  const std::filesystem::path file = folder / "runs/first/samples.jsonl";
  std::ofstream(file) << R"({"step":20,"text":"b"}
{"step":10,"text":"a"}
{"step":20,"text":"<c>\u202e"}
{"step":"30","text":"no number"}
{"step":40,"text":7}
{"step":50}
[{"step":60,"text":"d"}]
{"step":70,"text":"is being wri)";
  EXPECT_EQ(samples(), parse_json(R"([{"step":10,"text":"a"},{"step":20,"text":"<c>\u202e"}])", "expected"));
  std::filesystem::remove(file);
  EXPECT_TRUE(samples().empty());
  std::filesystem::create_directory(file);
  EXPECT_TRUE(samples().empty());
}

TEST_F(PageTest, OfVeryManySamplesTheLastAreTold) {
  json("/v1/aviary/runs");
  const std::string text(1 << 20, 'x');
  {
    std::ofstream file(folder / "runs/first/samples.jsonl");
    for (int step = 1; step <= 6; ++step) file << "{\"step\":" << step << ",\"text\":\"" << text << "\"}\n";
  }
  const nlohmann::json told = samples();
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[0]["step"], 4);
  EXPECT_EQ(told[2]["step"], 6);
}

TEST_F(PageTest, ARunIsToldToTrainWhileItsFolderIsLocked) {
  EXPECT_EQ(json("/v1/aviary/runs")["runs"][0]["running"], false);
  std::error_code error;
  platform::File held(folder / "runs/first", platform::Open::read, error);
  ASSERT_TRUE(held.try_sure_lock());
  const nlohmann::json run = json("/v1/aviary/runs")["runs"][0];
  EXPECT_EQ(run["running"], true);
  EXPECT_EQ(run["checkpoint"], false);
}

TEST_F(PageTest, NothingIsStartedOrStoppedWhereThatWasNotAllowed) {
  json("/v1/aviary/runs");
  EXPECT_EQ(json("/v1/aviary/about")["control"], false);
  for (const char* path : {"/v1/aviary/runs/0/stop", "/v1/aviary/runs/0/resume", "/v1/aviary/tune/plan",
                           "/v1/aviary/tune/1/begin", "/v1/aviary/tune/1/give-up"}) {
    const FakeAnswer answer = ask(path, {}, {}, "POST");
    EXPECT_EQ(answer.status, 403) << path;
    EXPECT_NE(answer.body.find("start it with --control"), std::string::npos) << answer.body;
  }
  EXPECT_EQ(ask("/v1/aviary/tune").status, 403);
}

TEST_F(PageTest, AServerWithoutModelsSaysSo) {
  EXPECT_TRUE(json("/v1/aviary/about")["models"].empty());
  EXPECT_EQ(json("/v1/aviary/about")["runs"], true);
}

}  // namespace
}  // namespace aviary
