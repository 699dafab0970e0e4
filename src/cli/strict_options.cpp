#include "cli/strict_options.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <random>

#include "base/human.h"
#include "base/quotes.h"

namespace aviary::cli {
namespace {

// What is wrong with the text of a number; empty if nothing is. An integer is rewritten without leading
// zeros, which CLI11 would read as octal.
template <typename Number>
std::string read_number(std::string& text, const char* what) {
  Number number{};
  const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = last == text.data() + text.size() && !text.empty();
  if (whole && error == std::errc::result_out_of_range)
    return fmt::format("{} is too large or too small", in_quotes(text));
  if (!whole || error != std::errc() || !std::isfinite(static_cast<double>(number)))
    return fmt::format("{} is not {}", in_quotes(text), what);
  if constexpr (std::is_integral_v<Number>) text = fmt::format("{}", number);
  return "";
}

std::string read_size(std::string& text) {
  const std::optional<int64_t> bytes = parse_bytes(text);
  if (!bytes)
    return fmt::format("{} is not a size, expected one such as 600M, 1.5G or 64MiB", in_quotes(text));
  text = fmt::format("{}", *bytes);
  return "";
}

std::string read_seed(std::string& text, std::vector<uint64_t>& drawn) {
  if (text != "random" && text != "-1")
    return read_number<uint64_t>(text, "a whole number from 0 to 18446744073709551615, or random");
  std::random_device random;
  drawn.push_back(uint64_t{random()} << 32 | random());
  text = fmt::format("{}", drawn.back());
  return "";
}

// The type of the values, without the bounds that the help shows behind it.
std::string type_of(const CLI::Option& option) {
  const std::string name = option.get_type_name();
  return name.substr(0, name.find(':'));
}

bool takes_a_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

// Whether a command has an option of this name ("--prompt", "-p") that takes a value.
bool names_an_option_with_value(const CLI::App& command, const std::string& word) {
  if (!word.starts_with('-')) return false;
  for (const CLI::Option* option : command.get_options())
    if (option->check_name(word) && takes_a_value(*option)) return true;
  for (const CLI::App* below : command.get_subcommands({}))
    if (names_an_option_with_value(*below, word)) return true;
  return false;
}

}  // namespace

StrictOptions::StrictOptions(CLI::App& program) { hold(program); }

void StrictOptions::hold(CLI::App& command) {
  for (CLI::Option* option : command.get_options()) {
    if (!takes_a_value(*option)) continue;
    const std::string type = type_of(*option);
    if (type.ends_with("..."))
      option->type_name(type.substr(0, type.size() - 3));  // help writes "..." behind it
    else if (option->nonpositional())
      option->allow_extra_args(false);
    auto check = [option](std::function<std::string(std::string&)> read) {
      option->transform(CLI::Validator(std::move(read), ""));  // before all other checks
    };
    if (type == size_type)
      check(read_size);
    else if (option->check_name("--seed"))
      check([drawn = drawn_](std::string& text) { return read_seed(text, *drawn); });
    else if (type == "INT")
      check([](std::string& text) { return read_number<int64_t>(text, "a whole number"); });
    else if (type == "UINT")
      check([](std::string& text) { return read_number<uint64_t>(text, "a whole number, 0 or more"); });
    else if (type == "FLOAT")
      check([](std::string& text) { return read_number<double>(text, "a finite number"); });
  }
  for (CLI::App* below : command.get_subcommands({})) hold(*below);
}

void StrictOptions::tell_drawn_seeds() const {
  for (const uint64_t seed : *drawn_) fmt::print(stderr, "[seed {}]\n", seed);
}

std::vector<std::string> words_of(const CLI::App& program, int argc, const char* const* argv) {
  std::vector<std::string> words;
  bool is_value = false, only_positionals = false;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    only_positionals = only_positionals || (word == "--" && !is_value);
    const std::string name = word.substr(0, word.size() - word.ends_with('='));
    const bool named = !is_value && !only_positionals && names_an_option_with_value(program, name);
    words.push_back(named ? name : word);
    if (named && name != word) words.emplace_back();
    is_value = named && name == word;
  }
  return words;
}

}  // namespace aviary::cli
