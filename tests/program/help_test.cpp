// Checks the --help of every command.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "program/program.h"

namespace aviary::program {
namespace {

// One line of help: "  --tokens,-n INT:0 or more=200" and what is said about it.
struct Entry {
  std::string section, name, text;
};

std::vector<Entry> help_of(const Arguments& command) {
  const Outcome outcome = run(TestFolder().path(), command + Arguments{"--help"});
  expect_success(outcome);
  std::vector<Entry> entries;
  std::istringstream lines(outcome.out);
  std::string section, whole;
  constexpr size_t column = 30;  // where descriptions begin, below a name that is longer
  for (std::string line; std::getline(lines, line);) {
    const size_t indent = line.find_first_not_of(' ');
    if (indent == 0 && line.ends_with(":")) section = line;
    if (indent == std::string::npos || indent == 0 || section.empty()) continue;
    if (indent == 2) {
      whole = line.substr(2);
      const size_t end = std::min(column - 2, whole.size());
      const std::string name = whole.substr(0, end);
      entries.push_back({section, name.substr(0, name.find_last_not_of(' ') + 1), whole.substr(end)});
    } else {
      entries.back().name = whole;
      entries.back().text = line.substr(indent);
    }
  }
  return entries;
}

bool is_command(const Entry& entry) {
  return entry.name.find(' ') == std::string::npos && !entry.name.starts_with("-") &&
         entry.section != "Positionals:";
}

// "--tokens,-n INT:0 or more=200", but not "--quiet,-q" or "--ids Excludes: --json": types are in capitals.
bool takes_a_value(const Entry& entry) {
  const size_t type = entry.name.find(' ') + 1;
  const auto is_capital = [&](size_t at) {
    return at < entry.name.size() && std::isupper(static_cast<unsigned char>(entry.name[at])) != 0;
  };
  return type > 0 && is_capital(type) && is_capital(type + 1);
}

void check_help(const Arguments& command) {
  std::string words = "aviary";
  for (const std::string& word : command) words += " " + word;
  SCOPED_TRACE(words);
  const std::vector<Entry> entries = help_of(command);
  EXPECT_GE(entries.size(), 1U);
  for (const Entry& entry : entries) {
    EXPECT_GT(entry.text.size(), 9U) << entry.name << " is not described";
    EXPECT_EQ(entry.name.find("... ..."), std::string::npos) << entry.name;
    const bool tells = entry.name.find('=') != std::string::npos ||
                       entry.name.find("REQUIRED") != std::string::npos ||
                       entry.text.find("default: ") != std::string::npos;
    EXPECT_TRUE(tells || !takes_a_value(entry)) << entry.name << " does not say its default: " << entry.text;
    if (is_command(entry)) check_help(command + Arguments{entry.name});
  }
}

TEST(Help, DescribesEveryOptionOfEveryCommandAndItsDefault) { check_help({}); }

TEST(Help, TellsTheDefaultOfOptionsWithoutAValue) {
  for (const char* command : {"train", "generate", "inspect"})
    EXPECT_NE(
        run(TestFolder().path(), {command, "--help"}).out.find("An option without a value is off unless"),
        std::string::npos)
        << command;
}

// --model is a model, in every command.
TEST(Help, ModelMeansTheSameInEveryCommand) {
  for (const Entry& command : help_of({})) {
    if (!is_command(command)) continue;
    for (const Entry& entry : help_of({command.name})) {
      const bool is_model = entry.name.starts_with("--model ");
      EXPECT_FALSE(is_model && entry.text.find("ersion") != std::string::npos) << command.name;
    }
  }
}

TEST(Help, BeginsWithTheCommandsThatANewcomerNeeds) {
  std::vector<std::string> commands;
  for (const Entry& entry : help_of({}))
    if (is_command(entry)) commands.push_back(entry.name);
  ASSERT_GE(commands.size(), 10U);
  commands.resize(3);
  EXPECT_EQ(commands, (std::vector<std::string>{"train", "generate", "evaluate"}));
}

// Few flags in the first group, and the text first.
TEST(Help, OfGenerateBeginsWithFewFlags) {
  std::vector<std::string> first;
  for (const Entry& entry : help_of({"generate"}))
    if (entry.section == "Options:") first.push_back(entry.name.substr(0, entry.name.find(' ')));
  EXPECT_EQ(first, (std::vector<std::string>{"-h,--help", "-p,--prompt", "-f,--file", "-n,--tokens",
                                             "--temperature", "--top-p", "--stop", "--seed", "-q,--quiet"}));
}

}  // namespace
}  // namespace aviary::program
