// aviary tune: every method from data to a result that other commands use.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/random.h"
#include "program.h"
#include "server.h"

namespace aviary::program {
namespace {

// A tiny base, and 40 rows of small sums.
class Tune : public testing::TestWithParam<std::string> {
 protected:
  Tune() {
    train_tiny(folder_.path(), 3);
    fs::rename(folder_ / "run/model.safetensors", folder_ / "base.safetensors");
    fs::remove_all(folder_ / "run");
    std::string rows;
    for (int i = 0; i < 40; ++i)
      rows += fmt::format("{{\"prompt\": \"{} and {} is\", \"completion\": \" {}.\"}}\n", i % 7, i % 9,
                          i % 7 + i % 9);
    write(folder_ / "rows.jsonl", rows);
  }

  Arguments tune(const std::string& method, const Arguments& more = {}) const {
    return Arguments{"tune", "base.safetensors", "rows.jsonl", "--out",   "tuned", "--method",
                     method, "--threads",        "1",          "--batch", "4",     "--rank",
                     "2",    "--precision",      "f32"} +
           more;
  }
  // For methods without a rank.
  Arguments tune_by_parameter(const Arguments& more = {}) const {
    Arguments arguments = tune(GetParam(), more);
    if (GetParam() == "full" || GetParam() == "state") {
      const auto rank = std::find(arguments.begin(), arguments.end(), "--rank");
      arguments.erase(rank, rank + 2);
    }
    return arguments;
  }
  std::string result() const {
    return GetParam() == "full"    ? "model.safetensors"
           : GetParam() == "state" ? "state.safetensors"
                                   : "adapter.safetensors";
  }
  Outcome aviary(const Arguments& arguments) const { return run(folder_.path(), arguments); }

  // kill -9 and Ctrl-C at random moments, with a checkpoint after every step.
  void interrupt_and_compare(int times) const {
    const TestFolder undisturbed;
    for (const char* file : {"base.safetensors", "rows.jsonl"})
      fs::copy_file(folder_ / file, undisturbed / file);
    const Arguments command = tune_by_parameter({"--checkpoint-every", "1", "--patience", "0"});
    const Outcome whole = run(undisturbed.path(), command);
    expect_success(whole);
    Random random(5);
    for (int i = 0; i < times; ++i) {
      const bool begun = fs::exists(folder_ / "tuned/checkpoint.safetensors");
      Process process(folder_.path(),
                      begun ? Arguments{"tune", "--resume", "tuned", "--threads", "1"} : command);
      sleep_for(random.uniform(0, whole.seconds));
      process.signal(i % 3 ? SIGKILL : SIGINT);
      process.wait();
    }
    const bool begun = fs::exists(folder_ / "tuned/checkpoint.safetensors");
    expect_success(aviary(begun ? Arguments{"tune", "--resume", "tuned", "--threads", "1"} : command));
    for (const std::string& file : {std::string("checkpoint.safetensors"), result()})
      EXPECT_TRUE(read(undisturbed / ("tuned/" + file)) == read(folder_ / ("tuned/" + file)))
          << file << " differs";
  }

