#include "grammar/grammar.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "grammar/automaton.h"
#include "grammar/gbnf.h"
#include "grammar/json_rules.h"
#include "grammar/regex.h"
#include "grammar/schema_document.h"
#include "grammar/schema_rules.h"

namespace aviary {

using grammar::Automaton;
using grammar::Work;

namespace {

// A grammar whose only rule is filled by `fill(automaton, start, end, work)`.
template <typename Fill>
Grammar::Ptr grammar_of(std::string_view what, Fill fill) {
  Work work;
  auto automaton = std::make_unique<Automaton>(work);
  const int32_t root = automaton->add_rule("root");
  const int32_t start = automaton->rule(root).start, end = automaton->rule(root).end;
  fill(*automaton, start, end, work);
  automaton->finish(root, what);
  return std::make_shared<const Grammar>(std::move(automaton));
}

// Reads free text up to the end of the first trigger (Aho and Corasick, 1975): the states are the beginnings
// of triggers that the text ends with.
void add_free_text(Automaton& automaton, int32_t free, std::span<const std::string> triggers, int32_t end,
                   int32_t triggered) {
  std::map<std::string, int32_t> states{{"", free}};
  for (const std::string& trigger : triggers)
    for (size_t length = 1; length < trigger.size(); ++length)
      states.emplace(trigger.substr(0, length), 0).first->second = automaton.add_state();
  for (const auto& [seen, state] : states) {
    automaton.add_free(state, end);
    std::vector<grammar::Dfa::Edge> edges;
    for (int byte = 0; byte < 256; ++byte) {
      std::string text = seen + static_cast<char>(byte);
      int32_t target = -1;
      while (target < 0) {
        const bool complete = std::find(triggers.begin(), triggers.end(), text) != triggers.end();
        const auto known = states.find(text);
        if (complete)
          target = triggered;
        else if (known != states.end())
          target = known->second;
        else
          text.erase(0, 1);
      }
      if (!edges.empty() && edges.back().target == target)
        edges.back().high = static_cast<uint8_t>(byte);
      else
        edges.push_back({static_cast<uint8_t>(byte), static_cast<uint8_t>(byte), target});
    }
    for (const grammar::Dfa::Edge& edge : edges) automaton.add_bytes(state, edge.low, edge.high, edge.target);
  }
}

}  // namespace

Grammar::Grammar(std::unique_ptr<const Automaton> automaton) : automaton_(std::move(automaton)) {}
Grammar::~Grammar() = default;

Grammar::Ptr Grammar::from_json_schema(const nlohmann::ordered_json& schema, const SchemaOptions& options) {
  return grammar_of("schema", [&](Automaton& automaton, int32_t start, int32_t end, Work& work) {
    grammar::SchemaDocument document(schema, options);
    grammar::SchemaRules rules(document, options, automaton, work);
    automaton.add_call(start, rules.add_all(), end);
  });
}

Grammar::Ptr Grammar::from_json_schema_text(std::string_view schema, const SchemaOptions& options) {
  constexpr int deepest = 128;
  return from_json_schema(parse_ordered_json(schema, "schema", deepest), options);
}

Grammar::Ptr Grammar::any_json_object(WhiteSpace white_space) {
  return grammar_of("JSON", [&](Automaton& automaton, int32_t start, int32_t end, Work& work) {
    grammar::JsonRules rules(automaton, white_space, work);
    automaton.add_call(start, rules.any_object(), end);
  });
}

Grammar::Ptr Grammar::from_regex(std::string_view expression) {
  return grammar_of("regular expression", [&](Automaton& automaton, int32_t start, int32_t end, Work& work) {
    const grammar::Dfa dfa = grammar::dfa_of_regex(expression, grammar::Match::whole, work);
    automaton.add_free(automaton.add_dfa(start, dfa), end);
  });
}

Grammar::Ptr Grammar::from_gbnf(std::string_view text) {
  return grammar_of("GBNF", [&](Automaton& automaton, int32_t start, int32_t end, Work&) {
    automaton.add_call(start, grammar::add_gbnf(automaton, text), end);
  });
}

Grammar::Ptr Grammar::after_triggers(const Ptr& inner, std::span<const std::string> triggers, bool again) {
  require(!triggers.empty(), "grammar: there is no trigger");
  for (size_t i = 0; i < triggers.size(); ++i) {
    require(!triggers[i].empty(), "grammar: an empty trigger");
    for (size_t j = 0; j < triggers.size(); ++j)
      require(i == j || !triggers[i].starts_with(triggers[j]),
              "grammar: the trigger {} begins with the trigger {}", in_quotes(triggers[i]),
              in_quotes(triggers[j]));
  }
  return grammar_of("grammar", [&](Automaton& automaton, int32_t start, int32_t end, Work&) {
    const int32_t rule = automaton.add_rules_of(inner->automaton());
    const int32_t free = automaton.add_state(), triggered = automaton.add_state();
    automaton.add_free(start, free);
    add_free_text(automaton, free, triggers, end, triggered);
    automaton.add_call(triggered, rule, again ? free : end);
  });
}

Grammar::Ptr Grammar::enclosed(std::string_view before, const Ptr& inner, std::string_view after) {
  return grammar_of("grammar", [&](Automaton& automaton, int32_t start, int32_t end, Work&) {
    const int32_t rule = automaton.add_rules_of(inner->automaton());
    const int32_t behind = automaton.add_call(automaton.add_text(start, before), rule);
    automaton.add_free(automaton.add_text(behind, after), end);
  });
}

Grammar::Ptr Grammar::any_of(std::span<const Ptr> grammars) {
  return grammar_of("grammar", [&](Automaton& automaton, int32_t start, int32_t end, Work&) {
    for (const Ptr& one : grammars) automaton.add_call(start, automaton.add_rules_of(one->automaton()), end);
  });
}

}  // namespace aviary
