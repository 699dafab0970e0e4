#include "grammar/token_trie.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "grammar/regex.h"

namespace aviary {

std::vector<TokenTrie::Node> TokenTrie::build(
    const std::vector<std::pair<std::string_view, int32_t>>& tokens) {
  // The tokens are sorted, so each shares a path from the root with the one before it.
  std::vector<Node> nodes;
  std::vector<size_t> path;  // nodes of the last token
  std::string_view last;
  auto close = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back())
      nodes[path.back()].size = static_cast<int32_t>(nodes.size() - path.back());
  };
  for (const auto& [bytes, token] : tokens) {
    const auto [mine, its] = std::mismatch(bytes.begin(), bytes.end(), last.begin(), last.end());
    close(static_cast<size_t>(mine - bytes.begin()));
    for (size_t i = path.size(); i < bytes.size(); ++i) {
      path.push_back(nodes.size());
      nodes.push_back({.depth = static_cast<uint16_t>(i + 1), .byte = static_cast<uint8_t>(bytes[i])});
    }
    nodes[path.back()].token = token;
    last = bytes;
  }
  close(0);
  return nodes;
}

TokenTrie::TokenTrie(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer), vocab_size_(tokenizer.vocab_size()) {
  grammar::Work work;
  plain_text_ = grammar::dfa_of_regex(R"re([^"\\\x00-\x1f]*)re", grammar::Match::whole, work);
  next_equal_.assign(static_cast<size_t>(vocab_size_), -1);
  plain_tokens_.assign(1, std::vector<uint64_t>((static_cast<size_t>(vocab_size_) + 63) / 64));
  std::vector<std::pair<std::string_view, int32_t>> tokens, others;
  for (int32_t token = 0; token < vocab_size_; ++token) {
    const std::string_view bytes = tokenizer.bytes_of(token);
    if (bytes.empty() || bytes.size() > std::numeric_limits<uint16_t>::max() ||
        token == tokenizer.end_of_text())
      continue;
    tokens.emplace_back(bytes, token);
    longest_ = std::max(longest_, static_cast<int32_t>(bytes.size()));
  }
  std::sort(tokens.begin(), tokens.end());
  std::vector<std::pair<std::string_view, int32_t>> distinct;
  for (const auto& [bytes, token] : tokens) {
    const auto index = static_cast<size_t>(token);
    const bool plain = plain_text_.matches(bytes);
    if (plain) add_plain(token, bytes);
    if (!distinct.empty() && distinct.back().first == bytes) {
      next_equal_[index] = std::exchange(next_equal_[static_cast<size_t>(distinct.back().second)], token);
      continue;
    }
    distinct.emplace_back(bytes, token);
    if (!plain) others.emplace_back(bytes, token);
  }
  for (size_t count = 1; count < plain_tokens_.size(); ++count)
    for (size_t i = 0; i < plain_tokens_[count].size(); ++i)
      plain_tokens_[count][i] |= plain_tokens_[count - 1][i];
  nodes_ = build(distinct);
  other_nodes_ = build(others);
}

void TokenTrie::add_plain(int32_t token, std::string_view bytes) {
  // Every character has one byte that is not a continuation.
  const auto characters = static_cast<size_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char byte) { return (byte & 0xc0) != 0x80; }));
  if (plain_tokens_.size() <= characters)
    plain_tokens_.resize(characters + 1, std::vector<uint64_t>(plain_tokens_.front().size()));
  const auto index = static_cast<size_t>(token);
  plain_tokens_[characters][index / 64] |= uint64_t{1} << (index % 64);
}

size_t TokenTrie::find_child(size_t begin, size_t end, uint8_t byte) const {
  while (begin < end && nodes_[begin].byte != byte) begin += static_cast<size_t>(nodes_[begin].size);
  return begin;
}

int32_t TokenTrie::longest_prefix(std::string_view text) const {
  size_t begin = 0, end = nodes_.size();
  int32_t token = -1;
  for (const char byte : text) {
    const size_t node = find_child(begin, end, static_cast<uint8_t>(byte));
    if (node >= end) break;
    if (nodes_[node].token >= 0) token = nodes_[node].token;
    begin = node + 1;
    end = node + static_cast<size_t>(nodes_[node].size);
  }
  return token;
}

std::span<const TokenTrie::Node> TokenTrie::below(std::string_view text) const {
  size_t begin = 0, end = nodes_.size();
  for (const char byte : text) {
    const size_t node = find_child(begin, end, static_cast<uint8_t>(byte));
    if (node >= end) return {};
    begin = node + 1;
    end = node + static_cast<size_t>(nodes_[node].size);
  }
  return std::span(nodes_).subspan(begin, end - begin);
}

}  // namespace aviary
