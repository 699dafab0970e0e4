// SchemaLogic: what the simple keywords of schemas say about the properties and items of an instance.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "grammar/schema_keywords.h"
#include "grammar/schema_logic.h"

namespace aviary::grammar {
namespace {

using What = Term::What;

const Term impossible{What::nothing};

Conjunction sorted(Conjunction terms) {
  std::sort(terms.begin(), terms.end());
  terms.erase(std::unique(terms.begin(), terms.end()), terms.end());
  return terms;
}

void require_object(const Json& schema, const char* key, const std::string& path) {
  if (schema.contains(key)) require(schema[key].is_object(), "{}: '{}' is not an object", path, key);
}

}  // namespace

std::string SchemaLogic::path_of(const Conjunction& terms) const {
  for (const Term& term : terms)
    if (term.what == What::schema || term.what == What::not_schema) return document_.at(term.number).path;
  return "#";
}

std::vector<std::string> SchemaLogic::declared(const Facts& facts) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  auto add = [&](const std::string& name) {
    if (seen.insert(name).second) names.push_back(name);
  };
  for (const Term& term : facts.terms) {
    if (term.what == What::not_property) add(term.name);
    if (term.what == What::equals && document_.value(term.number).is_object())
      for (const auto& [name, value] : document_.value(term.number).items()) add(name);
    if (term.what != What::schema) continue;
    const Json& schema = *document_.at(term.number).value;
    require_object(schema, "properties", document_.at(term.number).path);
    if (!schema.contains("properties")) continue;
    for (const auto& [name, value] : schema["properties"].items()) add(name);
  }
  for (const std::string& name : facts.required) add(name);
  for (const std::string& name : facts.absent) add(name);
  return names;
}

std::optional<Dfa> SchemaLogic::allowed_names(const Facts& facts) {
  Conjunction terms;
  for (const Term& term : facts.terms) {
    if (term.what != What::schema || use_of_keyword("propertyNames", document_.draft()) != KeywordUse::simple)
      continue;
    if (document_.at(term.number).value->contains("propertyNames"))
      terms.push_back({What::schema, document_.child(term.number, "propertyNames")});
  }
  if (terms.empty()) return {};
  Dfa names;
  for (const Conjunction& one : alternatives(sorted(terms))) {
    const Facts about = facts_of(one);
    if ((about.kinds & kind_string) != 0) names = combine(names, texts_of(about), Combine::either, work_);
  }
  return names;
}

Conjunction SchemaLogic::property(const Facts& facts, const std::string& name) {
  Conjunction terms;
  const std::optional<Dfa> allowed = allowed_names(facts);
  const bool absent = std::find(facts.absent.begin(), facts.absent.end(), name) != facts.absent.end();
  if (absent || (allowed && !allowed->matches(name))) return {impossible};
  for (const Term& term : facts.terms) {
    if (term.what == What::not_property && term.name == name)
      terms.push_back({What::not_schema, term.number});
    if (term.what == What::equals && document_.value(term.number).is_object()) {
      const Json& object = document_.value(term.number);
      if (!object.contains(name)) return {impossible};
      terms.push_back({What::equals, document_.value_number(object[name])});
    }
    if (term.what != What::schema) continue;
    const Json& schema = *document_.at(term.number).value;
    const std::string path = document_.at(term.number).path;
    bool matched = schema.contains("properties") && schema["properties"].contains(name);
    if (matched) terms.push_back({What::schema, document_.child(term.number, "properties", name)});
    require_object(schema, "patternProperties", path);
    if (schema.contains("patternProperties")) {
      for (const auto& [expression, value] : schema["patternProperties"].items()) {
        if (!pattern(expression, path + "/patternProperties")->matches(name)) continue;
        matched = true;
        terms.push_back({What::schema, document_.child(term.number, "patternProperties", expression)});
      }
    }
    if (!matched && schema.contains("additionalProperties"))
      terms.push_back({What::schema, document_.child(term.number, "additionalProperties")});
  }
  return sorted(std::move(terms));
}

bool SchemaLogic::no_other_keys(const Facts& facts) const {
  bool none = false;
  for (const Term& term : facts.terms) {
    if (term.what == What::equals) return document_.value(term.number).is_object();
    if (term.what != What::schema) continue;
    const Json& schema = *document_.at(term.number).value;
    if (schema.contains("patternProperties")) return false;
    none = none || (schema.contains("additionalProperties") && schema["additionalProperties"] == false);
  }
  return none;
}

