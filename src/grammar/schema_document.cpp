#include "grammar/schema_document.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/error.h"

namespace aviary::grammar {
namespace {

constexpr int deepest_document = 256;

std::optional<Draft> draft_of_address(std::string_view address) {
  if (address.ends_with('#')) address.remove_suffix(1);
  for (const std::string_view scheme : {"http://", "https://"})
    if (address.starts_with(scheme)) address.remove_prefix(scheme.size());
  constexpr std::pair<std::string_view, Draft> known[] = {
      {"json-schema.org/draft-04/schema", Draft::draft4},
      {"json-schema.org/draft-06/schema", Draft::draft6},
      {"json-schema.org/draft-07/schema", Draft::draft7},
      {"json-schema.org/draft/2019-09/schema", Draft::draft2019_09},
      {"json-schema.org/draft/2020-12/schema", Draft::draft2020_12},
      {"json-schema.org/schema", Draft::draft2020_12}};
  for (const auto& [name, draft] : known)
    if (address == name) return draft;
  return {};
}

bool has_scheme(std::string_view address) {
  const size_t colon = address.find(':');
  return colon != address.npos && colon > 0 && address.find_first_of("/?#") > colon;
}

// Without "." and ".." (RFC 3986, 5.2.4).
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> steps;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view step = path.substr(begin, end - begin);
    const bool last = end == path.size();
    if (step == "..") {
      if (steps.size() > 1) steps.pop_back();
    } else if (step != ".") {
      steps.push_back(step);
    }
    if (last && (step == "." || step == "..")) steps.push_back("");
    begin = end + 1;
  }
  std::string result;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (i > 0) result += '/';
    result += steps[i];
  }
  return result;
}

// A reference without fragment, relative to a base (RFC 3986, 5.2).
std::string resolved(std::string_view reference, std::string_view base) {
  if (reference.empty()) return std::string(base);
  if (has_scheme(reference)) return std::string(reference);
  const size_t scheme = has_scheme(base) ? base.find(':') + 1 : 0;
  if (reference.starts_with("//")) return std::string(base.substr(0, scheme)) + std::string(reference);
  size_t path = scheme;
  if (base.substr(scheme).starts_with("//")) path = std::min(base.find('/', scheme + 2), base.size());
  const std::string_view root = base.substr(0, path);
  if (reference.starts_with("/")) return std::string(root) + without_dots(reference);
  const size_t slash = base.substr(path).rfind('/');
  const std::string_view folder = slash == base.npos ? "/" : base.substr(path).substr(0, slash + 1);
  if (base.substr(path).empty() && root.empty()) return std::string(reference);
  return std::string(root) + without_dots(std::string(folder) + std::string(reference));
}

std::string percent_decoded(std::string_view text) {
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 && digit(text[i + 2]) >= 0) {
      result += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return result;
}

// Keywords whose value is a schema, a list of schemas, or an object of schemas.
constexpr std::string_view holds_schema[] = {"additionalItems",
                                             "additionalProperties",
                                             "contains",
                                             "contentSchema",
                                             "else",
                                             "if",
                                             "items",
                                             "not",
                                             "propertyNames",
                                             "then",
                                             "unevaluatedItems",
                                             "unevaluatedProperties"};
constexpr std::string_view holds_list[] = {"allOf", "anyOf", "items", "oneOf", "prefixItems"};
constexpr std::string_view holds_object[] = {
    "$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"};

template <size_t n>
bool one_of(const std::string_view (&words)[n], std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

}  // namespace

std::string pointer_step(std::string_view name) {
  std::string step = "/";
  for (const char c : name) {
    if (c == '~')
      step += "~0";
    else if (c == '/')
      step += "~1";
    else
      step += c;
  }
  return step;
}

SchemaDocument::SchemaDocument(const Json& schema, const SchemaOptions& options)
    : root_(&schema), draft_(options.draft) {
  require(schema.is_object() || schema.is_boolean(), "schema: expected an object, true or false, not {}",
          excerpt(schema.dump(-1, ' ', false, Json::error_handler_t::replace)));
  read_draft();
  names_[""] = {.value = &schema, .path = "#", .base = ""};
  scan(schema, "#", "", 0);
  const auto base = new_bases_.find(&schema);
  if (base != new_bases_.end()) root_base_ = base->second;
}

void SchemaDocument::read_draft() {
  if (!root_->is_object() || !root_->contains("$schema")) return;
  const Json& name = (*root_)["$schema"];
  require(name.is_string(), "#: '$schema' is not a text");
  const std::optional<Draft> draft = draft_of_address(name.get<std::string>());
  require(draft.has_value(),
          "#: '$schema' names {}, which is not supported; drafts 4, 6, 7, 2019-09 and 2020-12 are",
          in_quotes(name.get<std::string>()));
  draft_ = *draft;
}

std::string SchemaDocument::read_names(const Json& schema, const std::string& path, const std::string& base) {
  const std::string id_name = draft_ == Draft::draft4 ? "id" : "$id";
  const bool only_reference = draft_ <= Draft::draft7 && schema.contains("$ref");
  std::string here = base;
  if (!only_reference && schema.contains(id_name) && schema[id_name].is_string()) {
    const auto id = schema[id_name].get<std::string>();
    const size_t hash = std::min(id.find('#'), id.size());
    if (hash > 0) {
      here = resolved(id.substr(0, hash), base);
      new_bases_[&schema] = here;
      names_.emplace(here, Place{.value = &schema, .path = path, .base = here});
    }
    if (hash + 1 < id.size()) names_.emplace(here + id.substr(hash), Place{&schema, path, here});
  }
  for (const char* anchor : {"$anchor", "$dynamicAnchor"})
    if (draft_ >= Draft::draft2019_09 && schema.contains(anchor) && schema[anchor].is_string())
      names_.emplace(here + "#" + schema[anchor].get<std::string>(), Place{&schema, path, here});
  if (path != "#" && schema.contains("$schema") && schema["$schema"].is_string())
    require(draft_of_address(schema["$schema"].get<std::string>()) == draft_,
            "{}: '$schema' differs from that of the document", path);
  return here;
}

