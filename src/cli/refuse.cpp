// The error message for an invalid command line.
#include <fmt/format.h>

#include <algorithm>

#include "base/nearest.h"
#include "base/quotes.h"
#include "cli/ranks.h"
#include "cli/strict_options.h"

namespace aviary::cli {
namespace {

constexpr const char* version_flag = "--version";

bool is_option(const std::string& word) { return word.starts_with("-") && word.size() > 1; }

// The names of the options that a command takes: its own and those of all, but not --version, which stands
// alone.
std::vector<std::string> options_of(const CLI::App& program, const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* app : {&command, &program})
    for (const CLI::Option* option : app->get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  if (&command != &program) std::erase(names, version_flag);
  return names;
}

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

// "there is no option "--temprature"; did you mean --temperature?"
std::string no_such(const char* what, const std::string& word, const std::vector<std::string>& names) {
  const std::string meant = nearest(word, names);
  return fmt::format("there is no {} \"{}\"{}", what, excerpt(word),
                     meant.empty() ? "" : fmt::format("; did you mean {}?", meant));
}

// The sentence of CLI11, where it is one, in our words.
std::string sentence_of(const CLI::ParseError& error) {
  std::string what = error.what();
  for (char& c : what)
    if (c == '\n') c = ' ';
  constexpr std::string_view excludes = " excludes ";
  if (const size_t at = what.find(excludes); error.get_name() == "ExcludesError" && at != what.npos)
    return fmt::format("{} and {} cannot be given together", what.substr(0, at),
                       what.substr(at + excludes.size()));
  if (error.get_name() == "ArgumentMismatch")
    return what.substr(0, what.find(':')) +
           (what.ends_with(" missing") ? " needs a value" : " is given more than once");
  return what;
}

}  // namespace

int refuse(const CLI::App& program, const CLI::ParseError& error) {
  std::string name = "aviary", what = sentence_of(error);
  const CLI::App* command = &program;
  for (; !command->get_subcommands().empty(); name += " " + command->get_name())
    command = command->get_subcommands().front();
  const std::vector<std::string> extra = program.remaining(true);
  const auto option = std::find_if(extra.begin(), extra.end(), is_option);
  const auto word = std::find_if_not(extra.begin(), extra.end(), is_option);
  const std::vector<std::string> commands = commands_of(*command);
  if (!commands.empty() && word != extra.end())
    what = no_such("command", *word, commands);
  else if (option != extra.end())
    what = no_such("option", option->substr(0, option->find('=')), options_of(program, *command));
  else if (error.get_name() == "CallForVersion")
    what = no_such("option", version_flag, options_of(program, *command));
  else if (word != extra.end() && error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError))
    what = fmt::format("\"{}\" is one argument too many", excerpt(*word));
  voice();  // every rank was given the same words
  fmt::print(stderr, "{}: {}{} {} --help lists what there is\n", name, what, what.ends_with('?') ? "" : ";",
             name);
  return 2;
}

}  // namespace aviary::cli
