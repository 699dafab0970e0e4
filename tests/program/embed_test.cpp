// aviary embed and aviary classify.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "base/json.h"
#include "documents.h"
#include "program.h"
#include "support/repository.h"

namespace aviary::program {
namespace {

using Json = nlohmann::json;

// Rows of two kinds that differ in their words.
std::string rows() {
  std::string text;
  for (int i = 0; i < 20; ++i) {
    text += Json{{"text", "a good and happy day " + std::to_string(i)}, {"label", "good"}}.dump() + "\n";
    text += Json{{"text", "XXXX ZZZZ QQQQ " + std::to_string(i)}, {"label", "bad"}}.dump() + "\n";
  }
  return text;
}

class Embed : public testing::Test {
 protected:
  Embed() {
    train_tiny(folder_.path(), 3);
    write(folder_ / "lines.txt", "the bird sang\nit rained all day\r\nthe bird flew\n");
    write(folder_ / "rows.jsonl", rows());
  }
  Outcome aviary(const Arguments& arguments) const { return run(folder_.path(), arguments); }
  std::vector<Json> json_lines(const Arguments& arguments) const {
    const Outcome outcome = aviary(arguments);
    expect_success(outcome);
    std::vector<Json> lines;
    std::istringstream out(outcome.out);
    for (std::string line; std::getline(out, line);) lines.push_back(parse_json(line, "line"));
    return lines;
  }

  const TestFolder folder_;
};

TEST_F(Embed, EveryTextGetsAVectorOfLengthOne) {
  write(folder_ / "gaps.txt", "the bird sang\n\nit rained all day\r\nthe bird flew\n");
  const std::vector<Json> lines = json_lines({"embed", "run", "gaps.txt", "-p", "the bird sang"});
  ASSERT_EQ(lines.size(), 4U);
  for (const Json& line : lines) {
    double squares = 0;
    for (const double x : line["embedding"].get<std::vector<double>>()) squares += x * x;
    EXPECT_NEAR(squares, 1, 1e-4);
  }
  EXPECT_EQ(lines[1]["line"], 1);
  EXPECT_EQ(lines[2]["line"], 3);
  EXPECT_EQ(lines[2]["text"], "it rained all day");
  EXPECT_EQ(lines[0]["embedding"], lines[1]["embedding"]);
  EXPECT_NE(lines[1]["embedding"], lines[2]["embedding"]);
  EXPECT_EQ(json_lines({"embed", "run", "-p", "a", "--dimensions", "3"})[0]["embedding"].size(), 3U);
}

TEST_F(Embed, ATextComesFromTheStandardInputToo) {
  write(folder_ / "bird", "the bird sang");
  const Outcome outcome = run(folder_.path(), {"embed", "run", "-p", "-"}, folder_ / "bird");
  expect_success(outcome);
  EXPECT_EQ(outcome.out, aviary({"embed", "run", "-p", "the bird sang"}).out);
}

TEST_F(Embed, TheNearestLineOfATextIsTheTextItself) {
  const Outcome outcome = aviary({"embed", "run", "lines.txt", "--nearest", "2", "-p", "it rained all day"});
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("\n  1.0000  line      2  it rained all day\n"), std::string::npos)
      << outcome.out;
  EXPECT_EQ(std::ranges::count(outcome.out, '\n'), 3);
}

TEST_F(Embed, StatisticsAreCollectedOnceAndBelongToTheModel) {
  expect_success(aviary({"embed", "run", "--collect", "rows.jsonl", "--out", "s.safetensors"}));
  const Arguments use = {"embed", "run", "-p", "a", "--statistics", "s.safetensors"};
  const Json whitened = json_lines(use)[0]["embedding"];
  const Json scaled = json_lines(use + Arguments{"--scaling", "z-score"})[0]["embedding"];
  EXPECT_NE(scaled, json_lines({"embed", "run", "-p", "a"})[0]["embedding"]);
  EXPECT_LT(whitened.size(), 40U);
  expect_refusal(aviary(use + Arguments{"--layers", "out"}), {"s.safetensors", "layers"});
  expect_refusal(aviary(use + Arguments{"--dimensions", "1000"}), {"1000 dimensions"});
  expect_success(
      aviary(Arguments{"train", "text.txt", "--out", "other", "--steps", "2", "--seed", "9"} + tiny));
  expect_refusal(aviary({"embed", "other", "-p", "a", "--statistics", "s.safetensors"}),
                 {"s.safetensors", "it was made with", "hash"});
}

TEST_F(Embed, WhatMakesNoSenseIsRefused) {
  expect_refusal(aviary({"embed", "run"}), {"there is no text"});
  expect_refusal(aviary({"embed", "run", "missing.txt"}), {"missing.txt", "No such file"});
  expect_refusal(aviary({"embed", "run", "lines.txt", "--out", "v.bin"}), {"v.bin", ".npy"});
  expect_refusal(aviary({"embed", "run", "lines.txt", "--out", "lines.txt"}), {"lines.txt"});
  expect_refusal(aviary({"embed", "run", "lines.txt", "--layers", "99"}), {"no layer 99"});
  expect_refusal(aviary({"embed", "run", "lines.txt", "--scaling", "z-score"}), {"--statistics"});
  expect_refusal(aviary({"embed", "run", "lines.txt", "--nearest", "2"}), {"--nearest"});
  expect_refusal(aviary({"embed", "run", "--collect", "lines.txt"}), {"--out"});
  expect_refusal(aviary({"embed", "run", "lines.txt", "--statistics", "run/model.safetensors"}),
                 {"run/model.safetensors", "--collect"});
  write(folder_ / "bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}\n");
  expect_refusal(aviary({"embed", "run", "bad.jsonl"}), {"bad.jsonl:2", "number"});
}

TEST_F(Embed, AClassifierLearnsAndIsRefusedByAnotherModel) {
  const Outcome training = aviary({"classify", "train", "run", "rows.jsonl", "--out", "c.safetensors"});
  expect_success(training);
  EXPECT_NE(training.out.find("2 labels, 40 texts"), std::string::npos) << training.out;
  EXPECT_NE(training.out.find("accuracy 100.0 %"), std::string::npos) << training.out;
  const Arguments use = {"classify", "run", "c.safetensors", "-p", "a happy and good day", "-p", "ZZZZ XXXX"};
  const Outcome plain = aviary(use);
  expect_success(plain);
  EXPECT_EQ(plain.out.find("good "), 0U) << plain.out;
  EXPECT_NE(plain.out.find("\nbad "), std::string::npos) << plain.out;
  const std::vector<Json> lines = json_lines(use + Arguments{"--json"});
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1]["label"], "bad");
  EXPECT_NEAR(
      lines[1]["probabilities"]["bad"].get<double>() + lines[1]["probabilities"]["good"].get<double>(), 1,
      1e-9);
  expect_success(
      aviary(Arguments{"train", "text.txt", "--out", "other", "--steps", "2", "--seed", "9"} + tiny));
  expect_refusal(aviary({"classify", "other", "c.safetensors", "-p", "a"}), {"c.safetensors", "hash"});
  expect_refusal(aviary({"classify", "run", "run/model.safetensors", "-p", "a"}), {"classify train"});
}

