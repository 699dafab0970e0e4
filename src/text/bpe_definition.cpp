#include "text/bpe_definition.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/json.h"
#include "base/quotes.h"
#include "text/byte_alphabet.h"
#include "text/vocabulary.h"

namespace aviary {

namespace {

using Json = nlohmann::json;
using Ids = std::unordered_map<std::string_view, int32_t>;

constexpr const char* gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

template <typename... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  fail("tokenizer.json: {}", fmt::format(format, std::forward<Args>(args)...));
}

// ---- Objects in which every key must be known.

// The members of an object. Each access marks a member as read; at the end no unread member may remain.
class Members {
 public:
  Members(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) refuse("{} is {}, expected an object", where_, object.type_name());
  }
  // The value; null if there is none.
  const Json& take(const char* key) {
    static const Json none;
    seen_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() ? none : *found;
  }
  std::string text(const char* key) {
    const Json& value = take(key);
    if (!value.is_string()) refuse("{} has no {} that is a text", where_, key);
    return value.get<std::string>();
  }
  bool flag(const char* key, bool otherwise) {
    const Json& value = take(key);
    if (value.is_null()) return otherwise;
    if (!value.is_boolean()) refuse("{} of {} is {}, expected true or false", key, where_, value.type_name());
    return value.get<bool>();
  }
  // For unsupported features: the value must be one that disables the feature.
  void expect_off(const char* key) {
    const Json& value = take(key);
    if (!value.is_null() && value != Json(false) && value != Json("") && value != Json(0))
      refuse("{} has \"{}\", which is not supported", where_, key);
  }
  void done() const {
    for (const auto& [key, value] : object_.items())
      if (seen_.count(key) == 0) refuse("{} has \"{}\", which is not supported", where_, excerpt(key));
  }
  const std::string& where() const { return where_; }

 private:
  const Json& object_;
  std::string where_;
  std::unordered_set<std::string> seen_;
};

// The members of {"type": "Sequence", key: [...]}; none for null; for anything else, that one value.
std::vector<Json> flatten(const Json& value, const char* key, const std::string& where) {
  if (value.is_null()) return {};
  Members members(value, where);
  if (members.text("type") != "Sequence") return {value};
  const Json& list = members.take(key);
  if (!list.is_array()) refuse("the Sequence of {} has no {}", where, key);
  members.done();
  return list.get<std::vector<Json>>();
}

int32_t id_of(const Json& value, const std::string& token) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > uint64_t{max_vocabulary_id})
    refuse("the id of token \"{}\" is not a whole number from 0 to {}", excerpt(token), max_vocabulary_id);
  return value.get<int32_t>();
}

// ---- The parts of the file.

void read_added(const Json& list, BpeDefinition& definition) {
  if (list.is_null()) return;
  if (!list.is_array()) refuse("added_tokens is {}, expected a list", list.type_name());
  for (const Json& value : list) {
    Members members(value, "a token of added_tokens");
    AddedToken token;
    token.content = members.text("content");
    token.id = id_of(members.take("id"), token.content);
    token.special = members.flag("special", false);
    token.lstrip = members.flag("lstrip", false);
    token.rstrip = members.flag("rstrip", false);
    token.normalized = members.flag("normalized", !token.special);
    members.expect_off("single_word");
    members.done();
    if (token.content.empty() || token.content.size() > max_token_bytes)
      refuse("added token {} has {} bytes, expected 1 to {}", token.id, token.content.size(),
             max_token_bytes);
    definition.added.push_back(std::move(token));
  }
  std::sort(definition.added.begin(), definition.added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
}

void read_normalizer(const Json& value, BpeDefinition& definition) {
  for (const Json& part : flatten(value, "normalizers", "normalizer")) {
    Members members(part, "normalizer");
    if (const std::string type = members.text("type"); type != "NFC")
      refuse("the normalizer is {}; only NFC is supported", excerpt(type));
    members.done();
    definition.nfc = true;
  }
}

SplitRule read_split(Members& members) {
  SplitRule rule;
  Members pattern(members.take("pattern"), "the pattern of Split");
  rule.pattern = pattern.text("Regex");
  pattern.done();
  const std::string behavior = members.text("behavior");
  const bool invert = members.flag("invert", false);
  if (behavior == "Removed")
    rule.keep = invert ? SplitRule::Keep::only_matches : SplitRule::Keep::only_gaps;
  else if (behavior != "Isolated")
    refuse("a Split has the behavior {}; supported are Isolated and Removed", excerpt(behavior));
  return rule;
}

void read_pre_tokenizer(const Json& value, BpeDefinition& definition) {
  bool in_bytes = false;
  for (const Json& part : flatten(value, "pretokenizers", "pre_tokenizer")) {
    Members members(part, "pre_tokenizer");
    const std::string type = members.text("type");
    if (in_bytes) refuse("pre_tokenizer has {} after ByteLevel, expected ByteLevel last", excerpt(type));
    if (type == "ByteLevel") {
      in_bytes = true;
      members.expect_off("add_prefix_space");
      members.take("trim_offsets");
      if (members.flag("use_regex", true)) definition.splits.push_back({gpt2_pattern});
    } else if (type == "Split") {
      definition.splits.push_back(read_split(members));
    } else if (type == "Digits") {
      definition.splits.push_back({members.flag("individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)"});
    } else {
      refuse("pre_tokenizer has {}; supported are ByteLevel, Split and Digits", excerpt(type));
    }
    members.done();
  }
  if (!in_bytes) refuse("pre_tokenizer has no ByteLevel; only byte-level vocabularies are supported");
}

// A part of the file that may only be about raw bytes and offsets.
void expect_byte_level(const Json& value, const char* key, const char* part_name) {
  for (const Json& part : flatten(value, key, part_name)) {
    Members members(part, part_name);
    if (const std::string type = members.text("type"); type != "ByteLevel")
      refuse("{} has {}; only ByteLevel is supported", part_name, excerpt(type));
    for (const char* unused : {"add_prefix_space", "trim_offsets", "use_regex"}) members.take(unused);
    members.done();
  }
}

void read_vocabulary(const Json& vocabulary, BpeDefinition& definition) {
  if (!vocabulary.is_object()) refuse("the model has no vocab");
  for (const auto& [spelling, id] : vocabulary.items()) {
    if (spelling.empty() || spelling.size() > 2 * max_token_bytes)
      refuse("token \"{}\" has {} bytes, expected 1 to {}", excerpt(spelling), spelling.size(),
             2 * max_token_bytes);
    definition.tokens.push_back({id_of(id, spelling), spelling});
  }
  auto& tokens = definition.tokens;
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (size_t i = 1; i < tokens.size(); ++i)
    if (tokens[i].id == tokens[i - 1].id)
      refuse("id {} belongs to \"{}\" and to \"{}\"", tokens[i].id, excerpt(tokens[i - 1].spelling),
             excerpt(tokens[i].spelling));
}

// "a b" or ["a", "b"].
std::pair<std::string, std::string> parts_of(const Json& merge, size_t rank) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  if (!merge.is_string()) refuse("merge {} is not a pair of tokens", rank);
  const auto text = merge.get<std::string>();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
    refuse("merge {} is \"{}\", expected two tokens with a space between", rank, excerpt(text));
  return {text.substr(0, space), text.substr(space + 1)};
}

void read_merges(const Json& merges, const Ids& ids, BpeDefinition& definition) {
  if (!merges.is_array()) refuse("the model has no merges");
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto [left, right] = parts_of(merges[rank], rank);
    auto find = [&](const std::string& spelling) {
      const auto id = ids.find(spelling);
      if (id == ids.end() || !from_byte_alphabet(spelling))
        refuse("merge {} needs the token \"{}\", which is not in vocab as a token of bytes", rank,
               excerpt(spelling));
      return id->second;
    };
    definition.merges.push_back({find(left), find(right), find(left + right)});
  }
}

