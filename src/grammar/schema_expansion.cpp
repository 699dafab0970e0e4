// SchemaLogic::alternatives: the disjunctive normal form of a conjunction of schemas.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "grammar/schema_keywords.h"
#include "grammar/schema_logic.h"

namespace aviary::grammar {
namespace {

using What = Term::What;
using Option = std::vector<Term>;
using Choice = std::vector<Option>;  // one of these

constexpr size_t most_alternatives = 2000;
constexpr int deepest_expansion = 200;

bool compound(const Json& value) { return value.is_array() || value.is_object(); }

}  // namespace

class Expansion {
 public:
  explicit Expansion(SchemaLogic& logic) : logic_(logic), document_(logic.document_) {}

  std::vector<Conjunction> run(const Conjunction& plain, const std::vector<Term>& pending) {
    Branch branch{.pending = pending, .plain = plain};
    branch.seen.insert(plain.begin(), plain.end());
    expand(std::move(branch), 0);
    std::sort(found_.begin(), found_.end());
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
    return std::move(found_);
  }

 private:
  struct Branch {
    std::vector<Term> pending = {};
    std::vector<Choice> choices = {};
    std::vector<Term> plain = {};
    std::set<Term> seen = {};
    bool impossible = false;
  };

  void expand(Branch branch, int depth) {
    require(depth < deepest_expansion, "{}: more than {} choices (anyOf, oneOf, ...) for one instance",
            logic_.path_of(branch.plain), deepest_expansion);
    while (!branch.pending.empty() && !branch.impossible) {
      Term term = std::move(branch.pending.back());
      branch.pending.pop_back();
      if (branch.seen.insert(term).second) process(branch, term);
    }
    std::sort(branch.plain.begin(), branch.plain.end());
    logic_.work_.spend(1 + std::ssize(branch.plain));
    if (branch.impossible || logic_.facts_of(branch.plain).kinds == 0) return;
    if (branch.choices.empty()) {
      require(found_.size() < most_alternatives, "{}: more than {} alternatives for one instance",
              logic_.path_of(branch.plain), most_alternatives);
      found_.push_back(std::move(branch.plain));
      return;
    }
    const Choice choice = std::move(branch.choices.back());
    branch.choices.pop_back();
    for (const Option& option : choice) {
      Branch copy = branch;
      copy.pending = option;
      expand(std::move(copy), depth + 1);
    }
  }

  const Json& value_of(int32_t schema) const { return *document_.at(schema).value; }
  const std::string& path_of(int32_t schema) const { return document_.at(schema).path; }

  void process(Branch& branch, const Term& term) {
    switch (term.what) {
      case What::schema:
        return process_schema(branch, term);
      case What::not_schema:
        return process_not(branch, term.number);
      case What::nothing:
        branch.impossible = true;
        return;
      default:
        branch.plain.push_back(term);
    }
  }

  void process_schema(Branch& branch, const Term& term) {
    const Json& schema = value_of(term.number);
    if (schema.is_boolean()) {
      branch.impossible = branch.impossible || !schema.get<bool>();
      return;
    }
    require(schema.is_object(), "{}: a schema must be an object, true or false", path_of(term.number));
    if (logic_.is_reference_only(schema)) {
      branch.pending.push_back({What::schema, document_.target(term.number)});
      return;
    }
    branch.plain.push_back(term);
    for (const auto& [key, value] : schema.items()) {
      if (logic_.proving_ && is_out_of_use(key)) continue;
      const KeywordUse use = use_of_keyword(key, document_.draft());
      if (use == KeywordUse::refused) refuse(term.number, key, value);
      if (use == KeywordUse::in_place) add_in_place(branch, term.number, key, value);
      if (key == "enum" || key == "const") add_compound_values(branch, term.number, key, value);
    }
  }

  // A keyword that later drafts do not have. We obey it, which is right with and without it; that an instance
  // does not satisfy it proves nothing to who ignores it.
  bool is_out_of_use(std::string_view key) const {
    return key == "dependencies" && document_.draft() >= Draft::draft2019_09;
  }

  void refuse(int32_t schema, const std::string& key, const Json& value) const {
    const bool says_nothing = value.is_boolean() && value.get<bool>() && key.starts_with("unevaluated");
    const bool alone = key == "maxContains" && !value_of(schema).contains("contains");
    require(says_nothing || alone, "{}: '{}' is not supported", path_of(schema), key);
  }

  void require_list(int32_t schema, const std::string& key) const {
    const Json& value = value_of(schema)[key];
    require(value.is_array() && !value.empty(), "{}: '{}' is not a list of schemas", path_of(schema), key);
  }