std::vector<OtherKeys> SchemaLogic::other_keys(const Facts& facts, const std::vector<std::string>& names) {
  constexpr size_t most_parts = 64;
  struct Part {
    std::optional<Dfa> keys;
    std::set<std::pair<int32_t, std::string>> matched;  // patterns, by schema
  };
  if (no_other_keys(facts)) return {};
  Part all{.keys = allowed_names(facts), .matched = {}};
  if (!names.empty())
    all.keys =
        combine(all.keys ? *all.keys : dfa_of_all_text(), dfa_of_texts(names), Combine::first_only, work_);
  std::vector<Part> parts{std::move(all)};
  for (const Term& term : facts.terms) {
    if (term.what == What::equals && document_.value(term.number).is_object()) return {};
    if (term.what != What::schema) continue;
    const Json& schema = *document_.at(term.number).value;
    const std::string path = document_.at(term.number).path;
    if (!schema.contains("patternProperties")) continue;
    for (const auto& [expression, value] : schema["patternProperties"].items()) {
      const DfaPtr keys = pattern(expression, path + "/patternProperties");
      std::vector<Part> split;
      for (Part& part : parts) {
        const Dfa here = part.keys ? *part.keys : dfa_of_all_text();
        Part with{.keys = combine(here, *keys, Combine::both, work_), .matched = part.matched};
        with.matched.emplace(term.number, expression);
        split.push_back(std::move(with));
        split.push_back({.keys = combine(here, *keys, Combine::first_only, work_), .matched = part.matched});
      }
      std::erase_if(split, [](const Part& part) { return part.keys && part.keys->empty(); });
      require(split.size() <= most_parts, "{}: 'patternProperties' divide the names into more than {} parts",
              path, most_parts);
      parts = std::move(split);
    }
  }
  std::vector<OtherKeys> result;
  for (Part& part : parts) {
    if (part.keys && part.keys->empty()) continue;
    Conjunction terms;
    std::set<int32_t> matched;
    for (const auto& [schema, expression] : part.matched) {
      terms.push_back({What::schema, document_.child(schema, "patternProperties", expression)});
      matched.insert(schema);
    }
    for (const Term& term : facts.terms)
      if (term.what == What::schema && !matched.contains(term.number) &&
          document_.at(term.number).value->contains("additionalProperties"))
        terms.push_back({What::schema, document_.child(term.number, "additionalProperties")});
    result.push_back({.keys = std::move(part.keys), .value = sorted(std::move(terms))});
  }
  return result;
}

Conjunction SchemaLogic::item(const Facts& facts, size_t index) {
  Conjunction terms;
  for (const Term& term : facts.terms) {
    if (term.what == What::equals && document_.value(term.number).is_array()) {
      const Json& array = document_.value(term.number);
      if (index >= array.size()) return {impossible};
      terms.push_back({What::equals, document_.value_number(array[index])});
    }
    if (term.what != What::schema) continue;
    const Json& schema = *document_.at(term.number).value;
    const bool prefix = schema.contains("prefixItems") &&
                        use_of_keyword("prefixItems", document_.draft()) == KeywordUse::simple;
    const std::string list = prefix ? "prefixItems" : "items";
    if (schema.contains(list) && schema[list].is_array()) {
      if (index < schema[list].size()) {
        terms.push_back({What::schema, document_.child(term.number, list, index)});
        continue;
      }
      const std::string rest = prefix ? "items" : "additionalItems";
      if (schema.contains(rest)) terms.push_back({What::schema, document_.child(term.number, rest)});
    } else if (schema.contains("items")) {
      terms.push_back({What::schema, document_.child(term.number, "items")});
    }
  }
  return sorted(std::move(terms));
}

size_t SchemaLogic::prefix_length(const Facts& facts) {
  size_t length = 0;
  for (const Term& term : facts.terms) {
    if (term.what == What::equals && document_.value(term.number).is_array())
      length = std::max(length, document_.value(term.number).size());
    if (term.what != What::schema) continue;
    const Json& schema = *document_.at(term.number).value;
    const bool prefixes = use_of_keyword("prefixItems", document_.draft()) == KeywordUse::simple;
    for (const char* list : {"prefixItems", "items"})
      if (schema.contains(list) && schema[list].is_array() && (prefixes || std::string_view(list) == "items"))
        length = std::max(length, schema[list].size());
  }
  return length;
}

}  // namespace aviary::grammar