  const TestFolder folder_;
};

TEST_P(Tune, GivesAResultThatOtherCommandsUse) {
  const Outcome outcome = aviary(tune_by_parameter());
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("[["), std::string::npos) << outcome.out;  // the preview marks what is trained
  EXPECT_NE(outcome.out.find("steps of 4 documents"), std::string::npos) << outcome.out;
  const std::string file = "tuned/" + result();
  ASSERT_TRUE(fs::exists(folder_ / file));
  const Arguments model = GetParam() == "full"    ? Arguments{file}
                          : GetParam() == "state" ? Arguments{"base.safetensors", "--state", file}
                                                  : Arguments{"base.safetensors", "--adapter", file};
  const Outcome written =
      aviary(Arguments{"generate"} + model + Arguments{"-p", "1 and 1 is", "-n", "4", "-q"});
  expect_success(written);
  const Outcome before = aviary({"logits", "base.safetensors", "-p", "1 and 1 is", "--raw", "a"});
  const Outcome after = aviary(Arguments{"logits"} + model + Arguments{"-p", "1 and 1 is", "--raw", "b"});
  expect_success(before);
  expect_success(after);
  EXPECT_NE(read(folder_ / "a"), read(folder_ / "b"));
}

TEST_P(Tune, IsDescribedAsARun) {
  expect_success(aviary(tune_by_parameter({"--steps", "4"})));
  const Outcome outcome = aviary({"inspect", "tuned"});
  expect_success(outcome);
  for (const std::string& words :
       {std::string("a run of aviary tune, which trains "),
        "base: " + (folder_ / "base.safetensors").string(), "data: " + (folder_ / "rows.jsonl").string(),
        std::string("4 of 4 steps are done"), "result: tuned/" + result(), std::string("aviary generate ")})
    EXPECT_NE(outcome.out.find(words), std::string::npos) << words << " in " << outcome.out;
  const auto json = nlohmann::json::parse(aviary({"inspect", "tuned", "--json"}).out);
  EXPECT_EQ(json["path"], "tuned/" + result());
  EXPECT_EQ(json["run"]["method"], GetParam());
  EXPECT_EQ(json["run"]["steps_done"], 4);
  EXPECT_EQ(json["run"]["result"], "tuned/" + result());
  // As the result alone, below the lines of the run.
  EXPECT_TRUE(outcome.out.ends_with("\n" + aviary({"inspect", "tuned/" + result()}).out)) << outcome.out;
}

TEST_P(Tune, GoesOnBitForBitAfterInterruptionsAndKills) { interrupt_and_compare(12); }

INSTANTIATE_TEST_SUITE_P(Methods, Tune, testing::Values("full", "lora", "pissa", "miss", "state"),
                         [](const auto& info) { return info.param; });

using TuneLong = Tune;

TEST_P(TuneLong, GoesOnBitForBitAfterFiftyKills) { interrupt_and_compare(50); }

INSTANTIATE_TEST_SUITE_P(Methods, TuneLong, testing::Values("lora", "state"),
                         [](const auto& info) { return info.param; });

using TuneOf = Tune;

// Whoever talks with what was tuned on conversations, talks in the form that it has learned.
TEST_P(Tune, WhatWasTunedOnConversationsIsServedInTheirTemplate) {
  std::string rows;
  for (int i = 0; i < 20; ++i)
    rows +=
        fmt::format("{{\"instruction\": \"{} and {}\", \"output\": \"{}\"}}\n", i % 7, i % 9, i % 7 + i % 9);
  write(folder_ / "rows.jsonl", rows);
  expect_success(aviary(tune_by_parameter({"--steps", "2"})));
  const std::string tuned = "tuned/" + result();
  Arguments serve = {"serve", GetParam() == "full" ? tuned : "base.safetensors", "--port", "0", "--threads",
                     "1"};
  if (GetParam() != "full") serve = serve + Arguments{GetParam() == "state" ? "--state" : "--adapter", tuned};
  for (const std::string chosen : {"", "qa"}) {
    if (!chosen.empty()) serve = serve + Arguments{"--chat-template", chosen};
    Process server(folder_.path(), serve);
    address_of(server);
    server.signal(SIGTERM);
    const Outcome outcome = server.wait();
    EXPECT_NE(outcome.err.find("chat template " + (chosen.empty() ? "world" : chosen)), std::string::npos)
        << outcome.err;
  }
}

TEST_F(TuneOf, AMergedModelIsServedInTheTemplateOfItsAdapter) {
  write(folder_ / "rows.jsonl",
        "{\"instruction\": \"1 and 1\", \"output\": \"2\"}\n"
        "{\"instruction\": \"1 and 2\", \"output\": \"3\"}\n");
  expect_success(aviary(tune("lora", {"--steps", "2"})));
  expect_success(aviary({"merge", "base.safetensors", "tuned", "--out", "merged.safetensors"}));
  expect_success(aviary({"convert", "merged.safetensors", "converted.safetensors", "--type", "bf16"}));
  for (const char* model : {"merged.safetensors", "converted.safetensors"}) {
    Process server(folder_.path(), {"serve", model, "--port", "0", "--threads", "1"});
    address_of(server);
    server.signal(SIGTERM);
    const Outcome outcome = server.wait();
    EXPECT_NE(outcome.err.find("chat template world"), std::string::npos) << outcome.err;
  }
}

TEST_F(TuneOf, TheFolderOfARunStandsForItsAdapterInEveryCommand) {
  expect_success(aviary(tune("lora", {"--steps", "2"})));
  expect_success(aviary({"convert", "tuned/adapter.safetensors", "peft/"}));
  write(folder_ / "texts.txt", "one\ntwo\n");
  for (const char* adapter : {"tuned", "tuned/adapter.safetensors", "peft"}) {
    ASSERT_TRUE(fs::exists(folder_ / adapter)) << adapter;
    for (Arguments command : {Arguments{"generate", "base.safetensors", "-p", "one", "--tokens", "2"},
                              Arguments{"chat", "base.safetensors", "-p", "one"},
                              Arguments{"embed", "base.safetensors", "texts.txt"},
                              Arguments{"state", "make", "base.safetensors", "-p", "one", "--out", "kept"}})
      expect_success(aviary(command + Arguments{"--adapter", adapter, "--threads", "1"}));
    fs::remove(folder_ / "kept");
    Process server(folder_.path(), {"serve", "base.safetensors", "--adapter", adapter, "--port", "0"});
    address_of(server);
    server.signal(SIGTERM);
    expect_success(server.wait());
  }
}

TEST_F(TuneOf, APlanWritesNothing) {
  const auto before = files_below(folder_.path());
  const Outcome outcome = aviary(tune("lora", {"--plan"}));
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("steps of"), std::string::npos) << outcome.out;
  EXPECT_EQ(files_below(folder_.path()), before);
}

