#include "data/rows.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/human.h"
#include "base/json.h"
#include "base/utf8.h"
#include "chat/clean.h"
#include "data/text_file.h"

namespace aviary {
namespace {

using Json = nlohmann::json;
using Values = std::map<std::string, const Json*>;  // of a row, by key

const std::string& text_in(const Json& value, const std::string& what) {
  require(value.is_string(), "{} is a JSON {}, expected a string", what, value.type_name());
  return value.get_ref<const std::string&>();
}

// A member of a turn or a segment, which is called `what`.
const Json& member(const Json& object, const char* key, const std::string& what) {
  require(object.is_object(), "{} is a JSON {}, expected an object", what, object.type_name());
  const auto found = object.find(key);
  require(found != object.end(), "{} has no '{}'", what, key);
  return *found;
}

// Programs that write tables give every row all keys: null means that it has no such value.
const Json* optional_in(const Values& values, const char* key) {
  const auto found = values.find(key);
  return found == values.end() || found->second->is_null() ? nullptr : found->second;
}

const Json& list_in(const Json& value, const char* key) {
  require(value.is_array(), "'{}' is a JSON {}, expected an array", key, value.type_name());
  require(!value.empty(), "'{}' is an empty array", key);
  return value;
}

enum class Role : uint8_t { system, user, assistant };

Role role_named(const std::string& name, const std::string& what) {
  if (name == "system") return Role::system;
  if (name == "user" || name == "human") return Role::user;
  require(name == "assistant" || name == "gpt",
          "{} is of the role {}, expected system, user, assistant, human or gpt", what, in_quotes(name));
  return Role::assistant;
}

// A text that grows, with the parts of it that are trained.
class Builder {
 public:
  void add(std::string_view text, bool trained) {
    const size_t begin = sample_.text.size();
    sample_.text += text;
    if (!trained || text.empty()) return;
    if (!sample_.trained.empty() && sample_.trained.back().end == begin)
      sample_.trained.back().end = sample_.text.size();
    else
      sample_.trained.push_back({begin, sample_.text.size()});
  }

  // Of an answer that is trained, all that follows "Assistant:" is, also the space: tokens such as " The"
  // begin with it.
  void add_turn(Role role, std::string_view text, const std::string& what, bool trained = true) {
    const std::string turn = clean_turn(text);
    if (turn.empty() && role == Role::system) return;  // many data sets have one in every row
    require(!turn.empty(), "{} is empty", what);
    sample_.conversation = true;
    if (!sample_.text.empty()) add("\n\n", last_trained_);
    constexpr std::string_view headings[] = {"System:", "User:", "Assistant:"};
    add(headings[static_cast<size_t>(role)], false);
    last_trained_ = trained && role == Role::assistant;
    add(" " + turn, last_trained_);
  }

  Sample take(const std::string& where) {
    require(sample_.text.find('\0') == std::string::npos, "the text has a NUL character (\\u0000)");
    require(!sample_.trained.empty(), "no part of the row is trained");
    sample_.where = where;
    return std::move(sample_);
  }

