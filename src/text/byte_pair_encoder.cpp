#include "text/byte_pair_encoder.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace aviary {

namespace {

uint64_t pair_of(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// The heap returns the lowest rank first, then the leftmost position.
bool later(const BytePairEncoder::Workspace::Choice& a, const BytePairEncoder::Workspace::Choice& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
}

}  // namespace

BytePairEncoder::BytePairEncoder(const std::array<int32_t, 256>& byte_tokens, std::span<const Merge> merges)
    : byte_tokens_(byte_tokens), merges_(merges.size()) {
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    merges_[pair_of(merge.left, merge.right)] = {static_cast<int32_t>(rank), merge.joined};
  }
}

// If the symbol at `at` can be merged with the next one, adds this merge to the heap.
void BytePairEncoder::push(Workspace& workspace, int32_t at) const {
  const auto& symbol = workspace.symbols[static_cast<size_t>(at)];
  if (symbol.next < 0) return;
  const int32_t right = workspace.symbols[static_cast<size_t>(symbol.next)].token;
  const auto merge = merges_.find(pair_of(symbol.token, right));
  if (merge == merges_.end()) return;
  workspace.choices.push_back({merge->second.rank, at, symbol.token, right, merge->second.token});
  std::push_heap(workspace.choices.begin(), workspace.choices.end(), later);
}

void BytePairEncoder::encode(std::string_view word, std::vector<int32_t>& tokens,
                             Workspace& workspace) const {
  require(word.size() < size_t{std::numeric_limits<int32_t>::max()},
          "byte pair encoding: a word has {} bytes; break the text by spaces or lines", word.size());
  auto& [symbols, choices] = workspace;
  symbols.clear(), choices.clear();
  const auto size = static_cast<int32_t>(word.size());
  for (int32_t i = 0; i < size; ++i)
    symbols.push_back(
        {byte_tokens_[static_cast<uint8_t>(word[static_cast<size_t>(i)])], i - 1, i + 1 < size ? i + 1 : -1});
  for (int32_t i = 0; i < size; ++i) push(workspace, i);
  while (!choices.empty()) {
    std::pop_heap(choices.begin(), choices.end(), later);
    const auto choice = choices.back();
    choices.pop_back();
    auto& left = symbols[static_cast<size_t>(choice.at)];
    if (left.token != choice.left || left.next < 0) continue;  // one of the two has been merged since
    auto& right = symbols[static_cast<size_t>(left.next)];
    if (right.token != choice.right) continue;
    left.token = choice.joined;
    left.next = right.next;
    right.token = -1;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = choice.at;
    push(workspace, choice.at);
    if (left.previous >= 0) push(workspace, left.previous);
  }
  for (int32_t i = 0; i >= 0 && i < size; i = symbols[static_cast<size_t>(i)].next)
    tokens.push_back(symbols[static_cast<size_t>(i)].token);
}

}  // namespace aviary
