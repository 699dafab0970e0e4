// aviary sweep: settings and seeds in turn, a page, and going on after an interruption; aviary grow.
#include <gtest/gtest.h>

#include <algorithm>

#include "program.h"

namespace aviary::program {
namespace {

class Sweep : public testing::Test {
 protected:
  Sweep() {
    write(folder_ / "text.txt", prose(8000));
    write(folder_ / "other.txt", prose(2000, 2));
  }
  Outcome sweep(const Arguments& more) const {
    return run(
        folder_.path(),
        Arguments{"sweep", "text.txt", "--out", "sweep", "--steps", "6", "--threads", "1"} + small + more);
  }

  const Arguments small = {"--layers", "1",         "--width", "16",      "--vocabulary",
                           "256",      "--context", "16",      "--batch", "2"};
  TestFolder folder_;
};

TEST_F(Sweep, TriesSettingsWithSeedsAndWritesAPage) {
  const Arguments flags = {"--try",  "--optimizer muon", "--try",   "--optimizer lion --learning-rate 0.001",
                           "--grid", "dropout=0,0.1",    "--seeds", "2",
                           "--test", "other.txt"};
  const Outcome outcome = sweep(flags);
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("sweep.html"), std::string::npos) << outcome.out;
  const std::string table = read(folder_ / "sweep/sweep.csv"), page = read(folder_ / "sweep/sweep.html");
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 1 + 2 * 6) << table;
  EXPECT_NE(page.find("--optimizer muon --dropout 0.1"), std::string::npos);
  // A run of it is a run like any other.
  expect_success(run(folder_.path(),
                     {"generate", "sweep/optimizer-muon-dropout-0/2", "--tokens", "3", "--threads", "1"}));
  // Again: all is there, nothing is trained.
  const Outcome again = sweep(flags);
  expect_success(again);
  EXPECT_EQ(read(folder_ / "sweep/sweep.csv"), table);
}

TEST_F(Sweep, AVocabularyIsLearnedFromTheTrainingPartOfItsOwnVariant) {
  auto vocabulary_of = [&](const std::string& values, const std::string& folder) {
    expect_success(run(folder_.path(), {"sweep",        "text.txt",
                                        "--out",        folder,
                                        "--steps",      "2",
                                        "--seeds",      "1",
                                        "--layers",     "1",
                                        "--width",      "16",
                                        "--vocabulary", "300",
                                        "--context",    "16",
                                        "--batch",      "2",
                                        "--threads",    "1",
                                        "--grid",       "validation-bytes=" + values}));
    return read_tensor_file(folder_ / folder / "validation-bytes-6000/1/model.safetensors")
        .metadata()
        .at("aviary.vocabulary");
  };
  EXPECT_EQ(vocabulary_of("100,6000", "together"), vocabulary_of("6000", "alone"));
}

TEST_F(Sweep, WhatItCannotDoIsRefusedInOneSentence) {
  expect_refusal(sweep({}), {"--try", "--grid"});
  expect_refusal(sweep({"--try", "--wings 2"}), {"--try", "--wings"});
  expect_refusal(sweep({"--try", "--optimizer adam"}), {"--try", "adam"});
  expect_refusal(sweep({"--grid", "dropout"}), {"--grid", "dropout"});
  expect_refusal(sweep({"--grid", "dropout=0,,1"}), {"--grid", "empty"});
  expect_refusal(sweep({"--try", "--dropout 0.1", "--try", "--dropout 0.1"}), {"twice"});
  expect_refusal(run(folder_.path(), Arguments{"sweep", "text.txt", "--try", "--dropout 0.1"} + small),
                 {"--steps", "--minutes"});
}

TEST(Grow, MakesALargerModelOfTheSameFunction) {
  const TestFolder folder;
  train_tiny(folder.path());
  const Outcome outcome = run(folder.path(), {"grow", "run", "--layers", "3", "--out", "large.safetensors"});
  expect_success(outcome);
  EXPECT_NE(outcome.out.find("3 layers"), std::string::npos) << outcome.out;
  auto text_of = [&](const char* model) {
    const Outcome written = run(folder.path(), {"generate", model, "-p", "The ", "--tokens", "8",
                                                "--temperature", "0", "--threads", "1"});
    expect_success(written);
    return written.out;
  };
  EXPECT_EQ(text_of("large.safetensors"), text_of("run"));
  expect_success(
      run(folder.path(), {"grow", "run", "--width", "48", "--transfer", "--out", "other.safetensors"}));
  expect_refusal(run(folder.path(), {"grow", "run", "--out", "x.safetensors"}), {"--layers", "--width"});
  expect_refusal(run(folder.path(), {"grow", "run", "--layers", "2", "--out", "x.pth"}),
                 {"x.pth", ".safetensors"});
  expect_refusal(run(folder.path(), {"grow", "run", "--layers", "4", "--transfer", "--noise", "0.1", "--out",
                                     "x.safetensors"}),
                 {"--transfer", "--noise"});
  expect_refusal(run(folder.path(), {"grow", "run", "--layers", "4", "--out", "run/model.safetensors"}),
                 {"run/model.safetensors"});
}

}  // namespace
}  // namespace aviary::program
