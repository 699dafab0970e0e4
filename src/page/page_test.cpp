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
    add_about(router, true);
    add_runs(router, std::make_shared<Runs>(std::vector<std::filesystem::path>{folder / "runs"}));
  }
  FakeAnswer ask(const std::string& path, HttpHeaders headers = {}, HttpHeaders query = {}) {
    const auto answer = std::make_shared<FakeAnswer>();
    router.handle({.method = "GET", .path = path, .query = std::move(query), .headers = std::move(headers)},
                  answer);
    return *answer;
  }
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

TEST_F(PageTest, AServerWithoutModelsSaysSo) {
  EXPECT_TRUE(json("/v1/aviary/about")["models"].empty());
  EXPECT_EQ(json("/v1/aviary/about")["runs"], true);
}

}  // namespace
}  // namespace aviary
