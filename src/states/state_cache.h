// Remembers states of a model after beginnings of texts, so that a text with a known beginning is not read
// again from its start.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "models/state.h"

namespace aviary {

// What a model knows after some tokens.
struct Snapshot {
  State state;
  std::vector<float> logits = {};  // [V] for the next token; may be empty

  int64_t bytes() const { return state.bytes() + std::ssize(logits) * static_cast<int64_t>(sizeof(float)); }
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

struct StateCacheOptions {
  int64_t bytes = int64_t{1} << 30;  // limit on the snapshots and their tokens
  // At a distance d from the end of a message, snapshots are at most max(spacing, growth * d) tokens apart.
  // So a message that is changed d tokens before its end is read again from at most that far before the
  // change: at most (1 + growth) times what had to be read in any case, plus `spacing` tokens, whether or not
  // the text after the message is kept.
  int64_t spacing = 128;
  double growth = 0.25;
  double age_seconds = 600;  // a snapshot that was not used for so long is worth 1/e of a new one
};

// Where to take snapshots while reading: the numbers of tokens, increasing, of a text of `total` tokens of
// which `from` are already known; the last is `total`. `ends`: where messages end, in any order.
std::vector<int64_t> snapshot_positions(int64_t from, int64_t total, std::span<const int64_t> ends,
                                        const StateCacheOptions& options = {});

// The states of one model as a tree of tokens: texts with the same beginning share it. Texts of different key
// spaces know nothing of each other. A snapshot is found by comparing all its tokens. Thread-safe: one mutex
// guards the tree; snapshots are shared and do not change.
//
// Snapshots at ends of messages, prompts and replies are kept until there is no room. Others are dropped when
// the text has grown so that the rule of StateCacheOptions holds without them. Without room, the one goes
// that has the least tokens to read again per byte, weighted by its age.
class StateCache {
 public:
  explicit StateCache(const StateCacheOptions& options = {});
  ~StateCache();

  const StateCacheOptions& options() const { return options_; }

  struct Hit {
    SnapshotPtr snapshot;  // null: none
    int64_t tokens = 0;    // that the snapshot has read
    int64_t known = 0;     // tokens that are also the beginning of a remembered text; at least `tokens`
  };
  // The snapshot of the longest beginning of `tokens`; one of all tokens only if it has logits.
  Hit find(const std::string& space, std::span<const int32_t> tokens);

  // Whether the end is one of a message, prompt or reply, or just one of the positions in between.
  enum class Kind : uint8_t { between, end };
  // Remembers the state after `tokens`; replaces one that is there unless only that one has logits.
  void insert(const std::string& space, std::span<const int32_t> tokens, Snapshot snapshot, Kind kind) {
    insert(space, tokens, std::make_shared<const Snapshot>(std::move(snapshot)), kind);
  }
  void insert(const std::string& space, std::span<const int32_t> tokens, SnapshotPtr snapshot, Kind kind);
  // Forgets all snapshots of a key space, or of all.
  void clear(const std::string& space);
  void clear();

  struct Figures {
    int64_t bytes = 0, snapshots = 0;
    int64_t hits = 0, misses = 0;  // calls of find()
    int64_t evictions = 0;         // for want of room
  };
  Figures figures() const;

 private:
  struct Node;
  using Clock = std::chrono::steady_clock;

  Node& root_of(const std::string& space);
  // The node after `tokens`, made if need be.
  Node& node_at(Node& root, std::span<const int32_t> tokens);
  // Divides the edge to `node`, so that a node ends after its first `tokens`; returns that node.
  Node& divided(Node& node, size_t tokens);
  void set(Node& node, SnapshotPtr snapshot);
  void drop_snapshot(Node& node);
  // Removes nodes without a purpose from here upwards.
  void tidy(Node* node);
  // Drops the snapshots before `end`, back to where a message ends or texts part, that the rule does not
  // need.
  void thin(Node& end);
  // Makes room.
  void evict();
  void collect(Node& node, std::vector<Node*>& with_snapshot);
  double worth(const Node& node, Clock::time_point now) const;

  const StateCacheOptions options_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Node>> roots_;
  Figures figures_;
};

}  // namespace aviary
