// Writes a tokenizer.json in a canonical form, with one line per token and per merge, so that files can be
// compared.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "text/bpe_definition.h"

namespace aviary {

namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson split_rule(const SplitRule& rule) {
  using Keep = SplitRule::Keep;
  return {{"type", "Split"},
          {"pattern", {{"Regex", rule.pattern}}},
          {"behavior", rule.keep == Keep::everything ? "Isolated" : "Removed"},
          {"invert", rule.keep == Keep::only_matches}};
}

OrderedJson pre_tokenizer(const BpeDefinition& definition) {
  OrderedJson list = OrderedJson::array();
  for (const SplitRule& rule : definition.splits) list.push_back(split_rule(rule));
  list.push_back(
      {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}});
  return {{"type", "Sequence"}, {"pretokenizers", list}};
}

OrderedJson added_token(const AddedToken& token) {
  return {{"id", token.id},          {"content", token.content}, {"single_word", false},
          {"lstrip", token.lstrip},  {"rstrip", token.rstrip},   {"normalized", token.normalized},
          {"special", token.special}};
}

// Adds one line of a list or object, preceded by a comma if it is not the first.
void add_line(std::string& lines, const std::string& line) {
  lines += lines.empty() ? "\n" : ",\n";
  lines += line;
}

}  // namespace

std::string write_bpe_definition(const BpeDefinition& definition) {
  std::string added, vocabulary, merges;
  for (const AddedToken& token : definition.added) add_line(added, added_token(token).dump());
  const auto& tokens = definition.tokens;
  auto spelling = [&](int32_t id) {
    return std::lower_bound(tokens.begin(), tokens.end(), id,
                            [](const auto& token, int32_t wanted) { return token.id < wanted; })
        ->spelling;
  };
  for (const auto& token : tokens)
    add_line(vocabulary, OrderedJson(token.spelling).dump() + ":" + std::to_string(token.id));
  for (const auto& merge : definition.merges)
    add_line(merges, OrderedJson(spelling(merge.left) + " " + spelling(merge.right)).dump());
  const OrderedJson normalizer = definition.nfc ? OrderedJson{{"type", "NFC"}} : OrderedJson();
  const OrderedJson byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  std::string file = "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[" + added;
  file += "],\n\"normalizer\":" + normalizer.dump();
  file += ",\n\"pre_tokenizer\":" + pre_tokenizer(definition).dump();
  file += ",\n\"post_processor\":null,\n\"decoder\":" + byte_level.dump();
  file += ",\n\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,";
  file += "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,\"fuse_unk\":false,";
  file += definition.ignore_merges ? "\"ignore_merges\":true," : "";
  file += "\"vocab\":{" + vocabulary + "},\n\"merges\":[" + merges + "]}}\n";
  return file;
}

}  // namespace aviary
