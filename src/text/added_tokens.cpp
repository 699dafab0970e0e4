#include "text/added_tokens.h"

#include <algorithm>

#include "base/utf8.h"

namespace aviary {

namespace {

size_t key(uint32_t high, char low) { return size_t{high} << 8 | static_cast<uint8_t>(low); }

// Bytes of white space at the end of a text, and at its beginning.
size_t white_space_before(std::string_view text) {
  const size_t size = text.size();
  while (!text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xc0) == 0x80) --begin;
    if (!is_white_space(utf8_code_point(text.substr(begin)))) break;
    text = text.substr(0, begin);
  }
  return size - text.size();
}

size_t white_space_after(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto length = static_cast<size_t>(utf8_step(text.substr(at)).length);
    if (!is_white_space(utf8_code_point(text.substr(at, length)))) break;
    at += length;
  }
  return at;
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens) : tokens_(tokens) {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const std::string& content = tokens_[i].content;
    uint32_t node = 0;
    for (char byte : content) {
      const auto next = static_cast<uint32_t>(token_of_node_.size());
      const auto [child, is_new] = children_.try_emplace(key(node, byte), next);
      if (is_new) token_of_node_.push_back(-1);
      node = child->second;
    }
    if (token_of_node_[node] < 0) token_of_node_[node] = static_cast<int32_t>(i);
    const auto first = static_cast<uint8_t>(content[0]);
    if (content.size() > 1) begins_.set(key(first, content[1]));
    for (int second = 0; content.size() == 1 && second < 256; ++second)
      begins_.set(key(first, static_cast<char>(second)));
  }
}

std::optional<AddedTokens::Match> AddedTokens::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    const bool is_last = begin + 1 == text.size();
    if (!is_last && !begins_[key(static_cast<uint8_t>(text[begin]), text[begin + 1])]) continue;
    Match match;
    uint32_t node = 0;
    for (size_t end = begin; end < text.size();) {
      const auto child = children_.find(key(node, text[end++]));
      if (child == children_.end()) break;
      node = child->second;
      const int32_t token = token_of_node_[node];
      if (token >= 0) match = {begin, end, &tokens_[static_cast<size_t>(token)]};
    }
    if (match.token != nullptr) return match;
  }
  return std::nullopt;
}

void AddedTokens::cut(std::string_view text, const Part& part) const {
  size_t done = 0;
  while (!tokens_.empty()) {
    std::optional<Match> match = find(text, done);
    if (!match) break;
    if (match->token->lstrip) match->begin -= white_space_before(text.substr(done, match->begin - done));
    if (match->token->rstrip) match->end += white_space_after(text.substr(match->end));
    if (match->begin > done) part(text.substr(done, match->begin - done), std::nullopt);
    part({}, match->token->id);
    done = match->end;
  }
  if (done < text.size()) part(text.substr(done), std::nullopt);
}

}  // namespace aviary
