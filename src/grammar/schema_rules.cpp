#include "grammar/schema_rules.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "grammar/schema_object.h"

namespace aviary::grammar {
namespace {

constexpr int64_t most_counted_items = 100'000'000;

int32_t as_limit(int64_t count) {
  return count < 0 ? Automaton::no_limit : static_cast<int32_t>(std::min(count, most_counted_items));
}

}  // namespace

SchemaRules::SchemaRules(SchemaDocument& document, const SchemaOptions& options, Automaton& automaton,
                         Work& work)
    : document_(document),
      automaton_(automaton),
      work_(work),
      logic_(document, options, work),
      json_(automaton, options.white_space, work) {}

int32_t SchemaRules::add_all() {
  const int32_t root = rule_of({{Term::What::schema, document_.root()}});
  // A queue, because schemas may refer to each other in chains and circles.
  while (!unfilled_.empty()) {
    const auto [rule, terms] = std::move(unfilled_.back());
    unfilled_.pop_back();
    fill(rule, terms);
  }
  return root;
}

int32_t SchemaRules::rule_of(const Conjunction& terms) {
  const auto known = rules_.find(terms);
  if (known != rules_.end()) return known->second;
  const int32_t rule = terms.empty() ? json_.any_value() : automaton_.add_rule(logic_.path_of(terms));
  rules_.emplace(terms, rule);
  if (!terms.empty()) unfilled_.emplace_back(rule, terms);
  return rule;
}

void SchemaRules::fill(int32_t rule, const Conjunction& terms) {
  const int32_t start = automaton_.rule(rule).start, end = automaton_.rule(rule).end;
  for (const Conjunction& alternative : logic_.alternatives(terms)) {
    const Facts facts = logic_.facts_of(alternative);
    add_scalars(start, end, facts);
    if ((facts.kinds & kind_number) != 0) add_number(start, end, facts);
    if ((facts.kinds & kind_string) != 0) add_text(start, end, facts);
    if ((facts.kinds & kind_array) != 0) add_array(start, end, facts);
    if ((facts.kinds & kind_object) != 0) add_object(start, end, facts);
  }
}

void SchemaRules::add_scalars(int32_t start, int32_t end, const Facts& facts) {
  if ((facts.kinds & kind_null) != 0) automaton_.add_free(automaton_.add_text(start, "null"), end);
  if ((facts.kinds & kind_true) != 0) automaton_.add_free(automaton_.add_text(start, "true"), end);
  if ((facts.kinds & kind_false) != 0) automaton_.add_free(automaton_.add_text(start, "false"), end);
}

void SchemaRules::add_number(int32_t start, int32_t end, const Facts& facts) {
  if (facts.any_number())
    automaton_.add_call(start, facts.integer ? json_.any_integer() : json_.any_number(), end);
  else
    automaton_.add_free(automaton_.add_dfa(start, logic_.numbers_of(facts)), end);
}

void SchemaRules::add_text(int32_t start, int32_t end, const Facts& facts) {
  if (!facts.any_text()) return automaton_.add_free(json_.text(start, logic_.texts_of(facts)), end);
  if (facts.most_length >= 0 && facts.least_length > facts.most_length) return;
  if (facts.least_length == 0 && facts.most_length < 0)
    return automaton_.add_call(start, json_.any_string(), end);
  automaton_.add_free(json_.any_text(start, facts.least_length, facts.most_length), end);
}

void SchemaRules::add_array(int32_t start, int32_t end, const Facts& facts) {
  if (facts.most_items >= 0 && facts.least_items > facts.most_items) return;
  require(!facts.unique || (facts.most_items >= 0 && facts.most_items <= 1),
          "{}: 'uniqueItems' is not supported", logic_.path_of(facts.terms));
  require(facts.least_items < most_counted_items, "{}: 'minItems' {} is not supported",
          logic_.path_of(facts.terms), facts.least_items);
  if (facts.contains >= 0 && facts.least_contains > 0) return add_array_that_contains(start, end, facts);
  auto prefix = static_cast<int64_t>(logic_.prefix_length(facts));
  if (facts.most_items >= 0) prefix = std::min(prefix, facts.most_items);
  int32_t here = json_.open(start, '[');
  for (int64_t i = 0; i < prefix; ++i) {
    if (facts.least_items <= i)
      automaton_.add_free(i == 0 ? automaton_.add_text(here, "]") : json_.close(here, ']'), end);
    here = automaton_.add_call(i == 0 ? here : json_.comma(here),
                               rule_of(logic_.item(facts, static_cast<size_t>(i))));
  }
  add_items_after_prefix(here, end, facts, prefix, prefix == 0);
}

void SchemaRules::add_items_after_prefix(int32_t here, int32_t end, const Facts& facts, int64_t prefix,
                                         bool first) {
  const int64_t most = facts.most_items < 0 ? -1 : facts.most_items - prefix;
  int64_t least = std::max<int64_t>(0, facts.least_items - prefix);
  if (first && least == 0) automaton_.add_free(automaton_.add_text(here, "]"), end);
  if (!first && least == 0) automaton_.add_free(json_.close(here, ']'), end);
  if (most == 0) return;
  const int32_t item = rule_of(logic_.item(facts, static_cast<size_t>(prefix)));
  // One item, then any number with a comma before each.
  here = automaton_.add_call(first ? here : json_.comma(here), item);
  least = std::max<int64_t>(0, least - 1);
  if (least == 0 && most < 0) {
    automaton_.add_call(json_.comma(here), item, here);
  } else {
    const int32_t further = automaton_.add_rule("item");
    automaton_.add_call(json_.comma(automaton_.rule(further).start), item, automaton_.rule(further).end);
    here = automaton_.add_loop(here, further, as_limit(least), as_limit(most < 0 ? most : most - 1));
  }
  automaton_.add_free(json_.close(here, ']'), end);
}

void SchemaRules::add_array_that_contains(int32_t start, int32_t end, const Facts& facts) {
  constexpr int64_t most_places = 20'000;
  const std::string path = logic_.path_of(facts.terms);
  const auto prefix = static_cast<int64_t>(logic_.prefix_length(facts));
  const bool limited = facts.most_items >= 0;
  // Numbers of items from `top` on are not told apart, or not reached.
  const int64_t top = limited ? facts.most_items : std::max<int64_t>({1, prefix, facts.least_items});
  const int64_t needed = facts.least_contains;
  require(top < most_places && needed < most_places && (top + 1) * (needed + 1) < most_places,
          "{}: 'contains' is not supported with so many items", path);
  std::vector<std::vector<int32_t>> places(static_cast<size_t>(top) + 1);  // [items][those that count]
  for (std::vector<int32_t>& row : places)
    for (int64_t found = 0; found <= needed; ++found) row.push_back(automaton_.add_state());
  automaton_.add_free(json_.open(start, '['), places[0][0]);
  for (int64_t i = 0; i <= top; ++i) {
    const std::vector<int32_t>& row = places[static_cast<size_t>(i)];
    if (i >= std::max<int64_t>(1, facts.least_items)) automaton_.add_free(json_.close(row.back(), ']'), end);
    if (limited && i == top) break;
    Conjunction terms = logic_.item(facts, static_cast<size_t>(i));
    const int32_t any = rule_of(terms);
    terms.push_back({Term::What::schema, facts.contains});
    std::sort(terms.begin(), terms.end());
    terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
    const int32_t counted = rule_of(terms);
    const std::vector<int32_t>& next = places[static_cast<size_t>(std::min(i + 1, top))];
    for (size_t found = 0; found < row.size(); ++found) {
      const int32_t item = i == 0 ? row[found] : json_.comma(row[found]);
      automaton_.add_call(item, any, next[found]);
      if (found + 1 < row.size()) automaton_.add_call(item, counted, next[found + 1]);
    }
  }
}

void SchemaRules::add_object(int32_t start, int32_t end, const Facts& facts) {
  ObjectRule object(automaton_, json_);
  object.least = facts.least_properties;
  object.most = facts.most_properties;
  const std::vector<std::string> names = logic_.declared(facts);
  const std::set<std::string> required(facts.required.begin(), facts.required.end());
  for (const std::string& name : names)
    object.members.push_back(
        {.name = name, .rule = rule_of(logic_.property(facts, name)), .required = required.contains(name)});
  for (OtherKeys& other : logic_.other_keys(facts, names)) {
    const bool never = other.value == Conjunction{{Term::What::nothing}};
    if (!never) object.others.push_back({.keys = std::move(other.keys), .rule = rule_of(other.value)});
  }
  if (object.most >= 0 && object.least > object.most) return;
  object.add(start, end, logic_.path_of(facts.terms));
}

}  // namespace aviary::grammar
