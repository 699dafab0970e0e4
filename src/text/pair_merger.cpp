#include "text/pair_merger.h"

#include <algorithm>

namespace aviary {

PairMerger::PairMerger() {
  for (int byte = 0; byte < 256; ++byte) symbol(std::string(1, static_cast<char>(byte)), true);
}

int32_t PairMerger::symbol(std::string_view bytes, bool is_token) {
  auto [found, is_new] =
      symbol_of_bytes_.try_emplace(std::string(bytes), static_cast<int32_t>(symbols_.size()));
  if (is_new) symbols_.push_back({std::string(bytes), is_token, 0});
  return found->second;
}

void PairMerger::add_word(const std::vector<int32_t>& symbols, int64_t count) {
  uint32_t word = static_cast<uint32_t>(words_.size());
  words_.push_back({symbols_of_words_.size(), symbols_of_words_.size() + symbols.size(), count});
  symbols_of_words_.insert(symbols_of_words_.end(), symbols.begin(), symbols.end());
  for (size_t i = 0; i < symbols.size(); ++i) {
    symbols_[static_cast<size_t>(symbols[i])].count += count;
    if (i > 0) add_pair(symbols[i - 1], symbols[i], word);
  }
}

int64_t PairMerger::cost(int32_t symbol) const {
  const Symbol& s = symbols_[static_cast<size_t>(symbol)];
  return s.is_token ? 1 : static_cast<int64_t>(s.bytes.size());
}

// Number of tokens that a choice saves; 0 if it occurs only once.
int64_t PairMerger::gain(int32_t left, int32_t right) const {
  if (right == alone) {
    int64_t count = symbols_[static_cast<size_t>(left)].count;
    return count < 2 ? 0 : count * (cost(left) - 1);
  }
  auto pair = pairs_.find(key(left, right));
  if (pair == pairs_.end() || pair->second.count < 2) return 0;
  return pair->second.count * (cost(left) + cost(right) - 1);
}

void PairMerger::push(int32_t left, int32_t right) {
  int64_t saved = gain(left, right);
  if (saved > 0) heap_.push({saved, left, right});
}

void PairMerger::push_everything() {
  for (auto [left, right] : touched_) push(left, right);
  touched_.clear();
  if (std::exchange(started_, true)) return;
  for (size_t i = 0; i < symbols_.size(); ++i)
    if (!symbols_[i].is_token) push(static_cast<int32_t>(i), alone);
}

void PairMerger::add_pair(int32_t left, int32_t right, uint32_t word) {
  Pair& pair = pairs_[key(left, right)];
  pair.count += words_[word].count;
  if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
  if (std::exchange(pair.pushed_at, step_) != step_) touched_.emplace_back(left, right);
}

void PairMerger::remove_pair(int32_t left, int32_t right, uint32_t word) {
  auto pair = pairs_.find(key(left, right));
  if (pair != pairs_.end()) pair->second.count -= words_[word].count;
}

std::string PairMerger::next_token() {
  push_everything();
  while (!heap_.empty()) {
    Choice choice = heap_.top();
    heap_.pop();
    int64_t now = gain(choice.left, choice.right);
    if (now < choice.gain) {  // counts can have decreased since; they are checked again here
      if (now > 0) heap_.push({now, choice.left, choice.right});
      continue;
    }
    if (choice.right == alone) {
      symbols_[static_cast<size_t>(choice.left)].is_token = true;
      return symbols_[static_cast<size_t>(choice.left)].bytes;
    }
    std::string bytes = symbols_[static_cast<size_t>(choice.left)].bytes;
    bytes += symbols_[static_cast<size_t>(choice.right)].bytes;
    size_t before = symbols_.size();
    join(choice.left, choice.right, symbol(bytes, true));
    push_everything();
    if (symbols_.size() > before) return bytes;  // otherwise another pair gave the same token earlier
  }
  return "";
}

void PairMerger::join(int32_t left, int32_t right, int32_t joined) {
  ++step_;
  std::vector<uint32_t> words = std::move(pairs_[key(left, right)].words);
  for (uint32_t word : words) join_in_word(word, left, right, joined);
  pairs_.erase(key(left, right));
}

void PairMerger::join_in_word(uint32_t word, int32_t left, int32_t right, int32_t joined) {
  auto [begin, end, count] = words_[word];
  int32_t* symbols = symbols_of_words_.data();
  size_t out = begin;
  for (size_t in = begin; in < end; ++out) {
    bool here = in + 1 < end && symbols[in] == left && symbols[in + 1] == right;
    if (!here) {
      symbols[out] = symbols[in++];
      continue;
    }
    remove_pair(left, right, word);
    symbols_[static_cast<size_t>(left)].count -= count;
    symbols_[static_cast<size_t>(right)].count -= count;
    if (out > begin) {
      remove_pair(symbols[out - 1], left, word);
      add_pair(symbols[out - 1], joined, word);
    }
    in += 2;
    if (in < end) {
      remove_pair(right, symbols[in], word);
      add_pair(joined, symbols[in], word);
    }
    symbols[out] = joined;
  }
  words_[word].end = out;
}

}  // namespace aviary