TEST_F(Embed, BadRowsOfAClassifierAreNamed) {
  const Arguments train = {"classify", "train", "run", "bad.jsonl", "--out", "c.safetensors"};
  auto refused = [&](const std::string& content, const std::vector<std::string>& words) {
    write(folder_ / "bad.jsonl", content);
    expect_refusal(aviary(train), words);
    EXPECT_FALSE(fs::exists(folder_ / "c.safetensors"));
  };
  refused("plain text\n", {"bad.jsonl:1", "label"});
  refused(rows() + "{\"text\": \"a\"}\n", {"bad.jsonl:41", "'label'"});
  refused("{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 1}\n", {"2 labels"});
  refused(rows() + "{\"text\": \"a\", \"label\": \"once\"}\n", {"once", "1 text"});
  expect_refusal(aviary({"classify", "run"}), {"classifier"});
  expect_refusal(aviary(train + Arguments{"-p", "a"}), {"--prompt"});
}

// Every command of the page runs, on a model and texts with the names that it uses.
TEST_F(Embed, TheCommandsOfTheDocumentRun) {
  const fs::path page = repository() / "docs/embeddings.md";
  fs::create_directory(folder_ / "runs");
  fs::rename(folder_ / "run", folder_ / "runs/austen");
  fs::rename(folder_ / "lines.txt", folder_ / "sentences.txt");
  fs::rename(folder_ / "rows.jsonl", folder_ / "reviews.jsonl");
  int commands = 0;
  for (const std::string& line : commands_in(read(page))) {
    SCOPED_TRACE(line);
    expect_success(run(folder_.path(), words_of(line), folder_ / "sentences.txt"));
    ++commands;
  }
  EXPECT_GE(commands, 6);
}

}  // namespace
}  // namespace aviary::program
