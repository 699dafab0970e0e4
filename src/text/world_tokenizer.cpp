// Greedy longest match over a set of byte strings. The first two bytes are looked up directly in a table;
// from there the trie of tokens is stored in one array, in which the child of a node for byte c is the cell
// at the node's base + c, if that cell names this node as its owner (a "double array": the children of one
// node fill gaps between those of others).
#include <algorithm>
#include <array>
#include <limits>

#include "base/error.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace aviary {

namespace {

class TokenTree {
 public:
  // `entries` hold every single byte.
  explicit TokenTree(const std::vector<VocabularyEntry>& entries) : pairs_(65536) {
    sort(entries);
    cells_.resize(256);
    cells_[0].owner = root;  // node 0 means "no node"
    fill_pairs();
    sorted_.clear();
    sorted_.shrink_to_fit();
    cells_.resize(cells_.size() + 256);  // so that base + c is within bounds for every node
    cells_.shrink_to_fit();
  }

  void encode(std::string_view text, std::vector<int32_t>& tokens) const {
    auto* at = reinterpret_cast<const uint8_t*>(text.data());
    auto* end = at + text.size();
    while (at < end) {
      int32_t token = 0;
      const uint8_t* after = at + 1;
      if (after == end) {
        token = singles_[*at];
      } else {
        const Pair& pair = pairs_[static_cast<size_t>(at[0] << 8 | at[1])];
        token = pair.token;
        after += pair.length - 1;
        uint32_t node = pair.node;
        for (const uint8_t* next = at + 2; node != 0 && next < end; ++next) {
          uint32_t child = cells_[node].base + *next;
          if (cells_[child].owner != node) break;
          node = child;
          if (cells_[node].token != 0) token = cells_[node].token, after = next + 1;
        }
      }
      tokens.push_back(token);
      at = after;
    }
  }

 private:
  static constexpr uint32_t root = std::numeric_limits<uint32_t>::max();

  struct Cell {
    uint32_t owner = 0;  // the parent node; 0 is a free cell
    uint32_t base = 0;
    int32_t token = 0;  // the token that ends here, 0 for none
  };
  // For two bytes at the start of a text: the longest token within them, and the node for longer tokens.
  struct Pair {
    int32_t token = 0;
    uint32_t node : 30 = 0;
    uint32_t length : 2 = 1;
  };
  // A node whose children are not placed yet: tokens [first, last) of sorted_ share its `depth` bytes.
  struct Range {
    uint32_t node;
    size_t first, last, depth;
  };

  // By their bytes. Most tokens differ in their first eight bytes, which are compared as one number.
  void sort(const std::vector<VocabularyEntry>& entries) {
    struct Start {
      uint64_t first;
      const VocabularyEntry* entry;
    };
    std::vector<Start> starts;
    starts.reserve(entries.size());
    for (const VocabularyEntry& entry : entries) {
      uint64_t first = 0;
      for (size_t i = 0; i < sizeof(first); ++i)
        first = first << 8 | (i < entry.bytes.size() ? static_cast<uint8_t>(entry.bytes[i]) : 0);
      starts.push_back({first, &entry});
    }
    std::sort(starts.begin(), starts.end(), [](const Start& a, const Start& b) {
      return a.first != b.first ? a.first < b.first : a.entry->bytes < b.entry->bytes;
    });
    sorted_.reserve(entries.size());
    for (const Start& start : starts) sorted_.push_back(start.entry);
  }

  void fill_pairs() {
    for (auto* entry : sorted_)
      if (entry->bytes.size() == 1) singles_[static_cast<uint8_t>(entry->bytes[0])] = entry->id;
    for (size_t i = 0; i < pairs_.size(); ++i) pairs_[i].token = singles_[i >> 8];
    std::vector<Range> waiting;
    for (size_t first = 0; first < sorted_.size();) {
      if (sorted_[first]->bytes.size() == 1) {
        ++first;
        continue;
      }
      size_t last = first;
      while (last < sorted_.size() && sorted_[last]->bytes.compare(0, 2, sorted_[first]->bytes, 0, 2) == 0)
        ++last;
      Pair& pair = pairs_[key(sorted_[first]->bytes)];
      if (sorted_[first]->bytes.size() == 2) pair.token = sorted_[first++]->id, pair.length = 2;
      if (first < last) {
        pair.node = new_node_without_parent();
        waiting.push_back({pair.node, first, last, 2});
      }
      first = last;
    }
    // Nodes near the root first, so that the most frequently read cells are close together.
    for (size_t i = 0; i < waiting.size(); ++i) place_children(Range(waiting[i]), waiting);
  }

