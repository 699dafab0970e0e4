// What a text may look like: a JSON Schema, a regular expression, or a grammar in llama.cpp's GBNF, compiled
// to an automaton over bytes (docs/grammars.md).
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

namespace aviary {

namespace grammar {
class Automaton;
}

// White space in JSON: {"a":1,"b":2}, or {"a": 1, "b": 2}, or any indentation within bounds: after brackets,
// commas and colons, and before closing brackets, nothing, one space, or a line break and up to 40 spaces or
// tabs.
enum class WhiteSpace : uint8_t { compact, spaced, free };

// How to read a schema that has no $schema.
enum class Draft : uint8_t { draft4, draft6, draft7, draft2019_09, draft2020_12 };

struct SchemaOptions {
  WhiteSpace white_space = WhiteSpace::spaced;
  Draft draft = Draft::draft2020_12;
  // Whether `format` restricts texts. If not, it is ignored.
  bool formats = true;
  // Refuse a format that is unknown, which is otherwise ignored, as the specification says.
  bool known_formats_only = false;
};

// Immutable; threads may share one.
class Grammar {
 public:
  using Ptr = std::shared_ptr<const Grammar>;

  // The JSON texts of the valid instances of a schema, in one spelling: properties in the order of the
  // schema, strings without needless escapes. Every text is valid. Throws Error, naming the place and the
  // keyword, for a schema with a keyword that is not supported, one that no instance satisfies, and one that
  // is too large.
  static Ptr from_json_schema(const nlohmann::ordered_json& schema, const SchemaOptions& options = {});
  static Ptr from_json_schema_text(std::string_view schema, const SchemaOptions& options = {});
  // Any JSON object.
  static Ptr any_json_object(WhiteSpace white_space = WhiteSpace::spaced);
  // The texts that match a regular expression as a whole, in the syntax of ECMAScript. Throws Error, naming
  // the place, for what is wrong, not supported (look-around, back references, \b, \p, flags), or too large.
  static Ptr from_regex(std::string_view expression);
  // llama.cpp's syntax; the text is described by the rule `root`. Throws Error, naming line and column.
  static Ptr from_gbnf(std::string_view text);

  // Free text, which may end anywhere, until one of the triggers has been written; then this grammar; then,
  // if `again`, free text as before, otherwise the end. Triggers are not empty, and none begins another.
  static Ptr after_triggers(const Ptr& grammar, std::span<const std::string> triggers, bool again);
  // The grammar between two fixed texts.
  static Ptr enclosed(std::string_view before, const Ptr& grammar, std::string_view after);
  // Any of these.
  static Ptr any_of(std::span<const Ptr> grammars);

  explicit Grammar(std::unique_ptr<const grammar::Automaton> automaton);
  ~Grammar();
  const grammar::Automaton& automaton() const { return *automaton_; }

 private:
  std::unique_ptr<const grammar::Automaton> automaton_;
};

}  // namespace aviary