TEST_F(TuneOf, BrokenRowsAreNamedWithTheirLineOrLeftOut) {
  std::string rows = read(folder_ / "rows.jsonl");
  write(folder_ / "rows.jsonl", rows + "{\"prompt\": 5, \"completion\": \" x\"}\n");
  expect_refusal(aviary(tune("lora")), {"rows.jsonl:41", "prompt"});
  EXPECT_FALSE(fs::exists(folder_ / "tuned"));
  const Outcome skipped = aviary(tune("lora", {"--skip-broken"}));
  EXPECT_EQ(skipped.code, 0);
  EXPECT_NE(skipped.err.find("rows.jsonl:41"), std::string::npos) << skipped.err;
}

TEST_F(TuneOf, FlagsWithoutMeaningAreRefused) {
  expect_refusal(aviary(tune("state")), {"--rank", "--method state"});
  expect_refusal(aviary({"tune", "base.safetensors", "rows.jsonl", "--method", "state", "--train", "ln"}),
                 {"--train"});
  expect_refusal(aviary(tune("lora", {"--learning-rate-scale", "att=2"})), {"--learning-rate-scale"});
  expect_refusal(aviary(tune("lora", {"--validation-share", "0", "--patience", "2"})), {"--patience"});
  expect_refusal(aviary(tune("lora", {"--chunk", "4", "--dropout", "0.1"})), {"--dropout", "--chunk"});
  expect_refusal(aviary(tune("miss", {"--alpha", "4"})), {"--alpha"});
  expect_refusal(aviary(tune("lora", {"--carry-state"})), {"--carry-state", "plain text"});
  expect_refusal(aviary(tune("lora", {"--targets", "att.kye"})), {"--targets att.kye"});
  expect_refusal(aviary(tune("lora", {"--layers", "3-9"})), {"--layers 3-9"});
  expect_refusal(aviary(tune("lora", {"--steps", "3", "--epochs", "3"})), {"--epochs"});
  expect_refusal(aviary({"tune", "base.safetensors"}), {"name a model and the data"});
}

TEST_F(TuneOf, ABaseThatChangedIsRefusedByARunThatGoesOn) {
  expect_success(aviary({"tune", "base.safetensors", "rows.jsonl", "--out", "tuned", "--method", "lora",
                         "--steps", "2", "--threads", "1"}));
  rewrite_tensors(folder_ / "base.safetensors", [](auto& tensors, auto&) { tensors[0].data[0] ^= 1; });
  expect_refusal(aviary({"tune", "--resume", "tuned", "--steps", "4"}), {"base"});
  expect_refusal(
      aviary({"generate", "base.safetensors", "--adapter", "tuned/adapter.safetensors", "-p", "1"}),
      {"adapter.safetensors"});
}

