// A JSON Schema and the parts of it that are schemas, each with its place and the base of its references.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "grammar/grammar.h"

namespace aviary::grammar {

using Json = nlohmann::ordered_json;

struct Subschema {
  const Json* value = nullptr;
  std::string path;  // "#/properties/a"
  std::string base;  // the address that references are relative to
};

class SchemaDocument {
 public:
  // The schema must outlive it. Throws Error for an unknown $schema or one that changes within the document.
  SchemaDocument(const Json& schema, const SchemaOptions& options);

  Draft draft() const { return draft_; }
  int32_t root() { return number_of(*root_, "#", root_base_); }
  const Subschema& at(int32_t number) const { return subschemas_[static_cast<size_t>(number)]; }
  // The number of the schema at value[key] or value[key][name] of another schema.
  int32_t child(int32_t parent, const std::string& key);
  int32_t child(int32_t parent, const std::string& key, const std::string& name);
  int32_t child(int32_t parent, const std::string& key, size_t index);
  // The schema that `$ref` of this schema names. Throws Error if it is not in the document.
  int32_t target(int32_t number);

  // Any value of the document, for example of an enum.
  int32_t value_number(const Json& value);
  const Json& value(int32_t number) const { return *values_[static_cast<size_t>(number)]; }

 private:
  struct Place {
    const Json* value = nullptr;
    std::string path, base;
  };

  void read_draft();
  // Finds the names ($id, $anchor) of all schemas in the document.
  void scan(const Json& schema, const std::string& path, const std::string& base, int depth);
  void scan_children(const Json& schema, const std::string& path, const std::string& base, int depth);
  std::string read_names(const Json& schema, const std::string& path, const std::string& base);
  Place follow_pointer(Place place, std::string_view pointer, const std::string& where) const;
  int32_t number_of(const Json& value, const std::string& path, const std::string& base);

  const Json* root_;
  std::string root_base_;
  Draft draft_;
  std::map<std::string, Place> names_;                      // absolute addresses, also with "#anchor"
  std::unordered_map<const Json*, std::string> new_bases_;  // of schemas with $id
  std::unordered_map<const Json*, int32_t> numbers_, value_numbers_;
  std::vector<Subschema> subschemas_;
  std::vector<const Json*> values_;
};

// "~" and "/" in a step of a JSON pointer.
std::string pointer_step(std::string_view name);

}  // namespace aviary::grammar