  void add_in_place(Branch& branch, int32_t schema, const std::string& key, const Json& value) {
    if (key == "$ref") {
      branch.pending.push_back({What::schema, document_.target(schema)});
    } else if (key == "allOf") {
      require_list(schema, key);
      for (size_t i = 0; i < value.size(); ++i)
        branch.pending.push_back({What::schema, document_.child(schema, key, i)});
    } else if (key == "anyOf") {
      require_list(schema, key);
      Choice choice;
      for (size_t i = 0; i < value.size(); ++i)
        choice.push_back({{What::schema, document_.child(schema, key, i)}});
      branch.choices.push_back(std::move(choice));
    } else if (key == "oneOf") {
      require_list(schema, key);
      add_one_of(branch, schema);
    } else if (key == "not") {
      branch.pending.push_back({What::not_schema, document_.child(schema, key)});
    } else if (key == "if") {
      add_condition(branch, schema);
    } else if (key.starts_with("depend")) {
      add_dependencies(branch, schema, key, value);
    }
  }

  // Exactly one: if the alternatives exclude each other, any of them; otherwise one of them and none of the
  // others.
  void add_one_of(Branch& branch, int32_t schema) {
    const auto count = value_of(schema)["oneOf"].size();
    std::vector<Term> all;
    for (size_t i = 0; i < count; ++i) all.push_back({What::schema, document_.child(schema, "oneOf", i)});
    Conjunction context = branch.plain;
    std::sort(context.begin(), context.end());
    Choice choice;
    for (size_t i = 0; i < count; ++i) {
      choice.push_back({all[i]});
      for (size_t j = 0; j < count; ++j)
        if (j != i && !logic_.certainly_empty(context, {all[std::min(i, j)], all[std::max(i, j)]}))
          choice.back().push_back({What::not_schema, all[j].number});
    }
    branch.choices.push_back(std::move(choice));
  }

  void add_condition(Branch& branch, int32_t schema) {
    const Json& value = value_of(schema);
    if (!value.contains("then") && !value.contains("else")) return;
    const int32_t condition = document_.child(schema, "if");
    Option yes{{What::schema, condition}}, no{{What::not_schema, condition}};
    if (value.contains("then")) yes.push_back({What::schema, document_.child(schema, "then")});
    if (value.contains("else")) no.push_back({What::schema, document_.child(schema, "else")});
    branch.choices.push_back({yes, no});
  }

  void add_dependencies(Branch& branch, int32_t schema, const std::string& key, const Json& value) {
    require(value.is_object(), "{}: '{}' is not an object", path_of(schema), key);
    for (const auto& [name, needed] : value.items()) {
      Option with{{What::present, 0, name}};
      if (needed.is_object() || needed.is_boolean()) {
        with.push_back({What::schema, document_.child(schema, key, name)});
      } else {
        for (const std::string& other : names_of(schema, key, needed))
          with.push_back({What::present, 0, other});
      }
      branch.choices.push_back({{{What::absent, 0, name}}, with});
    }
  }

  std::vector<std::string> names_of(int32_t schema, const std::string& key, const Json& names) const {
    std::vector<std::string> all;
    const Json list = names.is_string() ? Json::array({names}) : names;
    require(list.is_array(), "{}: '{}' does not hold lists of names", path_of(schema), key);
    for (const Json& name : list) {
      require(name.is_string(), "{}: '{}' holds a name that is not a text", path_of(schema), key);
      all.push_back(name.get<std::string>());
    }
    return all;
  }

  // Arrays and objects among the values are alternatives of their own.
  void add_compound_values(Branch& branch, int32_t schema, const std::string& key, const Json& value) {
    if (use_of_keyword(key, document_.draft()) == KeywordUse::annotation) return;
    if (key == "const") {
      if (compound(value)) branch.pending.push_back({What::equals, document_.value_number(value)});
      return;
    }
    require(value.is_array(), "{}: 'enum' is not a list", path_of(schema));
    if (std::none_of(value.begin(), value.end(), compound)) return;
    Choice choice{{{What::enum_scalars, schema}}};
    for (const Json& one : value)
      if (compound(one)) choice.push_back({{What::equals, document_.value_number(one)}});
    branch.choices.push_back(std::move(choice));
  }

  void process_not(Branch& branch, int32_t schema) {
    const Json& value = value_of(schema);
    if (value.is_boolean()) {
      branch.impossible = branch.impossible || value.get<bool>();
      return;
    }
    require(value.is_object(), "{}: a schema must be an object, true or false", path_of(schema));
    if (logic_.is_reference_only(value)) {
      branch.pending.push_back({What::not_schema, document_.target(schema)});
      return;
    }
    Choice choice;
    for (const auto& [key, part] : value.items()) {
      if (is_out_of_use(key)) continue;
      const KeywordUse use = use_of_keyword(key, document_.draft());
      if (use == KeywordUse::refused) refuse(schema, key, part);
      if (use == KeywordUse::in_place) add_not_in_place(choice, schema, key, part);
      if (use == KeywordUse::simple) add_not_simple(choice, schema, key, part);
    }
    if (choice.empty())
      branch.impossible = true;
    else
      branch.choices.push_back(std::move(choice));
  }

  [[noreturn]] void refuse_not(int32_t schema, const std::string& key) const {
    fail(
        "{}: '{}' is not supported where it must not be satisfied (in 'not', in 'if', or in 'oneOf' whose "
        "alternatives "
        "do not exclude each other)",
        path_of(schema), key);
  }