// Every token has one id and every id one token, also if vocab and added_tokens list the same token.
void check_added(const Ids& ids, const BpeDefinition& definition) {
  std::unordered_set<std::string_view> contents;
  const auto& tokens = definition.tokens;
  for (const AddedToken& token : definition.added) {
    if (!contents.insert(token.content).second)
      refuse("added_tokens has \"{}\" twice", excerpt(token.content));
    const auto same = ids.find(token.content);
    const auto other = std::lower_bound(tokens.begin(), tokens.end(), token.id,
                                        [](const auto& entry, int32_t id) { return entry.id < id; });
    const bool taken = other != tokens.end() && other->id == token.id && other->spelling != token.content;
    if (taken || (same != ids.end() && same->second != token.id))
      refuse("added token \"{}\" has id {}, but another one in vocab", excerpt(token.content), token.id);
  }
  for (size_t i = 1; i < definition.added.size(); ++i)
    if (definition.added[i].id == definition.added[i - 1].id)
      refuse("added_tokens has id {} twice", definition.added[i].id);
}

void read_model(const Json& value, BpeDefinition& definition) {
  Members members(value, "the model");
  const std::string type = value.contains("type") ? members.text("type") : "BPE";
  if (type != "BPE") refuse("the model is {}; only byte-level BPE is supported", excerpt(type));
  for (const char* off : {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"})
    members.expect_off(off);
  const bool has_unknown = !members.take("unk_token").is_null();
  members.take("fuse_unk");
  members.take("type");
  definition.ignore_merges = members.flag("ignore_merges", false);
  read_vocabulary(members.take("vocab"), definition);
  Ids ids;
  for (const auto& token : definition.tokens) ids[token.spelling] = token.id;
  read_merges(members.take("merges"), ids, definition);
  members.done();
  check_added(ids, definition);
  int missing = 0;
  for (int byte = 0; byte < 256; ++byte)
    missing += static_cast<int>(ids.count(to_byte_alphabet(std::string(1, static_cast<char>(byte)))) == 0);
  if (has_unknown && missing > 0)
    refuse("vocab lacks {} of the 256 bytes, and a token for unknown ones (unk_token) is not supported",
           missing);
}

}  // namespace

BpeDefinition parse_bpe_definition(std::string_view json) {
  const Json file = parse_json(json, "tokenizer.json");
  Members members(file, "the file");
  BpeDefinition definition;
  members.take("version");
  for (const char* off : {"truncation", "padding"}) members.expect_off(off);
  read_added(members.take("added_tokens"), definition);
  read_normalizer(members.take("normalizer"), definition);
  read_pre_tokenizer(members.take("pre_tokenizer"), definition);
  expect_byte_level(members.take("post_processor"), "processors", "post_processor");
  const Json& decoder = members.take("decoder");
  if (decoder.is_null()) refuse("there is no decoder, expected ByteLevel");
  expect_byte_level(decoder, "decoders", "decoder");
  read_model(members.take("model"), definition);
  members.done();
  return definition;
}

}  // namespace aviary