 private:
  Sample sample_;
  bool last_trained_ = false;  // the turn before
};

void add_text(const Values& values, Builder& builder) {
  const std::string& text = text_in(*values.at("text"), "'text'");
  require(!trimmed(text).empty(), "'text' is empty");
  builder.add(text, true);
}

void add_segments(const Values& values, Builder& builder) {
  int64_t number = 0;
  for (const Json& segment : list_in(*values.at("segments"), "segments")) {
    const std::string what = fmt::format("segment {}", ++number);
    const std::string& text = text_in(member(segment, "text", what), "'text' of " + what);
    const Json& train = member(segment, "train", what);
    require(train.is_boolean(), "'train' of {} is a JSON {}, expected true or false", what,
            train.type_name());
    require(!train.get<bool>() || !text.empty(), "{}, which is to be trained, is empty", what);
    builder.add(text, train.get<bool>());
  }
}

// A system turn for the whole row.
void add_system(const Values& values, Builder& builder) {
  if (const Json* system = optional_in(values, "system"))
    builder.add_turn(Role::system, text_in(*system, "'system'"), "'system'");
}

// Whether an answer is trained: its "weight" is 1, as without one, or 0.
bool is_weighted(const Json& turn, const std::string& what) {
  const auto weight = turn.find("weight");
  if (weight == turn.end() || weight->is_null()) return true;
  require(weight->is_number() && (*weight == 0 || *weight == 1), "'weight' of {} is neither 0 nor 1", what);
  return *weight == 1;
}

// The turns before those of the row, pairs of a question and an answer.
void add_history(const Values& values, Builder& builder) {
  const Json* history = optional_in(values, "history");
  if (history == nullptr) return;
  require(history->is_array(), "'history' is a JSON {}, expected an array", history->type_name());
  int64_t number = 0;
  for (const Json& pair : *history) {
    const std::string what = fmt::format("pair {} of 'history'", ++number);
    require(pair.is_array() && pair.size() == 2, "{} is not an array of a question and an answer", what);
    builder.add_turn(Role::user, text_in(pair[0], "the question in " + what), "the question in " + what);
    builder.add_turn(Role::assistant, text_in(pair[1], "the answer in " + what), "the answer in " + what);
  }
}

void add_turns(const Json& turns, const char* role_key, const char* text_key, Builder& builder) {
  int64_t number = 0, answers = 0;
  for (const Json& turn : turns) {
    const std::string what = fmt::format("turn {}", ++number);
    const Json& name = member(turn, role_key, what);
    const Role role = role_named(text_in(name, fmt::format("'{}' of {}", role_key, what)), what);
    const Json& text = member(turn, text_key, what);
    answers += role == Role::assistant ? 1 : 0;
    builder.add_turn(role, text_in(text, fmt::format("'{}' of {}", text_key, what)), what,
                     is_weighted(turn, what));
  }
  require(answers > 0, "no turn is an answer (of the role assistant or gpt)");
}

void add_messages(const Values& values, Builder& builder) {
  add_system(values, builder);
  add_turns(list_in(*values.at("messages"), "messages"), "role", "content", builder);
}

void add_conversations(const Values& values, Builder& builder) {
  add_system(values, builder);
  add_turns(list_in(*values.at("conversations"), "conversations"), "from", "value", builder);
}

void add_completion(const Values& values, Builder& builder) {
  const std::string& completion = text_in(*values.at("completion"), "'completion'");
  require(!trimmed(completion).empty(), "'completion' is empty");
  builder.add(text_in(*values.at("prompt"), "'prompt'"), false);
  builder.add(completion, true);
}

void add_instruction(const Values& values, Builder& builder) {
  add_system(values, builder);
  add_history(values, builder);
  std::string question = text_in(*values.at("instruction"), "'instruction'");
  if (const Json* input = optional_in(values, "input")) question += "\n" + text_in(*input, "'input'");
  builder.add_turn(Role::user, question, "'instruction'");
  builder.add_turn(Role::assistant, text_in(*values.at("output"), "'output'"), "'output'");
}

void add_query(const Values& values, Builder& builder) {
  add_system(values, builder);
  add_history(values, builder);
  builder.add_turn(Role::user, text_in(*values.at("query"), "'query'"), "'query'");
  builder.add_turn(Role::assistant, text_in(*values.at("response"), "'response'"), "'response'");
}

// A kind of row, recognized by one or two keys.
struct Kind {
  const char *key, *second;  // second: or nullptr
  void (*add)(const Values&, Builder&);
  std::string_view more = {};  // the other keys that it reads, each followed by a space

  bool reads(const std::string& name) const {
    return name == key || (second != nullptr && name == second) || more.find(name + " ") != more.npos;
  }

