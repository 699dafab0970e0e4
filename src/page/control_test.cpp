#include "page/control.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/files.h"
#include "page/file_end.h"
#include "serve/service.h"
#include "support/test_folder.h"
#include "train/trainer.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

// Stands for the program: tells its arguments, plans at once, trains until it is asked to stop.
constexpr const char* stand_in = R"(#!/bin/sh
here=$(dirname "$0")
printf '[%s]' "$@" >> "$here/asked"
if [ -e "$here/broken" ]; then echo 'aviary: the rows are broken' >&2; exit 1; fi
case "$*" in *--plan) echo 'three steps'; exit 0;; esac
trap 'echo saved; asked=1' INT
echo begun
while [ -z "$asked" ] && [ -e "$0" ] && [ ! -e "$here/end" ]; do sleep 0.02; done
[ -z "$asked" ] || { sleep 0.2; exit 130; }
)";

TrainConfig settings_of_a_run(const std::string& base = "") {
  TrainConfig config;
  config.model = {.version = "rwkv7", .n_layer = 1, .n_embd = 32, .vocab_size = 256, .head_size = 16};
  config.schedule.steps = 100;
  config.tuning.base = base;
  return config;
}

class ControlTest : public testing::Test {
 protected:
  ControlTest() {
    std::ofstream(program) << stand_in;
    fs::permissions(program, fs::perms::owner_all);
    make_folders(run);
    std::ofstream(run / "checkpoint.safetensors") << "x";
    write_run_config(run, settings_of_a_run());
  }
  ~ControlTest() override { std::ofstream(folder / "end") << "x"; }  // of what was left running

  static void wait_for(const std::function<bool()>& condition, const char* what) {
    for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(condition()) << what;
  }
  std::string asked() const { return end_of_file(folder / "asked", 1 << 20); }
  TuneDraft planned(const std::string& name, const std::string& rows = "{\"text\":\"a\"}\n") {
    const int64_t id =
        control
            .plan({.base = folder / "base model", .name = name, .rows = rows, .settings = {"--epochs", "2"}})
            .id;
    wait_for([&] { return control.draft(id).state != TuneDraft::State::planning; }, "the plan ends");
    return control.draft(id);
  }

  TestFolder folder;
  const fs::path program = folder / "aviary", runs = folder / "runs", run = runs / "one";
  Control control{{.program = program, .new_runs = runs}};
};

TEST_F(ControlTest, ARunGoesOnAndIsStoppedOnce) {
  EXPECT_FALSE(control.standing(run).running);
  EXPECT_THROW(control.stop(run), TaskFailure);
  control.resume(run);
  EXPECT_TRUE(control.standing(run).running);
  EXPECT_THROW(control.resume(run), TaskFailure);
  wait_for([&] { return output_of(run, 100) == "begun\n"; }, "it has begun");
  EXPECT_EQ(asked(), "[train][--resume][" + run.string() + "]");
  control.stop(run);
  EXPECT_TRUE(control.standing(run).stopping);
  wait_for([&] { return output_of(run, 100) == "begun\nsaved\n"; }, "it saves");
  control.stop(run);  // it is not asked twice
  wait_for([&] { return !control.standing(run).running; }, "it ends");
  EXPECT_EQ(output_of(run, 100), "begun\nsaved\n");
  EXPECT_EQ(control.standing(run).problem, "");
}

TEST_F(ControlTest, ARunGoesOnWithMoreSteps) {
  control.resume(run, 200);
  wait_for([&] { return !asked().empty(); }, "it is asked");
  EXPECT_EQ(asked(), "[train][--resume][" + run.string() + "][--steps][200]");
}

TEST_F(ControlTest, ATunedRunGoesOnAsOne) {
  write_run_config(run, settings_of_a_run("model"));
  control.resume(run);
  wait_for([&] { return !asked().empty(); }, "it is asked");
  EXPECT_EQ(asked(), "[tune][--resume][" + run.string() + "]");
}

TEST_F(ControlTest, WhyARunFailedIsTold) {
  std::ofstream(folder / "broken") << "x";
  control.resume(run);
  wait_for([&] { return !control.standing(run).running; }, "it ends");
  EXPECT_EQ(control.standing(run).problem, "the rows are broken");
  fs::remove(folder / "broken");
  control.resume(run);
  EXPECT_EQ(control.standing(run).problem, "");
}

TEST_F(ControlTest, OnlyARunWithACheckpointGoesOn) {
  make_folders(runs / "new");
  EXPECT_THROW(control.resume(runs / "new"), TaskFailure);
  std::ofstream(run / "config.json") << "{}";
  EXPECT_THROW(control.resume(run), TaskFailure);
}

