#include "data/text_list.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "data/rows.h"
#include "data/text_file.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

constexpr std::string_view list_blanks = " \t\r\n\v\f";

bool is_blank(std::string_view text) { return text.find_first_not_of(list_blanks) == text.npos; }

struct Reading {
  const TextListOptions& options;
  std::set<std::string> renamed = {};  // the keys of options.rename that a row had
};

// The value of the key that is read as `name`; null if there is none.
const Json* value_of(const Json& row, const std::string& name, Reading& reading) {
  const Json* found = nullptr;
  for (const auto& [key, value] : row.items()) {
    const auto other = reading.options.rename.find(key);
    const bool renamed = other != reading.options.rename.end();
    if ((renamed ? other->second : key) != name) continue;
    require(found == nullptr, "two keys of the row are read as {}", in_quotes(name));
    if (renamed) reading.renamed.insert(key);
    found = &value;
  }
  return found;
}

std::string label_in(const Json& row, Reading& reading) {
  const Json* label = value_of(row, "label", reading);
  require(label != nullptr, "the row has no 'label'; --map OTHER=label reads another key as the label");
  require(label->is_string() || label->is_number_integer() || label->is_boolean(),
          "'label' is a JSON {}, expected a string, a whole number, true or false", label->type_name());
  std::string text = label->is_string() ? label->get<std::string>() : label->dump();
  require(!is_blank(text), "'label' is empty");
  return text;
}

ListedText row_in(std::string_view line, const std::string& where, Reading& reading) {
  const size_t valid = valid_utf8_length(line);
  require(valid == line.size(), "{}: byte {} of the line is not UTF-8", where, valid);
  const Json row = parse_json(line, where, Keys::distinct);
  try {
    require(row.is_object(), "the row is a JSON {}, expected an object", row.type_name());
    const Json* text = value_of(row, "text", reading);
    require(text != nullptr, "the row has no 'text'; --map OTHER=text reads another key as the text");
    require(text->is_string(), "'text' is a JSON {}, expected a string", text->type_name());
    ListedText listed{.text = text->get<std::string>(), .label = {}};
    require(!is_blank(listed.text), "'text' is empty");
    if (reading.options.labels) listed.label = label_in(row, reading);
    return listed;
  } catch (const Error& error) {
    fail("{}: {}", where, error.what());
  }
}

}  // namespace

TextList read_text_list(std::string_view bytes, const std::string& name, const TextListOptions& options) {
  const bool rows = holds_rows(bytes, name);
  require(rows || !options.labels,
          "{}:1: expected a row with a text and its label, such as {{\"text\": \"...\", \"label\": "
          "\"...\"}}, in each line",
          name);
  require(rows || options.rename.empty(),
          "{}: it holds plain lines and no rows with keys, so --map would have no effect; leave it out",
          name);
  TextList list;
  Reading reading{options};
  std::string_view rest = rows ? without_mark(bytes, name) : check_text(bytes, name).text;
  for (int64_t number = 1; !rest.empty(); ++number) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (is_blank(line)) {
      ++list.blank;
      continue;
    }
    list.texts.push_back(rows ? row_in(line, fmt::format("{}:{}", name, number), reading)
                              : ListedText{.text = std::string(line), .label = {}});
    list.texts.back().line = number;
  }
  require(!list.texts.empty(), "{}: it has no text but only empty lines", name);
  for (const auto& [key, read_as] : options.rename)
    require(reading.renamed.contains(key), "{}: no row has the key {} that is to be read as {}", name,
            in_quotes(key), in_quotes(read_as));
  return list;
}

}  // namespace aviary