  void add_not_in_place(Choice& choice, int32_t schema, const std::string& key, const Json& value) {
    auto part = [&](What what, size_t i) { return Term{what, document_.child(schema, key, i)}; };
    if (key == "$ref") {
      choice.push_back({{What::not_schema, document_.target(schema)}});
    } else if (key == "not") {
      choice.push_back({{What::schema, document_.child(schema, key)}});
    } else if (key == "allOf") {
      require_list(schema, key);
      for (size_t i = 0; i < value.size(); ++i) choice.push_back({part(What::not_schema, i)});
    } else if (key == "anyOf" || key == "oneOf") {
      require_list(schema, key);
      Option none;
      for (size_t i = 0; i < value.size(); ++i) none.push_back(part(What::not_schema, i));
      choice.push_back(std::move(none));
      for (size_t i = 0; i < value.size() && key == "oneOf"; ++i)  // or two of them
        for (size_t j = 0; j < i; ++j) choice.push_back({part(What::schema, i), part(What::schema, j)});
    } else if (key == "if") {
      const int32_t condition = document_.child(schema, "if");
      if (value_of(schema).contains("then"))
        choice.push_back({{What::schema, condition}, {What::not_schema, document_.child(schema, "then")}});
      if (value_of(schema).contains("else"))
        choice.push_back(
            {{What::not_schema, condition}, {What::not_schema, document_.child(schema, "else")}});
    } else if (key != "then" && key != "else") {
      refuse_not(schema, key);
    }
  }

  void add_not_simple(Choice& choice, int32_t schema, const std::string& key, const Json& value) {
    static const std::set<std::string> by_keyword = {
        "const",         "enum",          "exclusiveMaximum", "exclusiveMinimum", "maxItems",
        "maxLength",     "maxProperties", "maximum",          "minItems",         "minLength",
        "minProperties", "minimum",       "multipleOf",       "pattern",          "type"};
    if (key == "required" && value.is_array()) {
      for (const std::string& name : names_of(schema, key, value))
        choice.push_back({{What::object}, {What::absent, 0, name}});
    } else if (key == "properties" && value.is_object()) {
      for (const auto& [name, part] : value.items())
        choice.push_back({{What::object},
                          {What::present, 0, name},
                          {What::not_property, document_.child(schema, key, name), name}});
    } else if (by_keyword.contains(key)) {
      if (key == "const" && compound(value)) refuse_not(schema, key);
      if (key == "enum" && std::any_of(value.begin(), value.end(), compound)) refuse_not(schema, key);
      const bool flag_of_draft4 = key.starts_with("exclusive") && value.is_boolean();
      if (!flag_of_draft4) choice.push_back({{What::not_keyword, schema, key}});
    } else if (key == "format") {
      // Texts that are not of the format are not needed, except in a proof that there are none.
      if (logic_.proving_) choice.push_back({});
    } else {
      refuse_not(schema, key);
    }
  }

  SchemaLogic& logic_;
  SchemaDocument& document_;
  std::vector<Conjunction> found_;
};

std::vector<Conjunction> SchemaLogic::alternatives(const Conjunction& terms) {
  return Expansion(*this).run({}, terms);
}

bool SchemaLogic::certainly_empty(const Conjunction& plain, const std::vector<Term>& more) {
  constexpr int deepest_proof = 6;
  if (depth_ >= deepest_proof) return false;
  ++depth_;
  const bool formats = std::exchange(proving_, true);
  bool empty = true;
  try {
    for (const Conjunction& terms : Expansion(*this).run(plain, more))
      if (!certainly_empty(facts_of(terms))) {
        empty = false;
        break;
      }
  } catch (...) {
    --depth_;
    proving_ = formats;
    throw;
  }
  --depth_;
  proving_ = formats;
  return empty;
}

bool SchemaLogic::certainly_empty(const Facts& facts) {
  if ((facts.kinds & (kind_null | kind_true | kind_false)) != 0) return false;
  if ((facts.kinds & kind_number) != 0 && !numbers_of(facts).empty()) return false;
  if ((facts.kinds & kind_string) != 0 && (facts.any_text() || !texts_of(facts).empty())) return false;
  if ((facts.kinds & kind_array) != 0) {
    bool possible = facts.most_items < 0 || facts.least_items <= facts.most_items;
    const auto items = std::min<size_t>(static_cast<size_t>(facts.least_items), prefix_length(facts) + 1);
    for (size_t i = 0; i < items && possible; ++i) possible = !certainly_empty({}, item(facts, i));
    if (possible) return false;
  }
  if ((facts.kinds & kind_object) != 0) {
    bool possible = facts.most_properties < 0 || std::ssize(facts.required) <= facts.most_properties;
    for (size_t i = 0; i < facts.required.size() && possible; ++i)
      possible = !certainly_empty({}, property(facts, facts.required[i]));
    if (possible) return false;
  }
  return true;
}

}  // namespace aviary::grammar
