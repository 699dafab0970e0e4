// aviary generate --json-schema, --regex and --grammar.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "base/json.h"
#include "program.h"

namespace aviary::program {
namespace {

class Form : public testing::Test {
 protected:
  Form() { train_tiny(folder_.path(), 1); }

  Outcome generate(const Arguments& flags) {
    return run(folder_.path(), Arguments{"generate", "run", "--threads", "1", "--prompt="} + flags);
  }
  std::string text(const Arguments& flags) {
    const Outcome outcome = generate(flags);
    expect_success(outcome);
    return outcome.out.substr(0, outcome.out.size() - 1);
  }

  const TestFolder folder_;
};

constexpr const char* person =
    R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer",
       "minimum": 0, "maximum": 120}}, "required": ["name", "age"], "additionalProperties": false})";

TEST_F(Form, JsonFollowsItsSchema) {
  write(folder_ / "person.json", person);
  for (const char* seed : {"1", "2", "3"})
    for (const char* form : {"compact", "spaced", "free"}) {
      const std::string json = text({"--json-schema", "person.json", "--white-space", form, "--seed", seed});
      const auto value = parse_json(json, "the text");
      EXPECT_LE(value["age"].get<int>(), 120) << json;
      EXPECT_TRUE(value["name"].is_string()) << json;
    }
  const Arguments flags = {"--seed", "4", "--json-schema"};
  const std::string from_file = text(flags + Arguments{"person.json"});
  EXPECT_EQ(text(flags + Arguments{person}), from_file);
  EXPECT_EQ(text(flags + Arguments{person, "--draft", "4"}), from_file);
}

TEST_F(Form, TextsFollowAnExpressionOrAGrammar) {
  EXPECT_TRUE(std::regex_match(text({"--regex", "[A-F]{3}-[0-9]{4}", "--seed", "1"}),
                               std::regex("[A-F]{3}-[0-9]{4}")));
  write(folder_ / "list.gbnf", "root ::= item (\", \" item){2}\nitem ::= [a-c]{2}\n");
  EXPECT_TRUE(std::regex_match(text({"--grammar", "list.gbnf", "--seed", "1"}),
                               std::regex("[a-c]{2}(, [a-c]{2}){2}")));
}

TEST_F(Form, ATextThatIsCutIsTold) {
  const Outcome outcome = generate({"--json-schema", person, "--tokens", "3", "--seed", "1"});
  expect_success(outcome);
  EXPECT_NE(outcome.err.find("may not have the form"), std::string::npos) << outcome.err;
}

TEST_F(Form, MistakesAreToldInOneSentence) {
  expect_refusal(generate({"--json-schema", R"({"uniqueItems": true})"}),
                 {"--json-schema", "#: 'uniqueItems'"});
  expect_refusal(generate({"--json-schema", "none.json"}), {"--json-schema", "none.json"});
  expect_refusal(generate({"--regex", "(a"}), {"--regex", "a group without its ')'"});
  write(folder_ / "bad.gbnf", "root ::= x\n");
  expect_refusal(generate({"--grammar", "bad.gbnf"}), {"--grammar", "line 1"});
  expect_refusal(generate({"--regex", "a", "--grammar", "bad.gbnf"}), {"--regex"}, 2);
  expect_refusal(generate({"--white-space", "free"}), {"--json-schema"}, 2);
}

}  // namespace
}  // namespace aviary::program
