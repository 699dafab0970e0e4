// aviary: one program for the whole life of RWKV language models.
#include <aviary/version.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <new>
#include <optional>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "base/threads.h"
#include "cli/cli.h"
#include "cli/ranks.h"
#include "cli/strict_options.h"

namespace {

using namespace aviary;

std::vector<std::pair<CLI::App*, cli::Action>> add_commands(CLI::App& app) {
  static constexpr const char* groups[] = {"Commands", "Model files", "Texts and tokens", "Looking closer"};
  std::vector<cli::Command> commands = cli::Registration::registered();
  std::sort(commands.begin(), commands.end(), [](const cli::Command& a, const cli::Command& b) {
    return std::tie(a.group, a.place) < std::tie(b.group, b.place);
  });
  std::vector<std::pair<CLI::App*, cli::Action>> actions;
  for (const cli::Command& command : commands) {
    CLI::App* added = app.add_subcommand(command.name, command.help);
    added->group(groups[static_cast<size_t>(command.group)]);
    added->footer(
        "An option without a value is off unless it is given. aviary --help lists the options that every "
        "command takes.");
    actions.emplace_back(added, command.add(*added));
  }
  return actions;
}

int run(int argc, char** argv) {
  CLI::App app{
      "Train, evaluate and use RWKV language models.\n"
      "Start with:  aviary train book.txt   and then:  aviary generate",
      "aviary"};
  app.set_version_flag("--version", std::string("aviary ") + version());
  app.require_subcommand(1);
  app.fallthrough();
  int thread_count = threads();
  std::string isa = "best";
  std::map<std::string, kernels::Isa> isas;
  for (const auto& [name, value] : kernels::isa_names) isas.emplace(name, value);
  app.add_option("--threads", thread_count, "Number of threads (default: all cores that the process may use)")
      ->check(cli::bounds(1, most_threads));
  app.add_option(
         "--isa", isa,
         "Use no newer instructions, for comparisons: avx512 (without VNNI and BF16), avx-vnni, avx2 or "
         "baseline (default: best, all of this CPU)")
      ->check(CLI::IsMember(isas));

  const auto actions = add_commands(app);
  const cli::StrictOptions strict(app);

  try {
    std::vector<std::string> words = cli::words_of(app, argc, argv);
    std::reverse(words.begin(), words.end());  // as CLI11 expects them
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    // `aviary train --version rwkv4` means the model's.
    const bool misplaced = error.get_name() == "CallForVersion" && !app.get_subcommands().empty();
    if (error.get_exit_code() != 0 || misplaced) return cli::refuse(app, error);
    app.exit(error);  // prints the help or the version
    std::cout.flush();
    cli::flush_output();
    return 0;
  }
  strict.tell_drawn_seeds();
  set_threads(thread_count);
  kernels::set_isa(isas.at(isa));
  for (const auto& [command, action] : actions)
    if (command->parsed()) {
      if (command->get_name() != "train" && command->get_name() != "tune")
        cli::refuse_several_processes(command->get_name());
      const int code = action();
      cli::flush_output();
      return code;
    }
  return 2;
}

// Does not throw if stderr is closed.
void complain(const std::string& sentence) {
  std::fputs((cli::voice() + ": " + printable(sentence) + "\n").c_str(), stderr);
}

// The exit code; nothing if it failed, which it has told.
std::optional<int> try_to_run(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const aviary::Interrupted&) {
    return interrupt_exit_code();
  } catch (const aviary::Error& error) {
    complain(error.what());
  } catch (const std::bad_alloc&) {
    complain("out of memory; use a smaller model, batch or context");
  } catch (const std::filesystem::filesystem_error& error) {
    complain(sentence_of(error));
  } catch (const std::system_error& error) {
    const bool of_output = std::string_view(error.what()).starts_with("cannot write to file");  // of {fmt}
    complain(of_output ? "the output cannot be written: " + error.code().message() : error.what());
  } catch (const std::exception& error) {
    complain(std::string("unexpected error: ") + error.what());
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  platform::tell_lost_pages();
  const std::optional<int> code = try_to_run(argc, argv);
  cli::leave_ranks(!code);
  return code.value_or(1);
}
