// SchemaLogic: from the simple keywords of schemas to what they say about numbers, texts and counts.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "grammar/formats.h"
#include "grammar/json_rules.h"
#include "grammar/regex.h"
#include "grammar/schema_keywords.h"
#include "grammar/schema_logic.h"

namespace aviary::grammar {
namespace {

using What = Term::What;

void add_name(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

void at_least(int64_t& least, int64_t count) { least = std::max(least, count); }
void at_most(int64_t& most, int64_t count) { most = most < 0 ? count : std::min(most, count); }

uint32_t kinds_of_type(std::string_view type, const std::string& path) {
  if (type == "null") return kind_null;
  if (type == "boolean") return kind_true | kind_false;
  if (type == "integer" || type == "number") return kind_number;
  if (type == "string") return kind_string;
  if (type == "array") return kind_array;
  if (type == "object") return kind_object;
  if (type == "any") return kind_any;
  fail("{}: 'type' is {}, which is no type", path, in_quotes(type));
}

std::vector<std::string> types_of(const Json& value, const std::string& path) {
  std::vector<std::string> types;
  const Json list = value.is_array() ? value : Json::array({value});
  for (const Json& type : list) {
    require(type.is_string(), "{}: 'type' is not a name or a list of names", path);
    types.push_back(type.get<std::string>());
  }
  return types;
}

std::string text_of_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

bool SchemaLogic::is_reference_only(const Json& schema) const {
  return document_.draft() <= Draft::draft7 && schema.contains("$ref");
}

Facts SchemaLogic::facts_of(const Conjunction& terms) {
  Facts facts;
  facts.terms = terms;
  for (const Term& term : terms) add_term(facts, term);
  for (const std::string& name : facts.required)
    if (std::find(facts.absent.begin(), facts.absent.end(), name) != facts.absent.end())
      facts.kinds &= ~kind_object;
  return facts;
}

void SchemaLogic::add_term(Facts& facts, const Term& term) {
  switch (term.what) {
    case What::schema:
      return add_schema(facts, term.number);
    case What::not_keyword:
      return add_not_keyword(facts, term.number, term.name);
    case What::equals:
      return add_equal(facts, document_.value(term.number));
    case What::enum_scalars:
      return add_values(facts, (*document_.at(term.number).value)["enum"]);
    case What::present:
      return add_name(facts.required, term.name);
    case What::absent:
      return add_name(facts.absent, term.name);
    case What::object:
      facts.kinds &= kind_object;
      return;
    case What::nothing:
      facts.kinds = 0;
      return;
    case What::not_property:
    case What::not_schema:
      return;  // the former is a matter of property()
  }
}

void SchemaLogic::add_schema(Facts& facts, int32_t number) {
  const Json& schema = *document_.at(number).value;
  const std::string& path = document_.at(number).path;
  for (const auto& [key, value] : schema.items()) {
    if (use_of_keyword(key, document_.draft()) != KeywordUse::simple) continue;
    if (key == "type") {
      uint32_t kinds = 0;
      bool integer = true;
      for (const std::string& type : types_of(value, path)) {
        kinds |= kinds_of_type(type, path);
        integer = integer && type != "number" && type != "any";
      }
      facts.kinds &= kinds;
      facts.integer = facts.integer || integer;
    } else if (key == "const" || key == "enum") {
      const Json values = key == "const" ? Json::array({value}) : value;
      const bool all_scalar = std::none_of(values.begin(), values.end(),
                                           [](const Json& one) { return one.is_array() || one.is_object(); });
      if (all_scalar) add_values(facts, values);  // otherwise the alternatives say it
    } else if (key == "required" && value.is_array()) {
      for (const Json& name : value) {
        require(name.is_string(), "{}: 'required' holds a name that is not a text", path);
        add_name(facts.required, name.get<std::string>());
      }
    } else if (key == "contains") {
      require(facts.contains < 0, "{}: 'contains' is not supported beside another 'contains'", path);
      facts.contains = document_.child(number, key);
      if (schema.contains("minContains") && document_.draft() >= Draft::draft2019_09)
        facts.least_contains = count_of(number, "minContains");
    } else if (key == "uniqueItems") {
      facts.unique = facts.unique || (value.is_boolean() && value.get<bool>());
    } else {
      add_number_keyword(facts, number, key);
      add_text_keyword(facts, number, key);
      add_count_keyword(facts, number, key);
    }
  }
}

Decimal SchemaLogic::decimal(Facts& facts, const Json& number, const std::string& path) {
  require(number.is_number(), "{}: expected a number, not {}", path, excerpt(text_of_json(number)));
  std::optional<Decimal> value = decimal_of(number);
  require(value.has_value(), "{}: the number {} is not supported, it has too many digits", path,
          excerpt(text_of_json(number)));
  facts.whole_digits = std::max(facts.whole_digits, static_cast<int32_t>(value->whole.size()) + 1);
  facts.fraction_digits = std::max(facts.fraction_digits, static_cast<int32_t>(value->fraction.size()) + 1);
  return *value;
}

DfaPtr SchemaLogic::number_value(Facts& facts, const Json& number, const std::string& path) {
  const Decimal value = decimal(facts, number, path);
  return std::make_shared<Dfa>(combine(dfa_of_bound(Bound::least, value, work_),
                                       dfa_of_bound(Bound::most, value, work_), Combine::both, work_));
}

// The numbers that a keyword allows; null: it is not about numbers.
DfaPtr SchemaLogic::number_keyword(Facts& facts, int32_t number, const std::string& key) {
  const Json& schema = *document_.at(number).value;
  const std::string& path = document_.at(number).path;
  const bool minimum = key == "minimum" || key == "exclusiveMinimum";
  const bool maximum = key == "maximum" || key == "exclusiveMaximum";
  if (!minimum && !maximum && key != "multipleOf") return {};
  const std::string exclusive = minimum ? "exclusiveMinimum" : "exclusiveMaximum";
  if (key == exclusive && schema[key].is_boolean()) {
    require(document_.draft() == Draft::draft4, "{}: '{}' is not a number", path, key);
    return {};
  }
  const Decimal limit = decimal(facts, schema[key], path + "/" + key);
  const std::string name = document_.at(number).path + "/" + key;
  DfaPtr& known = number_limits_[name];
  if (known) return known;
  if (key == "multipleOf") {
    require(!limit.negative && text_of(limit) != "0", "{}: 'multipleOf' is not above 0", path);
    std::optional<Dfa> multiples = dfa_of_multiples(limit, work_);
    require(multiples.has_value(),
            "{}: 'multipleOf' {} is not supported, only those with digits up to 20,000", path,
            text_of(limit));
    return known = std::make_shared<Dfa>(*std::move(multiples));
  }
  const bool flag =
      document_.draft() == Draft::draft4 && schema.contains(exclusive) && schema[exclusive] == true;
  const bool open = key == exclusive || flag;
  const Bound bound = minimum ? (open ? Bound::above : Bound::least) : (open ? Bound::below : Bound::most);
  return known = std::make_shared<Dfa>(dfa_of_bound(bound, limit, work_));
}

void SchemaLogic::add_number_keyword(Facts& facts, int32_t number, const std::string& key) {
  const DfaPtr numbers = number_keyword(facts, number, key);
  if (numbers) facts.numbers.push_back(numbers);
}

DfaPtr SchemaLogic::pattern(const std::string& expression, const std::string& path) {
  DfaPtr& known = patterns_[expression];
  if (known) return known;
  try {
    return known = std::make_shared<Dfa>(dfa_of_regex(expression, Match::within, work_));
  } catch (const Error& error) {
    fail("{}: {}", path, error.what());
  }
}

void SchemaLogic::add_text_keyword(Facts& facts, int32_t number, const std::string& key) {
  const Json& value = (*document_.at(number).value)[key];
  const std::string& path = document_.at(number).path;
  if (key == "minLength") at_least(facts.least_length, count_of(number, key));
  if (key == "maxLength") at_most(facts.most_length, count_of(number, key));
  if (key == "pattern") {
    require(value.is_string(), "{}: 'pattern' is not a text", path);
    facts.texts.push_back(pattern(value.get<std::string>(), path + "/pattern"));
  }
  if (key != "format" || !options_.formats || proving_) return;
  require(value.is_string(), "{}: 'format' is not a text", path);
  const auto name = value.get<std::string>();
  require(!is_irregular_format(name), "{}: 'format' {} is not supported", path, in_quotes(name));
  DfaPtr& known = formats_[name];
  if (!known) {
    const std::optional<Dfa> format = dfa_of_format(name, work_);
    require(format || !options_.known_formats_only, "{}: 'format' {} is not known", path, in_quotes(name));
    if (!format) return;
    known = std::make_shared<Dfa>(*format);
  }
  facts.texts.push_back(known);
}

int64_t SchemaLogic::count_of(int32_t number, const std::string& key) const {
  constexpr double largest = 1e15;
  const Json& value = (*document_.at(number).value)[key];
  const double count = value.is_number() ? value.get<double>() : -1;
  require(count >= 0 && count <= largest && count == std::floor(count),
          "{}: '{}' is not a count from 0 to 1e15", document_.at(number).path, key);
  return static_cast<int64_t>(count);
}

void SchemaLogic::add_count_keyword(Facts& facts, int32_t number, const std::string& key) {
  if (key == "minItems") at_least(facts.least_items, count_of(number, key));
  if (key == "maxItems") at_most(facts.most_items, count_of(number, key));
  if (key == "minProperties") at_least(facts.least_properties, count_of(number, key));
  if (key == "maxProperties") at_most(facts.most_properties, count_of(number, key));
}

void SchemaLogic::add_values(Facts& facts, const Json& values) {
  uint32_t kinds = 0;
  std::vector<std::string> texts;
  auto numbers = std::make_shared<Dfa>();
  require(values.is_array(), "schema: 'enum' is not a list");
  for (const Json& value : values) {
    if (value.is_null()) kinds |= kind_null;
    if (value.is_boolean()) kinds |= value.get<bool>() ? kind_true : kind_false;
    if (value.is_string()) texts.push_back(value.get<std::string>());
    if (!value.is_number()) continue;
    kinds |= kind_number;
    // One spelling of each number is enough.
    const Dfa one = dfa_of_texts(std::vector{text_of(decimal(facts, value, "enum"))});
    *numbers = combine(*numbers, one, Combine::either, work_);
  }
  if (!texts.empty()) kinds |= kind_string;
  facts.kinds &= kinds;
  if ((facts.kinds & kind_number) != 0) facts.numbers.push_back(numbers);
  if ((facts.kinds & kind_string) != 0) facts.texts.push_back(std::make_shared<Dfa>(dfa_of_texts(texts)));
}

void SchemaLogic::add_equal(Facts& facts, const Json& value) {
  if (!value.is_array() && !value.is_object()) return add_values(facts, Json::array({value}));
  const auto size = static_cast<int64_t>(value.size());
  facts.kinds &= value.is_array() ? kind_array : kind_object;
  if (value.is_array()) {
    at_least(facts.least_items, size);
    at_most(facts.most_items, size);
  } else {
    for (const auto& [name, part] : value.items()) add_name(facts.required, name);
  }
}

void SchemaLogic::add_not_keyword(Facts& facts, int32_t number, const std::string& key) {
  const Json& value = (*document_.at(number).value)[key];
  const std::string& path = document_.at(number).path;
  if (key == "type") {
    bool integer = false;
    for (const std::string& type : types_of(value, path)) {
      integer = integer || type == "integer";
      if (type != "integer") facts.kinds &= ~kinds_of_type(type, path);
    }
    if (integer) facts.not_numbers.push_back(std::make_shared<Dfa>(*dfa_of_multiples({.whole = "1"}, work_)));
  } else if (key == "const" || key == "enum") {
    const Json values = key == "const" ? Json::array({value}) : value;
    std::vector<std::string> texts;
    for (const Json& one : values) {
      if (one.is_null()) facts.kinds &= ~kind_null;
      if (one.is_boolean()) facts.kinds &= ~(one.get<bool>() ? kind_true : kind_false);
      if (one.is_string()) texts.push_back(one.get<std::string>());
      if (one.is_number()) facts.not_numbers.push_back(number_value(facts, one, path));
    }
    if (!texts.empty()) facts.not_texts.push_back(std::make_shared<Dfa>(dfa_of_texts(texts)));
  } else if (key == "pattern") {
    facts.kinds &= kind_string;
    require(value.is_string(), "{}: 'pattern' is not a text", path);
    facts.not_texts.push_back(pattern(value.get<std::string>(), path + "/pattern"));
  } else if (const DfaPtr numbers = number_keyword(facts, number, key)) {
    facts.kinds &= kind_number;
    facts.not_numbers.push_back(numbers);
  } else {
    const int64_t count = count_of(number, key);
    const bool minimum = key.starts_with("min");
    if (minimum && count == 0) {
      facts.kinds = 0;
    } else if (key.ends_with("Length")) {
      facts.kinds &= kind_string;
      minimum ? at_most(facts.most_length, count - 1) : at_least(facts.least_length, count + 1);
    } else if (key.ends_with("Items")) {
      facts.kinds &= kind_array;
      minimum ? at_most(facts.most_items, count - 1) : at_least(facts.least_items, count + 1);
    } else {
      facts.kinds &= kind_object;
      minimum ? at_most(facts.most_properties, count - 1) : at_least(facts.least_properties, count + 1);
    }
  }
}

Dfa SchemaLogic::numbers_of(const Facts& facts) {
  const int32_t whole = std::max(usual_digits, facts.whole_digits);
  const int32_t all = std::max(usual_digits, facts.whole_digits + facts.fraction_digits);
  Dfa numbers = facts.integer ? dfa_of_integers(whole, work_) : dfa_of_decimals(whole, all, work_);
  for (const DfaPtr& some : facts.numbers) numbers = combine(numbers, *some, Combine::both, work_);
  for (const DfaPtr& some : facts.not_numbers) numbers = combine(numbers, *some, Combine::first_only, work_);
  return numbers;
}

Dfa SchemaLogic::texts_of(const Facts& facts) {
  Dfa texts = facts.texts.empty() ? dfa_of_all_text() : *facts.texts.front();
  for (size_t i = 1; i < facts.texts.size(); ++i)
    texts = combine(texts, *facts.texts[i], Combine::both, work_);
  for (const DfaPtr& some : facts.not_texts) texts = combine(texts, *some, Combine::first_only, work_);
  if (facts.least_length > 0 || facts.most_length >= 0)
    texts =
        combine(texts, dfa_of_lengths(facts.least_length, facts.most_length, work_), Combine::both, work_);
  return texts;
}

}  // namespace aviary::grammar
