// Texts and tokens that are given on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "infer/sampler.h"
#include "text/tokenizer.h"

namespace aviary::cli {

// --escape: \n, \t, \xHH ... in the texts of some flags stand for a line break, a tab, a byte.
struct Escapes {
  bool on = false;
  // `flags`: those whose texts it is about, for the help.
  CLI::Option* add_to(CLI::App& command, const std::string& flags);
  // The text that `flag` was given. Throws Error naming the flag for an escape that does not exist.
  std::string read(std::string_view flag, const std::string& text) const;
};

// --ban, --bias and --exempt: tokens are named by their ids (11,33), or by a text that is one token.
struct TokenFlags {
  std::vector<std::string> ban, bias, exempt;
  void add_to(CLI::App& command, const std::string& group);
  // Sets bias and uncounted of `sampling`. Throws Error for a text that is not one token, and for an id that
  // the model, with `vocabulary` tokens, does not have.
  void apply(SamplerOptions& sampling, const Tokenizer& tokenizer, int64_t vocabulary,
             const Escapes& escapes) const;
};

// --map: "question=prompt,answer=completion", the keys of rows that are read as others. Throws Error for
// anything else.
std::map<std::string, std::string> renames(const std::string& list);

}  // namespace aviary::cli
