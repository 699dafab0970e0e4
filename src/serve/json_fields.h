// Reads the fields of a JSON object from outside. What is absent or null is nothing; what has the wrong type
// or is out of its range is refused with the path of the field: "messages[2].content: expected a text, got a
// number". Fields that nobody asks for are ignored.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/task.h"

namespace aviary {

// How deeply the JSON of a request may be nested.
inline constexpr int request_json_depth = 64;

// The JSON of a request's body; members keep their order, which matters in schemas. Throws TaskFailure
// (bad_request).
nlohmann::ordered_json parse_request(std::string_view body);

// The JSON as text in one line; bytes that are not UTF-8 become U+FFFD.
std::string json_text(const nlohmann::ordered_json& json);

// Throws TaskFailure (bad_request) with the field as its param: "temperature: expected ...".
[[noreturn]] void refuse_field(const std::string& path, std::string_view complaint);

// An object; it must outlive this view. All functions throw TaskFailure (bad_request, param: the path).
class Fields {
 public:
  // `path` is that of the object, empty for the body itself.
  explicit Fields(const nlohmann::ordered_json& object, std::string path = "");

  // The value; nullptr if it is absent or null.
  const nlohmann::ordered_json* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  // The value; refuses one that is absent or null.
  const nlohmann::ordered_json& at(std::string_view name, std::string_view expected) const;

  std::optional<std::string> text(std::string_view name) const;
  std::string required_text(std::string_view name) const;
  std::optional<bool> flag(std::string_view name) const;
  // A whole number, also one that is written as 3.0.
  std::optional<int64_t> integer(std::string_view name, int64_t least, int64_t most) const;
  std::optional<double> number(std::string_view name, double least, double most) const;
  // One of these words.
  std::optional<std::string> word(std::string_view name, const std::vector<std::string_view>& words) const;
  std::optional<Fields> object(std::string_view name) const;
  // The elements of a list of objects; none if it is absent.
  std::vector<Fields> objects(std::string_view name) const;
  // A text, or a list of texts; none if it is absent.
  std::vector<std::string> texts(std::string_view name) const;

  const nlohmann::ordered_json& json() const { return *object_; }
  const std::string& path() const { return path_; }
  std::string path_of(std::string_view name) const;
  // "NAME: expected EXPECTED, got a number"
  [[noreturn]] void refuse(std::string_view name, std::string_view expected) const;

 private:
  const nlohmann::ordered_json* object_;
  std::string path_;
};

// A list of token ids.
std::vector<int32_t> tokens_of(const nlohmann::ordered_json& list, const std::string& path);
// A text or a list of token ids.
Prompt prompt_of(const nlohmann::ordered_json& value, const std::string& path);
// A text, a list of texts, a list of token ids, or a list of such lists and texts. At least one.
std::vector<Prompt> prompts_of(const nlohmann::ordered_json& value, const std::string& path);

}  // namespace aviary