  static size_t key(const std::string& bytes) {
    return static_cast<size_t>(static_cast<uint8_t>(bytes[0]) << 8 | static_cast<uint8_t>(bytes[1]));
  }

  uint32_t new_node_without_parent() {
    uint32_t node = next_free(first_free_);
    cells_[node].owner = root;
    return node;
  }

  // Finds a base for which every child has a free cell, allocates the cells and queues the children.
  void place_children(Range range, std::vector<Range>& waiting) {
    std::array<uint8_t, 256> bytes;
    size_t count = 0;
    for (size_t i = range.first; i < range.last; ++i) {
      uint8_t byte = static_cast<uint8_t>(sorted_[i]->bytes[range.depth]);
      if (count == 0 || bytes[count - 1] != byte) bytes[count++] = byte;
    }
    uint32_t base = find_base(std::span(bytes.data(), count));
    cells_[range.node].base = base;
    if (cells_.size() < size_t{base} + 256) cells_.resize(size_t{base} + 256);
    for (size_t first = range.first; first < range.last;) {
      uint8_t byte = static_cast<uint8_t>(sorted_[first]->bytes[range.depth]);
      size_t last = first;
      while (last < range.last && static_cast<uint8_t>(sorted_[last]->bytes[range.depth]) == byte) ++last;
      uint32_t child = base + byte;
      cells_[child].owner = range.node;
      if (sorted_[first]->bytes.size() == range.depth + 1) cells_[child].token = sorted_[first++]->id;
      if (first < last) waiting.push_back({child, first, last, range.depth + 1});
      first = last;
    }
  }

  uint32_t find_base(std::span<const uint8_t> bytes) {
    first_free_ = next_free(first_free_);
    uint32_t cell = first_free_;
    // After some attempts, searching further costs more than the gaps it would fill.
    for (int tries = 0; tries < 200; ++tries, cell = next_free(cell + 1)) {
      if (cell < bytes[0]) continue;
      uint32_t base = cell - bytes[0];
      bool free = std::all_of(bytes.begin(), bytes.end(), [&](uint8_t byte) {
        return size_t{base} + byte >= cells_.size() || cells_[base + byte].owner == 0;
      });
      if (free) return base;
    }
    return static_cast<uint32_t>(cells_.size());
  }

  uint32_t next_free(uint32_t cell) {
    while (cell < cells_.size() && cells_[cell].owner != 0) ++cell;
    if (cell >= cells_.size()) cells_.resize(size_t{cell} + 256);
    return cell;
  }

  std::array<int32_t, 256> singles_{};
  std::vector<Pair> pairs_;
  std::vector<Cell> cells_;
  std::vector<const VocabularyEntry*> sorted_;
  uint32_t first_free_ = 1;
};

class WorldTokenizer final : public Tokenizer {
 public:
  explicit WorldTokenizer(const std::vector<VocabularyEntry>& entries) : tree_(entries) {
    starts_.reserve(static_cast<size_t>(entries.back().id) + 2);
    for (const VocabularyEntry& entry : entries) {
      starts_.resize(static_cast<size_t>(entry.id) + 1, static_cast<uint32_t>(pool_.size()));
      pool_ += entry.bytes;
    }
    starts_.push_back(static_cast<uint32_t>(pool_.size()));
  }
  using Tokenizer::encode;
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    tree_.encode(text, tokens);
  }
  std::string_view bytes_of(int32_t token) const override {
    require(token >= 0, "world tokenizer: token {} is negative", token);
    if (token >= vocab_size()) return {};
    size_t i = static_cast<size_t>(token);
    return std::string_view(pool_).substr(starts_[i], starts_[i + 1] - starts_[i]);
  }
  int32_t vocab_size() const override { return static_cast<int32_t>(starts_.size()) - 1; }
  std::string kind() const override { return "world"; }
  std::string serialize() const override {
    std::string text;
    for (int32_t id = 1; id < vocab_size(); ++id)
      if (!bytes_of(id).empty()) text += vocabulary_line(id, bytes_of(id));
    return text;
  }
  std::optional<int32_t> end_of_text() const override { return 0; }

 private:
  TokenTree tree_;
  std::string pool_;              // the bytes of all tokens in the order of their ids
  std::vector<uint32_t> starts_;  // of each id in pool_, and the end
};

}  // namespace

TokenizerPtr make_world_tokenizer(std::string_view vocabulary_text) {
  return std::make_shared<WorldTokenizer>(parse_vocabulary(vocabulary_text));
}

}  // namespace aviary
