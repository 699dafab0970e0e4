#include "verify/golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

#include "models/registry.h"
#include "support/repository.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

void expect_all_passed(const std::vector<LawCheck>& checks) {
  EXPECT_FALSE(checks.empty());
  for (const LawCheck& check : checks)
    EXPECT_TRUE(check.passed()) << check.what << ": " << check.difference << " > " << check.tolerance;
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, OutputsGradientsStatesAndTrainingAgreeWithTheOriginal) {
  expect_all_passed(check_golden(golden(GetParam())));
}

// AVIARY_GOLDEN is the folder of the full golden data.
TEST_P(Golden, TheFullSetAgrees) {
  const char* root = std::getenv("AVIARY_GOLDEN");
  if (!root) GTEST_SKIP() << "set AVIARY_GOLDEN to the folder of the full reference data";
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename();
    if (name != GetParam() && name != GetParam() + "-h64") continue;
    SCOPED_TRACE(name);
    expect_all_passed(check_golden(entry.path()));
  }
}

// The folders of tests/golden with a model and outputs of its original code.
std::vector<std::string> folders() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(golden("")))
    if (fs::exists(entry.path() / "golden.safetensors")) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Versions, Golden, testing::ValuesIn(folders()),
                         [](const testing::TestParamInfo<std::string>& info) {
                           std::string name = info.param;
                           std::replace_if(
                               name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); },
                               '_');
                           return name;
                         });

TEST(GoldenVersions, EachHasReferenceDataOrSaysWhyNot) {
  std::set<std::string> covered;
  for (const std::string& folder : folders()) covered.insert(golden_version(golden(folder)));
  for (const ModelVersion* version : model_versions()) {
    const bool excused = *version->no_golden != '\0';
    EXPECT_NE(covered.contains(version->name), excused)
        << version->name
        << (excused ? " has data in tests/golden: remove .no_golden"
                    : " has neither data in tests/golden nor .no_golden, with a reason");
  }
}

// Golden data that exists only in the full set: for versions without an original trainer, and for trained
// models.
class GoldenForward : public testing::TestWithParam<const char*> {};

TEST_P(GoldenForward, TheFullSetAgrees) {
  const char* root = std::getenv("AVIARY_GOLDEN");
  if (!root) GTEST_SKIP() << "set AVIARY_GOLDEN to the folder of the full reference data";
  expect_all_passed(check_golden(fs::path(root) / GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Versions, GoldenForward,
                         testing::Values("rwkv-v7a", "rwkv-v7b", "rwkv-v8-rc00", "rwkv-v8-rc00-hybrid",
                                         "real-rwkv7-reverse", "real-rwkv8-rosaqkv-digit20"));

TEST(GoldenStart, InitializationHasTheStatisticsOfTheOriginal) {
  const fs::path folder = golden("init");
  for (auto [file, recipe] : {std::pair("aft.json", "v1"),
                              std::pair("mha_rotary.json", "v1"),
                              std::pair("mha_pro.json", "v1"),
                              std::pair("rwkv-v1.json", "v1"),
                              std::pair("rwkv-v2.json", "v2"),
                              std::pair("rwkv-v2-ffnpre.json", "v2"),
                              std::pair("rwkv-v3.json", "v3"),
                              std::pair("rwkv-v3-ffnpre.json", "v3"),
                              std::pair("rwkv-v4-neo.json", "v4neo"),
                              std::pair("rwkv-v4-original.json", "v4-original"),
                              std::pair("rwkv-v4-ffnpre.json", "v4-original"),
                              std::pair("rwkv-v4-headqk.json", "v4-original"),
                              std::pair("rwkv-v4neo-headqk.json", "v4neo"),
                              std::pair("rwkv-v4neo-preffn-dims.json", "v4neo"),
                              std::pair("rwkv-v4-selfattn-mishglu.json", "v4neo"),
                              std::pair("rwkv-v4a-tinyatt.json", "v4neo"),
                              std::pair("rwkv-v5.0.json", "v4neo"),
                              std::pair("rwkv-v5.0-r2.json", "v4neo"),
                              std::pair("rwkv-v5.1.json", "v4neo"),
                              std::pair("rwkv-v5.1-r3.json", "v4neo"),
                              std::pair("rwkv-v5.2.json", "v5"),
                              std::pair("rwkv-v6.json", "v6"),
                              std::pair("rwkv-v6-state.json", "v6"),
                              std::pair("rwkv-v6-x060a.json", "v6"),
                              std::pair("rwkv-v6-x060b.json", "v6"),
                              std::pair("rwkv-v7.json", "v7"),
                              std::pair("rwkv-v7-h64.json", "v7")}) {
    SCOPED_TRACE(file);
    expect_all_passed(check_golden_initialization(folder / file, recipe));
  }
}

}  // namespace
}  // namespace aviary
