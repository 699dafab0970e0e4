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
  // Snapshots are at most so many tokens apart as long as there is room: a text that is changed anywhere is
  // read again from at most that far before the change.
  int64_t spacing = 128;
  // Of states that grow with the text, whose copies do too: snapshots are at most max(spacing, growth * d)
  // tokens apart at a distance d from the end of a message. What follows a change must be read in any case;
  // so at most (1 + growth) times that is read, plus `spacing` tokens, unless what followed was left out.
  double growth = 0;
  // A place that is closer to the next one is none: a step of few tokens takes as long as one of this many.
  int64_t least = 32;
  double age_seconds = 600;  // a snapshot that was not used for so long is worth 1/e of a new one
};

// Where to take snapshots while reading: the numbers of tokens, increasing, of a text of `total` tokens of
// which `from` are already known; the last is `total`. `ends`: where messages end, in any order; they are
// among the places if they are not too close to others. `parting`: where the text parts from another one,
// which is a place even close to the end, because more texts may begin so; 0 or `from`: nowhere.
std::vector<int64_t> snapshot_positions(int64_t from, int64_t total, std::span<const int64_t> ends,
                                        int64_t parting, const StateCacheOptions& options = {});

// The states of one model as a tree of tokens: texts with the same beginning share it. Texts of different key
// spaces know nothing of each other. A snapshot is found by comparing all its tokens. Thread-safe: one mutex
// guards the tree; snapshots are shared and do not change.
//
// Without room, the snapshot goes that has the least tokens to read again per byte, in proportion to what
// must be read in any case after a change there: the tokens up to where its message ends. So the spaces grow
// with the distance from the ends of messages, prompts and replies: of n snapshots of a text of t tokens, a
// change at a distance d costs about (512 + d) ln(1 + t / 512) / n tokens. Age counts, and texts that part
// there.
class StateCache {
 public:
  explicit StateCache(const StateCacheOptions& options = {});
  ~StateCache();

  const StateCacheOptions& options() const { return options_; }

  struct Hit {
    SnapshotPtr snapshot;  // null: none
    int64_t tokens = 0;    // that the snapshot has read
    // Tokens that are also the beginning of a text that is remembered or being read; at least `tokens`.
    int64_t known = 0;
  };
  // The snapshot of the longest beginning of `tokens`; one of all tokens only if it has logits.
  Hit find(const std::string& space, std::span<const int32_t> tokens);

  // Says that snapshots after these numbers of `tokens` will be inserted soon, because a text is being read;
  // the second takes it back, when they have been or will not be.
  void expect(const std::string& space, std::span<const int32_t> tokens, std::span<const int64_t> places);
  void expect_no_more(const std::string& space, std::span<const int32_t> tokens,
                      std::span<const int64_t> places);
  // Whether a snapshot is expected that saves `least` tokens more than find() does now.
  bool expects_more(const std::string& space, std::span<const int32_t> tokens) const;

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

  // What is there along the tokens.
  struct Path {
    Node* best = nullptr;  // the last node with a snapshot that can be begun from
    Node* last = nullptr;
    int64_t known = 0;     // tokens up to where the text parts from all others
    int64_t expected = 0;  // tokens of the last place where a snapshot is expected
  };
  Path walk(const std::string& space, std::span<const int32_t> tokens) const;
  Node& root_of(const std::string& space);
  // The node after `tokens`, made if need be.
  Node& node_at(Node& root, std::span<const int32_t> tokens);
  // Divides the edge to `node`, so that a node ends after its first `tokens`; returns that node.
  Node& divided(Node& node, size_t tokens);
  void set(Node& node, SnapshotPtr snapshot);
  void drop_snapshot(Node& node);
  // Removes nodes without a purpose from here upwards.
  void tidy(Node* node);
  // Makes room.
  void evict();
  // The nodes from here downwards that have a snapshot; sets their `message_end`.
  std::vector<Node*> with_snapshot(Node& root);
  double worth(const Node& node, Clock::time_point now) const;

  const StateCacheOptions options_;
  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Node>> roots_;
  bool too_small_ = false;  // for the last snapshot
  Figures figures_;
};

}  // namespace aviary
