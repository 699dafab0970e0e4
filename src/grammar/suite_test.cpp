// The official JSON-Schema-Test-Suite, from a folder outside the repository: no invalid instance is accepted,
// and at least as many of the others are judged as it says as before.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "grammar/grammar.h"
#include "grammar/matcher.h"
#include "support/repository.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Score {
  int64_t right = 0;           // valid and accepted, or invalid and rejected
  int64_t refused = 0;         // the schema is not supported
  int64_t false_negative = 0;  // valid and rejected
  int64_t false_positive = 0;  // invalid and accepted
  bool operator==(const Score&) const = default;
};

void PrintTo(const Score& score, std::ostream* out) {
  *out << fmt::format("right {}, refused {}, false negatives {}, false positives {}", score.right,
                      score.refused, score.false_negative, score.false_positive);
}

// The instance as the grammar spells it: ", " and ": " between parts, whole numbers without a point.
std::string spelled(const Json& value) {
  std::string text;
  if (value.is_array()) {
    for (const Json& item : value) text += (text.empty() ? "" : ", ") + spelled(item);
    return "[" + text + "]";
  }
  if (value.is_object()) {
    for (const auto& [key, part] : value.items())
      text += (text.empty() ? "" : ", ") + Json(key).dump() + ": " + spelled(part);
    return "{" + text + "}";
  }
  if (value.is_number_float() && std::abs(value.get<double>()) < 1e29 &&
      value.get<double>() == std::floor(value.get<double>()))
    return fmt::format("{:.0f}", value.get<double>());
  return value.dump();
}

// Whether the grammar accepts the instance with its properties in some order, since it fixes one. Orders of
// the inner objects follow the text.
bool accepts_instance(const Grammar::Ptr& grammar, const Json& value) {
  constexpr size_t most_keys = 5;
  auto accepts_text = [&](const std::string& text) {
    Matcher matcher(grammar);
    return matcher.accept(text) && matcher.may_end();
  };
  if (!value.is_object() || value.size() > most_keys) return accepts_text(spelled(value));
  std::vector<std::string> members;
  for (const auto& [key, part] : value.items()) members.push_back(Json(key).dump() + ": " + spelled(part));
  std::sort(members.begin(), members.end());
  do {
    if (accepts_text(fmt::format("{{{}}}", fmt::join(members, ", ")))) return true;
  } while (std::next_permutation(members.begin(), members.end()));
  return false;
}

class Suite : public testing::Test {
 protected:
  void run_file(const fs::path& path, const SchemaOptions& options, Score& score) {
    const Json groups = parse_ordered_json(read_file(path, int64_t{1} << 24), path.string(), 64);
    for (const Json& group : groups) {
      Grammar::Ptr grammar;
      std::string why;
      try {
        grammar = Grammar::from_json_schema(group["schema"], options);
      } catch (const Error& error) {
        why = error.what();
      }
      for (const Json& test : group["tests"]) run_test(path, group, test, grammar, why, score);
    }
  }

  void run_test(const fs::path& path, const Json& group, const Json& test, const Grammar::Ptr& grammar,
                const std::string& why, Score& score) {
    const std::string name =
        fmt::format("{}: {}: {}", path.filename().string(), group["description"].get<std::string>(),
                    test["description"].get<std::string>());
    const bool valid = test["valid"].get<bool>();
    if (!grammar) {
      // A schema without instances is refused, and that is the right answer to what is invalid.
      ++(why.ends_with("no text can match") && !valid ? score.right : score.refused);
      log(fmt::format("refused {} ({})", name, why));
      return;
    }
    const std::string text = spelled(test["data"]);
    const bool accepted = accepts_instance(grammar, test["data"]);
    if (accepted == valid) {
      ++score.right;
    } else if (valid) {
      ++score.false_negative;
      log(fmt::format("false negative {}: {}", name, text));
    } else {
      ++score.false_positive;
      ADD_FAILURE() << "accepted although invalid: " << name << ": " << text;
    }
  }

  static void log(const std::string& line) {
    static const char* file = std::getenv("AVIARY_SUITE_LOG");
    if (file) std::ofstream(file, std::ios::app) << line << "\n";
  }

  Score run_folder(const std::string& draft, const std::string& part, const SchemaOptions& options) {
    Score score;
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder / draft / part))
      if (entry.path().extension() == ".json") files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    for (const fs::path& path : files) run_file(path, options, score);
    return score;
  }

  const fs::path folder = shared_file("data/json-schema-test-suite/tests");
};

#define NEED_THE_SUITE() \
  if (folder.empty()) GTEST_SKIP() << "set AVIARY_SHARED to a folder with data/json-schema-test-suite"

TEST_F(Suite, Draft2020_12) {
  NEED_THE_SUITE();
  const SchemaOptions required{.draft = Draft::draft2020_12, .formats = false},
      formats{.draft = Draft::draft2020_12};
  EXPECT_EQ(run_folder("draft2020-12", "", required),
            (Score{.right = 944, .refused = 355, .false_negative = 0}));
  EXPECT_EQ(run_folder("draft2020-12", "optional", formats),
            (Score{.right = 134, .refused = 25, .false_negative = 3}));
  EXPECT_EQ(run_folder("draft2020-12", "optional/format", formats),
            (Score{.right = 665, .refused = 20, .false_negative = 79}));
}

TEST_F(Suite, Draft7) {
  NEED_THE_SUITE();
  const SchemaOptions required{.draft = Draft::draft7, .formats = false}, formats{.draft = Draft::draft7};
  EXPECT_EQ(run_folder("draft7", "", required), (Score{.right = 857, .refused = 69, .false_negative = 1}));
  EXPECT_EQ(run_folder("draft7", "optional", formats),
            (Score{.right = 89, .refused = 26, .false_negative = 3}));
  EXPECT_EQ(run_folder("draft7", "optional/format", formats),
            (Score{.right = 583, .refused = 20, .false_negative = 73}));
}

}  // namespace
}  // namespace aviary
