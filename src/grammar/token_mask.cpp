#include "grammar/token_mask.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace aviary {

using grammar::Configurations;

namespace {

constexpr int64_t most_memory = int64_t{64} << 20;  // of the configurations
constexpr int64_t most_mask_bytes = int64_t{32} << 20;
constexpr int32_t unknown = -1, mixed = -2, wall = -3;  // of after_plain_character()
constexpr size_t longest_forced = 1024;                 // bytes

}  // namespace

TokenMasks::TokenMasks(Grammar::Ptr grammar, TokenTrie::Ptr trie)
    : grammar_(std::move(grammar)),
      trie_(std::move(trie)),
      configurations_(std::make_shared<Configurations>(grammar_->automaton())),
      path_(static_cast<size_t>(trie_->longest()) + 1) {}

TokenMasks::Position TokenMasks::start() {
  const std::lock_guard lock(mutex_);
  Position position;
  position.in_ = configurations_;
  position.configuration_ = configurations_->start();
  return position;
}

// Brings the position to the present set of configurations, which is begun anew when it has grown too large.
void TokenMasks::refresh(Position& position) {
  if (configurations_->memory() > most_memory) {
    configurations_ = std::make_shared<Configurations>(grammar_->automaton());
    masks_.clear();
    keys_.clear();
    after_plain_.clear();
  }
  if (position.in_ == configurations_) return;
  position.configuration_ = configurations_->import(*position.in_, position.configuration_);
  position.in_ = configurations_;
}

std::shared_ptr<const TokenMask> TokenMasks::mask(Position& position) {
  const std::lock_guard lock(mutex_);
  refresh(position);
  ++counts_.masks;
  const auto index = static_cast<size_t>(position.configuration_);
  if (keys_.size() <= index) keys_.resize(static_cast<size_t>(configurations_->size()), -1);
  if (keys_[index] < 0)
    keys_[index] = configurations_->without_far_counts(position.configuration_, trie_->longest());
  const int32_t key = keys_[index];
  const auto known = masks_.find(key);
  if (known != masks_.end()) return known->second;
  const int64_t mask_bytes = 64 + trie_->vocab_size() / 8;
  if (std::ssize(masks_) * mask_bytes > most_mask_bytes) masks_.clear();
  ++counts_.computed;
  std::shared_ptr<const TokenMask> mask = compute(key);
  masks_.emplace(key, mask);
  return mask;
}

bool TokenMasks::walk(std::span<const TokenTrie::Node> nodes, int32_t configuration, uint16_t depth,
                      TokenMask* mask) {
  path_[depth] = configuration;
  bool any = false;
  Configurations& configurations = *configurations_;
  for (size_t i = 0; i < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const int32_t next = configurations.next(path_[node.depth - 1u], node.byte);
    if (next == Configurations::dead) {
      i += static_cast<size_t>(node.size);
      continue;
    }
    path_[node.depth] = next;
    ++i;
    if (node.token < 0) continue;
    any = true;
    if (mask == nullptr) return true;
    for (int32_t token = node.token; token >= 0; token = trie_->next_equal(token))
      mask->bits[static_cast<size_t>(token) / 64] |= uint64_t{1} << (static_cast<size_t>(token) % 64);
  }
  return any;
}

int32_t TokenMasks::compute_after_plain_character(int32_t configuration) {
  int32_t after = unknown;
  bool blocked = false;
  std::vector<std::pair<int32_t, int32_t>> pairs{{0, configuration}};  // within the character
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [plain, here] = pairs[i];
    for (const grammar::Dfa::Edge& edge : trie_->plain_text().states[static_cast<size_t>(plain)].edges) {
      for (int byte = edge.low; byte <= edge.high; ++byte) {
        const int32_t next = configurations_->next(here, static_cast<uint8_t>(byte));
        if (next == Configurations::dead) {
          if (i > 0 || after != unknown || pairs.size() > 1) return mixed;
          blocked = true;
        } else if (blocked) {
          return mixed;
        } else if (!trie_->plain_text().states[static_cast<size_t>(edge.target)].accepting) {
          if (pairs.back() != std::pair(edge.target, next)) pairs.emplace_back(edge.target, next);
        } else if (after == unknown) {
          after = next;
        } else if (after != next) {
          return mixed;
        }
      }
    }
  }
  return blocked ? wall : after;
}

int32_t TokenMasks::after_plain_character(int32_t configuration) {
  const auto index = static_cast<size_t>(configuration);
  if (after_plain_.size() <= index)
    after_plain_.resize(static_cast<size_t>(configurations_->size()), unknown);
  if (after_plain_[index] == unknown) {
    const int32_t after = compute_after_plain_character(configuration);
    after_plain_[index] = after;
  }
  return after_plain_[index];
}

