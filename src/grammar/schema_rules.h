// From JSON Schema to the rules of an automaton: one rule per conjunction of schemas.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "grammar/automaton.h"
#include "grammar/json_rules.h"
#include "grammar/schema_logic.h"

namespace aviary::grammar {

class SchemaRules {
 public:
  SchemaRules(SchemaDocument& document, const SchemaOptions& options, Automaton& automaton, Work& work);

  // Adds the rules of the schema and of all schemas that it needs; returns the first.
  int32_t add_all();

 private:
  // The rule of instances that satisfy all these terms; its parts may be added later.
  int32_t rule_of(const Conjunction& terms);
  void fill(int32_t rule, const Conjunction& terms);
  // These add the instances of one kind between two states.
  void add_scalars(int32_t start, int32_t end, const Facts& facts);
  void add_number(int32_t start, int32_t end, const Facts& facts);
  void add_text(int32_t start, int32_t end, const Facts& facts);
  void add_array(int32_t start, int32_t end, const Facts& facts);
  void add_array_that_contains(int32_t start, int32_t end, const Facts& facts);
  void add_items_after_prefix(int32_t after, int32_t end, const Facts& facts, int64_t prefix, bool first);
  void add_object(int32_t start, int32_t end, const Facts& facts);

  SchemaDocument& document_;
  Automaton& automaton_;
  Work& work_;
  SchemaLogic logic_;
  JsonRules json_;
  std::map<Conjunction, int32_t> rules_;
  std::vector<std::pair<int32_t, Conjunction>> unfilled_;
};

}  // namespace aviary::grammar
