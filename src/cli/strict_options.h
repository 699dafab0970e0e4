// What holds for the options of all commands alike: how numbers and sizes are read, and that an option takes
// one value per use.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

namespace aviary::cli {

// The type of an option whose value is a size in bytes ("600M"): option->type_name(size_type).
constexpr const char* size_type = "SIZE";

// To be made when all commands have their options. From then on
// - an option that may be repeated takes one value each time, so that what follows is not taken for another
// one, unless the name of its type ends in "..." ("FILE...");
// - a number must be all of its text, in decimal, finite, and not negative where the type has no sign;
// - a size is read by parse_bytes (base/human.h);
// - --seed also takes "random" or -1, which draw a seed.
class StrictOptions {
 public:
  explicit StrictOptions(CLI::App& program);
  // Prints the seeds that were drawn, on stderr. Call it after the parse.
  void tell_drawn_seeds() const;

 private:
  void hold(CLI::App& command);

  std::shared_ptr<std::vector<uint64_t>> drawn_ = std::make_shared<std::vector<uint64_t>>();
};

// The words of the command line without the name of the program. "--name=" becomes two words, "--name" and
// "", because CLI11 would take the next word as the value.
std::vector<std::string> words_of(const CLI::App& program, int argc, const char* const* argv);

// Prints what is wrong with the command line, in one sentence on stderr; the result is the exit code.
int refuse(const CLI::App& program, const CLI::ParseError& error);

}  // namespace aviary::cli
