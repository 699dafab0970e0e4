// The commands and flags in the documents exist.
#include <gtest/gtest.h>

#include <algorithm>

#include "documents.h"
#include "program.h"
#include "support/repository.h"

namespace aviary::program {
namespace {

bool is_flag_letter(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '-'; }

bool names_flag(const std::string& help, const std::string& flag) {
  for (size_t at = help.find(flag); at != std::string::npos; at = help.find(flag, at + 1)) {
    const size_t end = at + flag.size();
    if ((at == 0 || !is_flag_letter(help[at - 1])) && (end == help.size() || !is_flag_letter(help[end])))
      return true;
  }
  return false;
}

// What is wrong with a command line; empty if it is valid.
std::string complaint_about(const std::string& line, const fs::path& folder) {
  const std::vector<std::string> words = words_of(line);
  Arguments command;
  std::string last = run(folder, {"--help"}).out, help = last;
  for (const std::string& word : words) {  // commands and subcommands
    if (last.find("\n  " + word + " ") == std::string::npos) break;
    command.push_back(word);
    last = run(folder, command + Arguments{"--help"}).out;
    help += last;
  }
  if (command.empty() && !words.empty() && !words[0].starts_with("-"))
    return "there is no command " + words[0];
  for (const std::string& word : words)
    if (word.starts_with("-") && word.size() > 1 && !names_flag(help, word.substr(0, word.find('='))))
      return "there is no flag " + word;
  return "";
}

TEST(Documents, EveryCommandLineNamesFlagsThatExist) {
  const TestFolder folder;
  int commands = 0;
  for (const fs::path& place : {repository(), repository() / "docs"})
    for (const auto& entry : fs::directory_iterator(place)) {
      if (entry.path().extension() != ".md") continue;
      for (const std::string& line : commands_in(read(entry.path()))) {
        ++commands;
        EXPECT_EQ(complaint_about(line, folder.path()), "") << entry.path().filename() << ": aviary " << line;
      }
    }
  if (!fs::exists(repository() / "README.md")) GTEST_SKIP() << "there is no README.md yet";
  EXPECT_GE(commands, 3);
}

// The text between <!-- aviary COMMAND --> and <!-- end --> is the output of the command.
TEST(Documents, GeneratedTablesAreWhatTheProgramPrints) {
  int tables = 0;
  for (const auto& entry : fs::directory_iterator(repository() / "docs")) {
    if (entry.path().extension() != ".md") continue;
    const std::string page = read(entry.path()), begin = "<!-- aviary ", end = "<!-- end -->";
    for (size_t at = 0; (at = page.find(begin, at)) != std::string::npos; ++at) {
      const size_t command_end = page.find(" -->\n", at), table_end = page.find(end, at);
      ASSERT_LT(command_end, table_end) << entry.path();
      ASSERT_NE(table_end, std::string::npos) << entry.path() << " has a table without an end";
      const std::string command = page.substr(at + begin.size(), command_end - at - begin.size());
      const size_t table = command_end + std::string(" -->\n").size();
      const Outcome outcome = run(repository(), words_of(command));
      expect_success(outcome);
      EXPECT_EQ(page.substr(table, table_end - table), outcome.out)
          << entry.path().filename() << ": put what this prints between the marks: aviary " << command;
      ++tables;
    }
  }
  EXPECT_GE(tables, 1);
}

TEST(Documents, AFlagOrCommandThatDoesNotExistIsDetected) {
  const TestFolder folder;
  const std::string markdown =
      "aviary outside\n```sh\naviary train my.txt --steps 3 \\\n  --fly=1  # --comment\nbuild/release/aviary "
      "fly | less\n"
      "aviary generate -p \"a --b\" --top-k 5 > out.txt\naviary data austen x.rdb --out y --threads "
      "2\n```\naviary outside\n";
  const std::vector<std::string> commands = commands_in(markdown);
  ASSERT_EQ(commands.size(), 4u);
  EXPECT_EQ(complaint_about(commands[0], folder.path()), "there is no flag --fly=1");
  EXPECT_EQ(complaint_about(commands[1], folder.path()), "there is no command fly");
  EXPECT_EQ(complaint_about(commands[2], folder.path()), "");
  EXPECT_EQ(complaint_about(commands[3], folder.path()), "");
}

}  // namespace
}  // namespace aviary::program
