#include "verify/golden.h"
#include "support/repository.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace aviary {
namespace {

namespace fs = std::filesystem;

void expect_all_passed(const std::vector<LawCheck>& checks) {
  EXPECT_FALSE(checks.empty());
  for (const LawCheck& check : checks)
    EXPECT_TRUE(check.passed()) << check.what << ": " << check.difference << " > " << check.tolerance;
}

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, OutputsGradientsStatesAndTrainingAgreeWithTheOriginal) {
  expect_all_passed(check_golden(golden(GetParam())));
}

// AVIARY_GOLDEN is the folder of the full reference set.
TEST_P(Golden, TheFullSetAgrees) {
  const char* root = std::getenv("AVIARY_GOLDEN");
  if (!root) GTEST_SKIP() << "set AVIARY_GOLDEN to the folder of the full reference data";
  for (const auto& entry : fs::directory_iterator(root)) {
    const std::string name = entry.path().filename();
    if (name != GetParam() && name != std::string(GetParam()) + "-h64") continue;
    SCOPED_TRACE(name);
    expect_all_passed(check_golden(entry.path()));
  }
}

INSTANTIATE_TEST_SUITE_P(Versions, Golden,
                         testing::Values("aft", "mha_rotary", "mha_rotary_shift", "mha_pro", "rwkv-v1",
                                         "rwkv-v2", "rwkv-v2-ffnpre", "rwkv-v3", "rwkv-v3-ffnpre", "rwkv-v4",
                                         "rwkv-v4-ffnpre", "rwkv-v4-headqk", "rwkv-v4neo-headqk",
                                         "rwkv-v4neo-preffn-dims", "rwkv-v4-selfattn", "rwkv-v4-mishglu",
                                         "rwkv-v4-selfattn-mishglu", "rwkv-v4a-tinyatt", "rwkv-v5.0",
                                         "rwkv-v5.0-r2", "rwkv-v5.1", "rwkv-v5.1-r3", "rwkv-v5.2", "rwkv-v6",
                                         "rwkv-v6-state", "rwkv-v6-x060a", "rwkv-v6-x060b", "rwkv-v7"));

// Reference data of which there is no compact form: no original trainer exists, or a trained model.
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
