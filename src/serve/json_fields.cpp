#include "serve/json_fields.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "serve/service.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

std::string kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "a list";
    case Json::value_t::string:
      return "a text";
    case Json::value_t::boolean:
      return fmt::format("{}", value.get<bool>());
    default:
      return fmt::format("the number {}", value.dump());
  }
}

[[noreturn]] void refuse_value(const std::string& path, std::string_view expected, const Json& value) {
  refuse_field(path, fmt::format("expected {}, got {}", expected, kind_of(value)));
}

// The number as a whole one, if it is.
std::optional<int64_t> whole(const Json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()})
    return {};
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number_float()) return {};
  const double number = value.get<double>();
  if (std::abs(number) > 0x1p53 || number != std::floor(number)) return {};
  return static_cast<int64_t>(number);
}

std::string element(const std::string& path, size_t index) { return fmt::format("{}[{}]", path, index); }

}  // namespace

Json parse_request(std::string_view body) {
  try {
    return parse_ordered_json(body, "the body of the request", request_json_depth);
  } catch (const Error& error) {
    throw TaskFailure({.kind = TaskError::Kind::bad_request, .message = error.what()});
  }
}

std::string json_text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

void refuse_field(const std::string& path, std::string_view complaint) {
  throw TaskFailure({.kind = TaskError::Kind::bad_request,
                     .message = printable(fmt::format("{}: {}", path, complaint)),
                     .param = printable(path)});
}

Fields::Fields(const Json& object, std::string path) : object_(&object), path_(std::move(path)) {
  if (object.is_object()) return;
  refuse_value(path_.empty() ? "the body of the request" : path_, "an object", object);
}

const Json* Fields::find(std::string_view name) const {
  const auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

const Json& Fields::at(std::string_view name, std::string_view expected) const {
  const Json* value = find(name);
  if (value == nullptr) refuse_field(path_of(name), fmt::format("expected {}, but it is missing", expected));
  return *value;
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void Fields::refuse(std::string_view name, std::string_view expected) const {
  const auto found = object_->find(name);
  refuse_value(path_of(name), expected, found == object_->end() ? Json() : *found);
}

std::optional<std::string> Fields::text(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_string()) refuse(name, "a text");
  return value->get<std::string>();
}

std::string Fields::required_text(std::string_view name) const {
  if (!at(name, "a text").is_string()) refuse(name, "a text");
  return *text(name);
}

std::optional<bool> Fields::flag(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_boolean()) refuse(name, "true or false");
  return value->get<bool>();
}

std::optional<int64_t> Fields::integer(std::string_view name, int64_t least, int64_t most) const {
  const Json* value = find(name);
  if (value == nullptr) return {};
  const std::optional<int64_t> number = whole(*value);
  if (number && *number >= least && *number <= most) return number;
  refuse(name, most == std::numeric_limits<int64_t>::max()
                   ? fmt::format("a whole number of at least {}", least)
                   : fmt::format("a whole number from {} to {}", least, most));
}

std::optional<double> Fields::number(std::string_view name, double least, double most) const {
  const Json* value = find(name);
  if (value == nullptr) return {};
  if (value->is_number() && value->get<double>() >= least && value->get<double>() <= most)
    return value->get<double>();
  refuse(name, std::isinf(most) ? fmt::format("a number of at least {}", least)
                                : fmt::format("a number from {} to {}", least, most));
}

std::optional<std::string> Fields::word(std::string_view name,
                                        const std::vector<std::string_view>& words) const {
  const std::optional<std::string> value = text(name);
  if (!value) return {};
  std::string expected;
  for (std::string_view word : words) {
    if (*value == word) return value;
    expected += fmt::format("{}\"{}\"", expected.empty() ? "" : ", ", word);
  }
  refuse_field(path_of(name), fmt::format("expected one of {}, got {}", expected, in_quotes(*value)));
}

std::optional<Fields> Fields::object(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return {};
  return Fields(*value, path_of(name));
}

std::vector<Fields> Fields::objects(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return {};
  if (!value->is_array()) refuse(name, "a list of objects");
  std::vector<Fields> elements;
  for (size_t i = 0; i < value->size(); ++i) elements.emplace_back((*value)[i], element(path_of(name), i));
  return elements;
}

std::vector<std::string> Fields::texts(std::string_view name) const {
  const Json* value = find(name);
  if (value == nullptr) return {};
  if (value->is_string()) return {value->get<std::string>()};
  if (!value->is_array()) refuse(name, "a text or a list of texts");
  std::vector<std::string> all;
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& text = (*value)[i];
    if (!text.is_string()) refuse_value(element(path_of(name), i), "a text", text);
    all.push_back(text.get<std::string>());
  }
  return all;
}

std::vector<int32_t> tokens_of(const Json& list, const std::string& path) {
  if (!list.is_array()) refuse_value(path, "a list of token ids", list);
  std::vector<int32_t> tokens;
  tokens.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const std::optional<int64_t> token = whole(list[i]);
    if (!token || *token < 0 || *token > std::numeric_limits<int32_t>::max())
      refuse_value(element(path, i), "a token id", list[i]);
    tokens.push_back(static_cast<int32_t>(*token));
  }
  return tokens;
}

Prompt prompt_of(const Json& value, const std::string& path) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) refuse_value(path, "a text or a list of token ids", value);
  return tokens_of(value, path);
}

std::vector<Prompt> prompts_of(const Json& value, const std::string& path) {
  if (value.is_string() || (value.is_array() && !value.empty() && value[0].is_number()))
    return {prompt_of(value, path)};
  if (!value.is_array()) refuse_value(path, "a text, a list of texts or token ids", value);
  if (value.empty()) refuse_field(path, "expected at least one text, got an empty list");
  std::vector<Prompt> prompts;
  for (size_t i = 0; i < value.size(); ++i) prompts.push_back(prompt_of(value[i], element(path, i)));
  return prompts;
}

}  // namespace aviary