void SchemaDocument::scan(const Json& schema, const std::string& path, const std::string& base, int depth) {
  if (!schema.is_object()) return;
  require(depth < deepest_document, "schema: it is nested more than {} deep", deepest_document);
  scan_children(schema, path, read_names(schema, path, base), depth);
}

void SchemaDocument::scan_children(const Json& schema, const std::string& path, const std::string& base,
                                   int depth) {
  if (draft_ <= Draft::draft7 && schema.contains("$ref") && !schema.contains("definitions")) return;
  for (const auto& [key, value] : schema.items()) {
    if (value.is_array() && one_of(holds_list, key)) {
      for (size_t i = 0; i < value.size(); ++i)
        scan(value[i], fmt::format("{}/{}/{}", path, key, i), base, depth + 1);
    } else if (value.is_object() && one_of(holds_object, key)) {
      for (const auto& [name, part] : value.items())
        scan(part, path + "/" + key + pointer_step(name), base, depth + 1);
    } else if (one_of(holds_schema, key)) {
      scan(value, path + "/" + key, base, depth + 1);
    }
  }
}

int32_t SchemaDocument::number_of(const Json& value, const std::string& path, const std::string& base) {
  const auto [place, fresh] = numbers_.emplace(&value, static_cast<int32_t>(subschemas_.size()));
  if (fresh) {
    const auto own = new_bases_.find(&value);
    subschemas_.push_back(
        {.value = &value, .path = path, .base = own == new_bases_.end() ? base : own->second});
  }
  return place->second;
}

int32_t SchemaDocument::child(int32_t parent, const std::string& key) {
  const Subschema here = at(parent);
  return number_of((*here.value)[key], here.path + "/" + key, here.base);
}

int32_t SchemaDocument::child(int32_t parent, const std::string& key, const std::string& name) {
  const Subschema here = at(parent);
  return number_of((*here.value)[key][name], here.path + "/" + key + pointer_step(name), here.base);
}

int32_t SchemaDocument::child(int32_t parent, const std::string& key, size_t index) {
  const Subschema here = at(parent);
  return number_of((*here.value)[key][index], fmt::format("{}/{}/{}", here.path, key, index), here.base);
}

SchemaDocument::Place SchemaDocument::follow_pointer(Place place, std::string_view pointer,
                                                     const std::string& where) const {
  const std::string whole(pointer);
  while (!pointer.empty()) {
    pointer.remove_prefix(1);
    const size_t end = std::min(pointer.find('/'), pointer.size());
    std::string step;
    for (size_t i = 0; i < end; ++i) {
      const bool escape =
          pointer[i] == '~' && i + 1 < end && (pointer[i + 1] == '0' || pointer[i + 1] == '1');
      step += escape ? (pointer[++i] == '0' ? '~' : '/') : pointer[i];
    }
    pointer.remove_prefix(end);
    const Json* next = nullptr;
    if (place.value->is_object() && place.value->contains(step)) {
      next = &(*place.value)[step];
    } else if (place.value->is_array() && !step.empty() && step.size() < 9 &&
               step.find_first_not_of("0123456789") == step.npos) {
      const auto index = static_cast<size_t>(std::stoul(step));
      if (index < place.value->size()) next = &(*place.value)[index];
    }
    require(next != nullptr, "{}: '$ref' names {}, which does not exist", where, in_quotes(whole));
    place.value = next;
    place.path += pointer_step(step);
    const auto base = new_bases_.find(next);
    if (base != new_bases_.end()) place.base = base->second;
  }
  return place;
}

int32_t SchemaDocument::target(int32_t number) {
  const Subschema here = at(number);
  const Json& reference = (*here.value)["$ref"];
  require(reference.is_string(), "{}: '$ref' is not a text", here.path);
  const auto text = reference.get<std::string>();
  const size_t hash = std::min(text.find('#'), text.size());
  const std::string address = resolved(text.substr(0, hash), here.base);
  const std::string fragment = percent_decoded(text.substr(std::min(hash + 1, text.size())));
  const bool pointer = fragment.empty() || fragment.starts_with('/');
  const auto place = names_.find(pointer ? address : address + "#" + fragment);
  require(place != names_.end(), "{}: '$ref' names {}, which is not in this document", here.path,
          in_quotes(text));
  Place found = place->second;
  if (pointer) found = follow_pointer(found, fragment, here.path);
  require(found.value->is_object() || found.value->is_boolean(), "{}: '$ref' names {}, which is not a schema",
          here.path, in_quotes(text));
  return number_of(*found.value, found.path, found.base);
}

int32_t SchemaDocument::value_number(const Json& value) {
  const auto [place, fresh] = value_numbers_.emplace(&value, static_cast<int32_t>(values_.size()));
  if (fresh) values_.push_back(&value);
  return place->second;
}

}  // namespace aviary::grammar