  bool begins(const Values& values) const {
    return values.contains(key) || (second != nullptr && values.contains(second));
  }
  bool matches(const Values& values) const {
    return values.contains(key) && (second == nullptr || values.contains(second));
  }
  std::string title() const { return second == nullptr ? key : fmt::format("{} and {}", key, second); }
};

constexpr Kind kinds[] = {{"text", nullptr, add_text},
                          {"segments", nullptr, add_segments},
                          {"messages", nullptr, add_messages, "system "},
                          {"conversations", nullptr, add_conversations, "system "},
                          {"prompt", "completion", add_completion},
                          {"instruction", "output", add_instruction, "system history input "},
                          {"query", "response", add_query, "system history "}};

[[noreturn]] void refuse_keys(const Values& values) {
  for (const Kind& kind : kinds)
    if (kind.begins(values)) {
      const bool first = values.contains(kind.key);
      fail("the row has '{}' but no '{}'", first ? kind.key : kind.second, first ? kind.second : kind.key);
    }
  std::string expected, found;
  for (const Kind& kind : kinds) expected += (expected.empty() ? "" : ", or ") + kind.title();
  constexpr int most = 8;
  int shown = 0;
  for (const auto& [key, value] : values)
    if (shown++ < most) found += (found.empty() ? "" : ", ") + in_quotes(key);
  if (shown > most) found += ", ...";
  fail("expected a row with the keys {}; it has {}", expected, found.empty() ? "none" : found);
}

const Kind& kind_of(const Values& values) {
  const Kind* found = nullptr;
  for (const Kind& kind : kinds) {
    if (!kind.matches(values)) continue;
    require(
        found == nullptr,
        "the row is of two kinds: it has {}, and {}; rename a key that is not meant, so that it is ignored",
        found == nullptr ? "" : found->title(), kind.title());
    found = &kind;
  }
  if (found == nullptr) refuse_keys(values);
  return *found;
}

// The values of a row by the keys that they are read as. Notes the keys that were renamed.
Values values_of(const Json& row, const std::map<std::string, std::string>& rename,
                 std::set<std::string>& renamed) {
  require(row.is_object(), "the row is a JSON {}, expected an object", row.type_name());
  Values values;
  for (const auto& [key, value] : row.items()) {
    const auto other = rename.find(key);
    if (other != rename.end()) renamed.insert(key);
    const std::string& name = other == rename.end() ? key : other->second;
    require(values.emplace(name, &value).second, "two keys of the row are read as {}", in_quotes(name));
  }
  return values;
}

Sample sample_of(std::string_view line, const std::string& where, const RowOptions& options,
                 RowCounts& counts) {
  constexpr size_t most_ignored = 20;
  require(line.find('\0') == line.npos, "{}: byte {} of the line is NUL", where, line.find('\0'));
  const size_t valid = valid_utf8_length(line);
  require(valid == line.size(), "{}: byte {} of the line is not UTF-8", where, valid);
  const Json row = parse_json(line, where, Keys::distinct);
  try {
    const Values values = values_of(row, options.rename, counts.renamed);
    Builder builder;
    const Kind& kind = kind_of(values);
    kind.add(values, builder);
    for (const auto& [key, value] : row.items())
      if (counts.ignored.size() < most_ignored && !options.rename.contains(key) && !kind.reads(key))
        counts.ignored.insert(key);
    return builder.take(where);
  } catch (const Error& error) {
    fail("{}: {}", where, error.what());
  }
}

// The length of the first line, looking no further than `longest` bytes; nothing if it is longer.
std::optional<size_t> line_length(std::string_view text, size_t longest) {
  const size_t end = text.substr(0, longest + 1).find('\n');
  if (end != text.npos) return end;
  if (text.size() <= longest) return text.size();
  return {};
}

constexpr std::string_view blanks = " \t\r\n";

}  // namespace

bool holds_rows(std::string_view bytes, const std::string& name) {
  std::string_view text = without_mark(bytes, name);
  auto skip = [&](std::string_view what) {
    text.remove_prefix(std::min(text.find_first_not_of(what), text.size()));
  };
  skip(blanks);
  const bool array = text.starts_with('[');
  if (!array && !text.starts_with('{')) return false;
  text.remove_prefix(1);
  const size_t length = text.size();
  skip(blanks);
  require(!array || !text.starts_with('{'),
          "{}: it begins like an array of JSON objects, expected one object per line; convert it with: jq -c "
          "'.[]'",
          name);
  if (array || !text.starts_with('"')) return false;
  require(bytes.substr(bytes.size() - length, length - text.size()).find('\n') == bytes.npos,
          "{}: it begins like a JSON object on several lines, expected one object per line; convert it with: "
          "jq -c .",
          name);
  return true;
}

RowCounts read_rows(std::string_view bytes, const std::string& name, const RowOptions& options,
                    const std::function<void(Sample&& sample)>& use) {
  constexpr int64_t most_reported = 3;
  const auto longest = static_cast<size_t>(options.longest_line);
  RowCounts counts;
  std::string_view rest = without_mark(bytes, name);
  for (int64_t number = 1; !rest.empty(); ++number) {
    const std::optional<size_t> length = line_length(rest, longest);
    const std::string_view line = rest.substr(0, length.value_or(0));
    if (length && line.find_first_not_of(blanks) == line.npos) {
      rest.remove_prefix(std::min(*length + 1, rest.size()));
      continue;
    }
    ++counts.rows;
    const std::string where = fmt::format("{}:{}", name, number);
    try {
      require(length.has_value(), "{}: the line has more than {}, the most that a row may have", where,
              human_bytes(options.longest_line));
      use(sample_of(line, where, options, counts));
    } catch (const Error& error) {
      if (!options.skip_broken) throw;
      if (++counts.broken <= most_reported && options.report) options.report(error.what());
    }
    rest.remove_prefix(std::min(std::min(length ? *length : rest.find('\n'), rest.size()) + 1, rest.size()));
  }
  return counts;
}

}  // namespace aviary