TEST_F(ControlTest, ARunOfAnotherProcessIsKnownByItsLock) {
  std::error_code error;
  platform::File held(run, platform::Open::read, error);
  ASSERT_TRUE(held.try_sure_lock());
  EXPECT_TRUE(control.standing(run).running);
  EXPECT_TRUE(standing_of(run).running);
  EXPECT_THROW(control.resume(run), TaskFailure);
}

TEST_F(ControlTest, ANewRunIsPlannedThenBegun) {
  const TuneDraft draft = planned("../../My rows; rm -rf *.jsonl");
  EXPECT_EQ(draft.state, TuneDraft::State::ready);
  EXPECT_EQ(draft.text, "three steps\n");
  EXPECT_EQ(draft.folder, runs / "My-rows-rm-rf");
  EXPECT_EQ(read_file(draft.folder / "rows.jsonl", 100), "{\"text\":\"a\"}\n");
  const std::string words = "[tune][" + (folder / "base model").string() + "][" +
                            (draft.folder / "rows.jsonl").string() + "][--out][" + draft.folder.string() +
                            "][--epochs][2]";
  EXPECT_EQ(asked(), words + "[--plan]");
  EXPECT_EQ(control.begin(draft.id), draft.folder);
  EXPECT_TRUE(control.standing(draft.folder).running);
  EXPECT_THROW(control.draft(draft.id), TaskFailure);
  EXPECT_THROW(control.begin(draft.id), TaskFailure);
  wait_for([&] { return asked() == words + "[--plan]" + words; }, "it begins");
  EXPECT_EQ(planned("My rows rm -rf.jsonl").folder, runs / "My-rows-rm-rf-2");
}

TEST_F(ControlTest, NothingIsLeftOfADraftThatIsGivenUp) {
  const TuneDraft first = planned("first.jsonl");
  const TuneDraft second = planned("second.jsonl");
  EXPECT_FALSE(fs::exists(first.folder));
  EXPECT_THROW(control.give_up(first.id), TaskFailure);
  control.give_up(second.id);
  EXPECT_FALSE(fs::exists(second.folder));
  fs::path last;
  {
    Control other({.program = program, .new_runs = runs});
    last = other.plan({.base = "b", .name = "", .rows = "{}"}).folder;
    EXPECT_EQ(last, runs / "tuned");
  }
  EXPECT_FALSE(fs::exists(last));
}

TEST_F(ControlTest, ARefusedPlanSaysWhyAndCannotBegin) {
  std::ofstream(folder / "broken") << "x";
  const TuneDraft draft = planned("rows.jsonl");
  EXPECT_EQ(draft.state, TuneDraft::State::refused);
  EXPECT_EQ(draft.text, "aviary: the rows are broken\n");
  EXPECT_THROW(control.begin(draft.id), TaskFailure);
}

TEST_F(ControlTest, WhatCannotBePlannedIsRefused) {
  EXPECT_THROW(control.plan({.base = "b", .name = "a", .rows = " \n\n"}), TaskFailure);
  EXPECT_THROW(control.plan({.base = "b", .name = "a", .rows = std::string(Control::most_bytes + 1, 'x')}),
               TaskFailure);
  Control nowhere({.program = program});
  EXPECT_THROW(nowhere.plan({.base = "b", .name = "a", .rows = "{}"}), TaskFailure);
  Control missing({.program = folder / "missing", .new_runs = runs});
  EXPECT_THROW(missing.plan({.base = "b", .name = "a", .rows = "{}"}), TaskFailure);
  EXPECT_FALSE(fs::exists(runs / "a"));
}

TEST_F(ControlTest, ARunGoesOnWhenTheServerEnds) {
  {
    Control other({.program = program, .new_runs = runs});
    other.resume(run);
    wait_for([&] { return output_of(run, 100) == "begun\n"; }, "it has begun");
  }
  std::ofstream(folder / "end") << "x";
  EXPECT_EQ(output_of(run, 100), "begun\n");  // nobody asked it to save
}

TEST(FileEnd, BeginsWithALine) {
  const TestFolder folder;
  std::ofstream(folder / "log") << "first\nsecond\nthird\n";
  EXPECT_EQ(end_of_file(folder / "log", 100), "first\nsecond\nthird\n");
  EXPECT_EQ(end_of_file(folder / "log", 8), "third\n");
  EXPECT_EQ(end_of_file(folder / "log", 3), "");
  EXPECT_EQ(end_of_file(folder / "none", 3), "");
  EXPECT_EQ(end_of_file(folder.path(), 3), "");
}

}  // namespace
}  // namespace aviary
