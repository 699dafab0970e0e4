#include "states/snapshot_file.h"

#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "models/registry.h"
#include "states/state_folder.h"
#include "support/test_folder.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

const SnapshotMaker maker{
    .base = {.hash = "1234", .type = "f32", .name = "a.safetensors", .version = "rwkv7"}, .precision = "f32"};

std::unique_ptr<Model> small_model(const std::string& version) {
  return noisy_model({.version = version, .n_layer = 2, .n_embd = 32, .vocab_size = 64, .ctx_len = 48});
}

std::vector<float> next_logits(Runner& runner, State& state, const std::vector<int32_t>& tokens) {
  const Tensor logits = runner.last_logits(tokens, Sequences::uniform(1, std::ssize(tokens)), state);
  return {logits.as<float>(), logits.as<float>() + logits.count()};
}

StoredSnapshot read_back(const fs::path& path, const State& like, const SnapshotMaker& by = maker) {
  const TensorFile file = open_snapshot(path);
  return read_snapshot(file, path.string(), std::make_shared<const StateLayout>(like.layout()), by);
}

class SnapshotFileOf : public testing::TestWithParam<std::string> {};

TEST_P(SnapshotFileOf, AStateThatIsReadBackGoesOnWithTheSameBits) {
  if (model_version(GetParam()).reads != Reads::causal) GTEST_SKIP() << "reads both ways: it has no state";
  const auto model = small_model(GetParam());
  Runner runner(*model);
  State state = runner.new_state();
  const std::vector<int32_t> tokens{1, 2, 3, 4, 5, 6, 7}, more{8, 9};
  const std::vector<float> logits = next_logits(runner, state, tokens);
  TestFolder folder;
  write_snapshot(folder / "s", {.snapshot = {state, logits},
                                .tokens = tokens,
                                .pending = {8},
                                .maker = maker,
                                .name = "a name",
                                .space = "key"});
  StoredSnapshot read = read_back(folder / "s", state);
  EXPECT_EQ(read.snapshot.logits, logits);
  EXPECT_EQ(read.tokens, tokens);
  EXPECT_EQ(read.pending, std::vector<int32_t>{8});
  EXPECT_EQ(read.name, "a name");
  EXPECT_EQ(read.space, "key");
  EXPECT_EQ(read.snapshot.state.position(), 7);
  EXPECT_EQ(next_logits(runner, read.snapshot.state, more), next_logits(runner, state, more));
}

INSTANTIATE_TEST_SUITE_P(Versions, SnapshotFileOf, testing::ValuesIn(version_names()), test_name);

class SnapshotFile : public testing::Test {
 protected:
  void SetUp() override {
    state_ = runner_.new_state();
    next_logits(runner_, state_, {1, 2, 3});
    write_snapshot(path_, {.snapshot = {state_}, .tokens = {1, 2, 3}, .maker = maker});
  }
  std::string refusal(const SnapshotMaker& by) const {
    try {
      read_back(path_, state_, by);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  TestFolder folder_;
  const fs::path path_ = folder_ / "s";
  std::unique_ptr<Model> model_ = small_model("rwkv7");
  Runner runner_{*model_};
  State state_;
};

TEST_F(SnapshotFile, AnotherMakerIsRefusedWithTheReason) {
  SnapshotMaker other = maker;
  other.base.hash = "5678";
  other.base.name = "b.safetensors";
  EXPECT_NE(refusal(other).find("made with 'a.safetensors', but the model is 'b.safetensors'"),
            std::string::npos)
      << refusal(other);
  other = maker;
  other.adapters = "x";
  EXPECT_NE(refusal(other).find("--adapter"), std::string::npos) << refusal(other);
  other = maker;
  other.precision = "bf16";
  EXPECT_NE(refusal(other).find("--precision"), std::string::npos) << refusal(other);
  EXPECT_EQ(refusal(maker), "");
}

TEST_F(SnapshotFile, ADamagedFileIsRefusedOrHasTheSameNumbers) {
  const std::string good = read_file(path_, 1 << 24);
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    std::string bad = good;
    bad[static_cast<size_t>(random.below(std::ssize(bad)))] ^= static_cast<char>(1 << random.below(8));
    if (i % 10 == 0) bad.resize(static_cast<size_t>(random.below(std::ssize(bad))));
    std::ofstream(path_, std::ios::binary) << bad;
    try {
      EXPECT_EQ(largest_difference(read_back(path_, state_).snapshot.state, state_), 0);
    } catch (const Error&) {
    }
  }
}

TEST_F(SnapshotFile, AModelOfOtherSizesRefusesIt) {
  const auto other = noisy_model({.version = "rwkv7", .n_layer = 2, .n_embd = 64, .vocab_size = 64});
  EXPECT_THROW(read_back(path_, Runner(*other).new_state()), Error);
}

TEST_F(SnapshotFile, AFolderGivesBackWhatWasKeptAndDropsWhatIsDamaged) {
  const auto layout = std::make_shared<const StateLayout>(state_.layout());
  const fs::path folder = folder_ / "states";
  const std::vector<int32_t> first{1, 2, 3}, second{4, 5};
  {
    StateFolder states(folder, maker, layout, 1 << 20);
    states.save("k", first, std::make_shared<const Snapshot>(Snapshot{state_, {1, 2}}));
    states.save("k", second, std::make_shared<const Snapshot>(Snapshot{state_}));
  }
  StateCache cache;
  StateFolder(folder, maker, layout, 1 << 20).restore(cache);
  EXPECT_EQ(cache.find("k", first).tokens, 3);
  EXPECT_EQ(largest_difference(cache.find("k", first).snapshot->state, state_), 0);
  EXPECT_EQ(cache.find("other key", first).tokens, 0);
  SnapshotMaker other = maker;
  other.base.hash = "5678";
  StateCache empty;
  StateFolder(folder, other, layout, 1 << 20).restore(empty);
  EXPECT_EQ(empty.figures().snapshots, 0) << "of another model";

  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    std::string bytes = read_file(entry.path(), 1 << 24);
    bytes[bytes.size() - 5] ^= 1;
    std::ofstream(entry.path(), std::ios::binary) << bytes;
  }
  StateCache after;
  std::vector<std::string> told;
  StateFolder damaged(folder, maker, layout, 1 << 20,
                      [&](const std::string& sentence) { told.push_back(sentence); });
  damaged.restore(after);
  EXPECT_EQ(after.figures().snapshots, 0);
  EXPECT_EQ(told.size(), 2u);
  EXPECT_TRUE(fs::is_empty(folder));
}

TEST_F(SnapshotFile, AFolderKeepsToItsSize) {
  const fs::path folder = folder_ / "states";
  {
    StateFolder states(folder, maker, std::make_shared<const StateLayout>(state_.layout()), 60000);
    for (int32_t i = 0; i < 40; ++i) states.save("", {i}, std::make_shared<const Snapshot>(Snapshot{state_}));
  }
  uintmax_t bytes = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) bytes += entry.file_size();
  EXPECT_LE(bytes, 75000u);
  EXPECT_GT(bytes, 20000u);
}

}  // namespace
}  // namespace aviary