std::optional<size_t> TokenMasks::plain_characters(int32_t configuration) {
  const auto longest = static_cast<size_t>(trie_->longest());
  for (size_t count = 0; count < longest; ++count) {
    const int32_t after = after_plain_character(configuration);
    if (after == wall) return count;
    if (after == mixed) return {};
    if (after == configuration) break;
    configuration = after;
  }
  return longest;
}

// Follows plain text through the grammar and its own automaton at the same time, until nothing new is found.
bool TokenMasks::any_plain_text_may_follow(int32_t configuration) {
  constexpr size_t most_pairs = 128;
  std::vector<std::pair<int32_t, int32_t>> pairs{{0, configuration}};
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [plain, here] = pairs[i];
    for (const grammar::Dfa::Edge& edge : trie_->plain_text().states[static_cast<size_t>(plain)].edges) {
      for (int byte = edge.low; byte <= edge.high; ++byte) {
        const std::pair next(edge.target, configurations_->next(here, static_cast<uint8_t>(byte)));
        if (next.second == Configurations::dead) return false;
        if (next == pairs.back()) continue;
        if (std::find(pairs.begin(), pairs.end(), next) != pairs.end()) continue;
        if (pairs.size() == most_pairs) return false;
        pairs.push_back(next);
      }
    }
  }
  return true;
}

std::shared_ptr<const TokenMask> TokenMasks::compute(int32_t configuration) {
  auto mask = std::make_shared<TokenMask>();
  mask->may_end = configurations_->may_end(configuration);
  std::optional<size_t> characters = plain_characters(configuration);
  if (!characters && any_plain_text_may_follow(configuration))
    characters = static_cast<size_t>(trie_->longest());
  if (characters) {  // which holds also for 0
    const std::span<const uint64_t> plain = trie_->plain_tokens(*characters);
    mask->bits.assign(plain.begin(), plain.end());
    walk(trie_->other_nodes(), configuration, 0, mask.get());
  } else {
    mask->bits.assign((static_cast<size_t>(trie_->vocab_size()) + 63) / 64, 0);
    walk(trie_->nodes(), configuration, 0, mask.get());
  }
  mask->any = std::any_of(mask->bits.begin(), mask->bits.end(), [](uint64_t word) { return word != 0; });
  return mask;
}

bool TokenMasks::advance(Position& position, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  refresh(position);
  int32_t here = position.configuration_;
  for (const char byte : bytes) {
    here = configurations_->next(here, static_cast<uint8_t>(byte));
    if (here == Configurations::dead) return false;
  }
  position.configuration_ = here;
  return true;
}

bool TokenMasks::may_end(const Position& position) const {
  const std::lock_guard lock(mutex_);
  return position.in_->may_end(position.configuration_);
}

bool TokenMasks::is_complete(const Position& position) const {
  const std::lock_guard lock(mutex_);
  return position.in_->may_end(position.configuration_) && !position.in_->goes_on(position.configuration_);
}

// The tokens of the text, as long as they do not depend on what comes after it.
std::vector<int32_t> TokenMasks::canonical_tokens(const std::string& text, int32_t after) {
  const Tokenizer& tokenizer = trie_->tokenizer();
  const bool merges = tokenizer.kind() == "bpe";
  std::vector<int32_t> tokens;
  if (merges) {
    tokens = tokenizer.encode(text);
    if (tokenizer.decode(tokens) != text) return {};
    // Merges depend on the tokens around them.
    constexpr size_t doubtful = 2;
    tokens.resize(tokens.size() - std::min(tokens.size(), doubtful));
  }
  size_t begin = 0;
  for (size_t i = 0; begin < text.size(); ++i) {
    if (merges && i == tokens.size()) break;
    const std::string_view rest = std::string_view(text).substr(begin);
    if (walk(trie_->below(rest), after,
             static_cast<uint16_t>(std::min<size_t>(rest.size(), path_.size() - 1)), nullptr)) {
      tokens.resize(i);
      break;
    }
    if (!merges) {
      const int32_t token = trie_->longest_prefix(rest);
      if (token < 0) break;
      tokens.push_back(token);
    }
    begin += tokenizer.bytes_of(tokens[i]).size();
  }
  return tokens;
}

std::vector<int32_t> TokenMasks::forced(const Position& position, size_t most) {
  const std::lock_guard lock(mutex_);
  Position here = position;
  refresh(here);
  std::string text;
  int32_t at = here.configuration_;
  while (text.size() < longest_forced) {
    const int32_t byte = configurations_->only_byte(at);
    if (byte < 0) break;
    text += static_cast<char>(byte);
    at = configurations_->next(at, static_cast<uint8_t>(byte));
  }
  if (text.empty()) return {};
  std::vector<int32_t> tokens = canonical_tokens(text, at);
  tokens.resize(std::min(tokens.size(), most));
  return tokens;
}

TokenMasks::Counts TokenMasks::counts() const {
  const std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.configurations = configurations_->size();
  return counts;
}

}  // namespace aviary