TEST_F(TuneOf, TheOrderInWhichFilesAreNamedDoesNotMatter) {
  // A run that goes on knows the files, not the order in which they were named.
  write(folder_ / "more.jsonl", "{\"text\": \"one and one\"}\n{\"text\": \"two and two\"}\n");
  auto tuned = [&](const Arguments& files, const char* out) {
    expect_success(aviary(Arguments{"tune", "base.safetensors"} + files +
                          Arguments{"--out", out, "--steps", "3", "--method", "lora", "--threads", "1"}));
    return read(folder_ / (std::string(out) + "/checkpoint.safetensors"));
  };
  EXPECT_TRUE(tuned({"rows.jsonl", "more.jsonl"}, "a") == tuned({"more.jsonl", "rows.jsonl"}, "b"));
  expect_refusal(aviary({"tune", "base.safetensors", "rows.jsonl", "rows.jsonl,weight=2"}), {"named twice"});
}

TEST_F(TuneOf, ARunGoesOnWithItsRowsInAnotherPlace) {
  expect_success(aviary(tune("lora", {"--steps", "2"})));
  fs::create_directory(folder_ / "new");
  fs::rename(folder_ / "rows.jsonl", folder_ / "new/sums.jsonl");
  write(folder_ / "other.jsonl", "{\"text\": \"one and one\"}\n{\"text\": \"two and two\"}\n");
  const auto before = files_below(folder_ / "tuned");
  const Arguments resume = {"tune", "--resume", "tuned", "--threads", "1", "--steps"};
  expect_refusal(aviary(resume + Arguments{"3"}), {"rows.jsonl", "No such file", "--data"});
  expect_refusal(aviary(resume + Arguments{"3", "--data", "other.jsonl"}),
                 {"other.jsonl", "not the data of the run"});
  expect_refusal(aviary(resume + Arguments{"3", "--data", "new/sums.jsonl,weight=2"}), {"weights"});
  expect_refusal(aviary(resume + Arguments{"3", "--data", "other.jsonl", "--data", "new/sums.jsonl"}),
                 {"reads 1 file"});
  EXPECT_EQ(files_below(folder_ / "tuned"), before);
  expect_success(aviary(resume + Arguments{"3", "--data", "new/sums.jsonl"}));
  expect_success(aviary(resume + Arguments{"4"}));  // it is remembered
}

TEST_F(TuneOf, ARunOfSeveralFilesFindsThemByTheirNames) {
  fs::create_directories(folder_ / "a");
  fs::create_directories(folder_ / "b");
  fs::rename(folder_ / "rows.jsonl", folder_ / "b/rows.jsonl");
  write(folder_ / "a/words.jsonl", "{\"text\": \"one and one\"}\n{\"text\": \"two and two\"}\n");
  const Arguments both = {"tune",
                          "base.safetensors",
                          "a/words.jsonl,weight=3",
                          "b/rows.jsonl",
                          "--out",
                          "tuned",
                          "--method",
                          "lora",
                          "--threads",
                          "1",
                          "--schedule",
                          "constant",
                          "--warmup",
                          "0",
                          "--patience",
                          "0",
                          "--steps"};
  expect_success(aviary(both + Arguments{"6"}));
  const std::string whole = read(folder_ / "tuned/checkpoint.safetensors");
  fs::remove_all(folder_ / "tuned");
  expect_success(aviary(both + Arguments{"3"}));
  // Now the order of the paths is another one.
  fs::rename(folder_ / "b/rows.jsonl", folder_ / "a.jsonl");
  const Arguments resume = {"tune", "--resume", "tuned", "--threads", "1", "--steps", "6", "--data"};
  expect_refusal(aviary(resume + Arguments{"a.jsonl", "--data", "a/words.jsonl"}), {"a.jsonl", "rows.jsonl"});
  fs::rename(folder_ / "a.jsonl", folder_ / "a/rows.jsonl");
  expect_success(aviary(resume + Arguments{"a/words.jsonl", "--data", "a/rows.jsonl"}));
  EXPECT_TRUE(read(folder_ / "tuned/checkpoint.safetensors") == whole);
}

