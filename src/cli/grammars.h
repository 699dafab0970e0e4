// What a text may look like: the options of generate that name a grammar.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "grammar/grammar_constraint.h"

namespace aviary::cli {

// --json-schema, --grammar and --regex, of which one may be given, and --white-space.
struct GrammarFlags {
  std::string json_schema, gbnf, regex, white_space = "spaced";
  void add_to(CLI::App& command);
  // Null if no grammar was given. Throws Error naming the flag for a file that cannot be read, and for a
  // grammar that is not supported.
  Grammar::Ptr grammar() const;
};

// A text of the grammar, written by a model with this tokenizer, which must outlive it; null for no grammar.
std::unique_ptr<Constraint> constraint_of(const Grammar::Ptr& grammar, const Tokenizer& tokenizer);

}  // namespace aviary::cli
