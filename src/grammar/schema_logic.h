// The logic of JSON Schema: which simple schemas an instance must satisfy at the same time, and what they say
// together.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "grammar/dfa.h"
#include "grammar/numbers.h"
#include "grammar/schema_document.h"

namespace aviary::grammar {

// One condition on an instance.
struct Term {
  enum class What : uint8_t {
    schema,        // it satisfies schema `number`
    not_schema,    // it does not
    not_keyword,   // it does not satisfy the keyword `name` of schema `number`
    not_property,  // its property `name` does not satisfy schema `number`
    equals,        // it is value `number` of the document
    enum_scalars,  // it is one of the values in `enum` of schema `number` that are neither array nor object
    present,       // if it is an object, it has the property `name`
    absent,        // if it is an object, it does not have it
    object,        // it is an object
    nothing        // no instance satisfies this
  };
  What what = What::schema;
  int32_t number = 0;
  std::string name = {};
  auto operator<=>(const Term&) const = default;
};
using Conjunction = std::vector<Term>;  // sorted, without duplicates

enum Kind : uint32_t {
  kind_null = 1,
  kind_true = 2,
  kind_false = 4,
  kind_number = 8,
  kind_string = 16,
  kind_array = 32,
  kind_object = 64,
  kind_any = 127
};

using DfaPtr = std::shared_ptr<const Dfa>;

// What simple terms say together. Limits below 0: none.
struct Facts {
  uint32_t kinds = kind_any;
  bool integer = false;
  std::vector<DfaPtr> numbers, not_numbers;       // spelled without exponents
  int32_t whole_digits = 0, fraction_digits = 0;  // that the bounds need
  int64_t least_length = 0, most_length = -1;
  std::vector<DfaPtr> texts, not_texts;
  int64_t least_items = 0, most_items = -1;
  int64_t least_properties = 0, most_properties = -1;
  std::vector<std::string> required, absent;
  bool unique = false;    // uniqueItems
  int32_t contains = -1;  // a schema, of which this many items are instances
  int64_t least_contains = 1;
  Conjunction terms;

  bool any_number() const { return numbers.empty() && not_numbers.empty(); }
  bool any_text() const { return texts.empty() && not_texts.empty(); }
};

// Keys beyond the declared ones, whose values satisfy the same terms.
struct OtherKeys {
  std::optional<Dfa> keys;  // nothing: all
  Conjunction value;
};

class SchemaLogic {
 public:
  SchemaLogic(SchemaDocument& document, const SchemaOptions& options, Work& work)
      : document_(document), options_(options), work_(work) {}

  // An instance satisfies all these terms if and only if it satisfies all terms of one alternative; the terms
  // of alternatives are simple: their schemas count without the keywords that refer to other schemas in place
  // ($ref, allOf, anyOf, ...). Throws Error for keywords that are not supported.
  std::vector<Conjunction> alternatives(const Conjunction& terms);
  // Of one alternative.
  Facts facts_of(const Conjunction& terms);

  // The numbers or texts that satisfy the facts.
  Dfa numbers_of(const Facts& facts);
  Dfa texts_of(const Facts& facts);
  // The names that are declared, in order: those of `properties` and `required`.
  std::vector<std::string> declared(const Facts& facts);
  Conjunction property(const Facts& facts, const std::string& name);
  std::vector<OtherKeys> other_keys(const Facts& facts, const std::vector<std::string>& names);
  Conjunction item(const Facts& facts, size_t index);
  // From this index on, item() is the same for all.
  size_t prefix_length(const Facts& facts);
  std::string path_of(const Conjunction& terms) const;

 private:
  friend class Expansion;

  // Whether no instance satisfies the terms, `plain` being simple already; false if that is not certain.
  bool certainly_empty(const Conjunction& plain, const std::vector<Term>& more);
  bool certainly_empty(const Facts& facts);

  void add_term(Facts& facts, const Term& term);
  void add_schema(Facts& facts, int32_t number);
  void add_values(Facts& facts, const Json& values);
  void add_equal(Facts& facts, const Json& value);
  void add_number_keyword(Facts& facts, int32_t number, const std::string& key);
  void add_text_keyword(Facts& facts, int32_t number, const std::string& key);
  void add_count_keyword(Facts& facts, int32_t number, const std::string& key);
  void add_not_keyword(Facts& facts, int32_t number, const std::string& key);
  DfaPtr number_keyword(Facts& facts, int32_t number, const std::string& key);
  DfaPtr pattern(const std::string& expression, const std::string& path);
  DfaPtr number_value(Facts& facts, const Json& number, const std::string& path);
  Decimal decimal(Facts& facts, const Json& number, const std::string& path);
  // Whether it is plain that no keys beside the declared ones are allowed.
  bool no_other_keys(const Facts& facts) const;
  // The names that `propertyNames` allows; nothing: all.
  std::optional<Dfa> allowed_names(const Facts& facts);
  bool is_reference_only(const Json& schema) const;
  int64_t count_of(int32_t number, const std::string& key) const;

  SchemaDocument& document_;
  const SchemaOptions& options_;
  Work& work_;
  std::map<std::string, DfaPtr> patterns_, formats_, number_limits_;
  int depth_ = 0;  // of certainly_empty()
  // In such a proof: what we obey although others need not, as formats and old keywords, says nothing.
  bool proving_ = false;
};

}  // namespace aviary::grammar