TEST_F(TuneOf, AnAdapterSaysWhatItsConversionNeeds) {
  expect_success(aviary(tune("lora", {"--steps", "2"})));
  expect_success(aviary({"convert", "tuned/adapter.safetensors", "adapter.pth"}));
  const Outcome inspected = aviary({"inspect", "tuned/adapter.safetensors"});
  expect_success(inspected);
  EXPECT_NE(inspected.out.find("base.safetensors"), std::string::npos) << inspected.out;
  const Outcome gguf = aviary({"convert", "tuned/adapter.safetensors", "adapter.gguf"});
  EXPECT_EQ(gguf.err.find("--base"), std::string::npos) << gguf.err;  // it knows its version
}

TEST_F(TuneOf, ARunThatGoesOnTakesNoOtherSettings) {
  expect_success(aviary(tune("lora", {"--steps", "2"})));
  expect_refusal(aviary({"tune", "--resume", "tuned", "--rank", "4"}), {"--rank", "--resume"});
  expect_success(aviary({"tune", "--resume", "tuned", "--steps", "4", "--threads", "1"}));
  expect_refusal(aviary({"train", "--resume", "tuned"}), {"aviary tune --resume"});
}

TEST_F(TuneOf, WhatDoesNotHelpLeavesTheBaseAndSaysSo) {
  const Outcome outcome = aviary({"tune", "base.safetensors", "rows.jsonl", "--out", "tuned", "--method",
                                  "full", "--steps", "20", "--threads", "1", "--learning-rate", "5",
                                  "--warmup", "0", "--validate-every", "1", "--patience", "2"});
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("The result is that of step 0"), std::string::npos) << outcome.out;
  EXPECT_TRUE(fs::exists(folder_ / "tuned/model.safetensors"));
}

TEST_F(TuneOf, ItsFolderStandsForWhatItTrained) {
  expect_success(aviary(tune("lora", {"--steps", "2"})));
  const Arguments prompt = {"-p", "1 and 1 is", "-n", "4", "-q", "--temperature", "0"};
  const Outcome by_file =
      aviary(Arguments{"generate", "base.safetensors", "--adapter", "tuned/adapter.safetensors"} + prompt);
  const Outcome by_folder = aviary(Arguments{"generate", "base.safetensors", "--adapter", "tuned"} + prompt);
  expect_success(by_folder);
  EXPECT_EQ(by_file.out, by_folder.out);
  expect_refusal(aviary(Arguments{"generate", "tuned/adapter.safetensors"} + prompt),
                 {"this is an adapter, not a model", "--adapter"});
}

TEST_F(TuneOf, TheStateOfARunIsFoundInItsFolder) {
  expect_success(aviary({"tune", "base.safetensors", "rows.jsonl", "--out", "tuned", "--method", "state",
                         "--steps", "2", "--threads", "1"}));
  expect_success(
      aviary({"generate", "base.safetensors", "--state", "tuned", "-p", "1 and", "-n", "4", "-q"}));
}

TEST_F(TuneOf, TheCommandForTheResultHasAPromptOfTheData) {
  const Outcome outcome = aviary(tune("lora", {"--steps", "1"}));
  expect_success(outcome);
  const std::string use = "aviary generate base.safetensors --adapter tuned/adapter.safetensors --prompt '";
  EXPECT_NE(outcome.out.find(use), std::string::npos) << outcome.out;
}

TEST_F(TuneOf, KeysThatAreNotReadAreTold) {
  write(folder_ / "rows.jsonl", R"({"prompt": "a", "completion": "b", "label": false})");
  const Outcome outcome = aviary(tune("lora", {"--plan"}));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.err.find("keys of the rows that are not read: 'label'"), std::string::npos)
      << outcome.err;
}

TEST_F(TuneOf, ATextIsLearnedAsWell) {
  write(folder_ / "more.txt", prose(20'000, 9));
  const Outcome outcome =
      aviary({"tune", "base.safetensors", "more.txt", "--out", "tuned", "--steps", "3", "--threads", "1",
              "--method", "lora", "--context", "40", "--chunk", "16", "--recompute"});
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("Data: a text of"), std::string::npos) << outcome.out;
  EXPECT_TRUE(fs::exists(folder_ / "tuned/adapter.safetensors"));
}

}  // namespace
}  // namespace aviary::program
