#include "cli/grammars.h"

#include "base/error.h"
#include "base/files.h"
#include "cli/cli.h"

namespace aviary::cli {
namespace {

constexpr int64_t longest_file = int64_t{16} << 20;

// Runs `compile`; its errors begin with the flag.
template <typename Compile>
Grammar::Ptr compiled(std::string_view flag, Compile compile) {
  try {
    return compile();
  } catch (const Error& error) {
    fail("{}: {}", flag, error.what());
  }
}

WhiteSpace white_space_of(const std::string& name) {
  if (name == "compact") return WhiteSpace::compact;
  return name == "free" ? WhiteSpace::free : WhiteSpace::spaced;
}

}  // namespace

void GrammarFlags::add_to(CLI::App& command) {
  const std::string group = "Form of the text";
  CLI::Option* schema =
      command
          .add_option(
              "--json-schema", json_schema,
              "Write JSON that this schema allows: a file, or the schema itself, {...} (default: none)")
          ->group(group);
  command
      .add_option("--white-space", white_space,
                  "White space in this JSON: compact {\"a\":1}, spaced {\"a\": 1}, or free, with line breaks")
      ->check(CLI::IsMember({"compact", "spaced", "free"}))
      ->needs(schema)
      ->capture_default_str()
      ->group(group);
  CLI::Option* file =
      command
          .add_option("--grammar", gbnf,
                      "Write what this file describes, a grammar in llama.cpp's GBNF (default: none)")
          ->group(group);
  CLI::Option* expression =
      command
          .add_option("--regex", regex,
                      "Write a text that matches this regular expression as a whole (default: none)")
          ->group(group);
  schema->excludes(file)->excludes(expression);
  file->excludes(expression);
}

Grammar::Ptr GrammarFlags::grammar() const {
  if (!json_schema.empty())
    return compiled("--json-schema", [&] {
      const bool itself = json_schema.find_first_of("{[") == json_schema.find_first_not_of(" \t\r\n");
      const std::string text = itself ? json_schema : read_file(json_schema, longest_file);
      return Grammar::from_json_schema_text(text, {.white_space = white_space_of(white_space)});
    });
  if (!gbnf.empty())
    return compiled("--grammar", [&] { return Grammar::from_gbnf(read_file(gbnf, longest_file)); });
  if (!regex.empty()) return compiled("--regex", [&] { return Grammar::from_regex(regex); });
  return {};
}

std::unique_ptr<Constraint> constraint_of(const Grammar::Ptr& grammar, const Tokenizer& tokenizer) {
  if (!grammar) return {};
  return std::make_unique<GrammarConstraint>(
      std::make_shared<TokenMasks>(grammar, std::make_shared<const TokenTrie>(tokenizer)));
}

}  // namespace aviary::cli
