#include "states/state_cache.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace aviary {

struct StateCache::Node {
  Node* parent = nullptr;
  std::vector<int32_t> edge;                          // the tokens between the parent and this node
  int64_t depth = 0;                                  // tokens from the root
  std::map<int32_t, std::unique_ptr<Node>> children;  // by the first token of their edges
  SnapshotPtr snapshot;
  Kind kind = Kind::between;
  Clock::time_point used;
};

namespace {

int64_t allowed_gap(int64_t distance, double growth, int64_t spacing) {
  return std::max(spacing, static_cast<int64_t>(growth * static_cast<double>(distance)));
}

size_t common_length(std::span<const int32_t> a, std::span<const int32_t> b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(most), b.begin()).first - a.begin());
}

int64_t edge_bytes(size_t tokens) { return static_cast<int64_t>(tokens * sizeof(int32_t)); }

}  // namespace

std::vector<int64_t> snapshot_positions(int64_t from, int64_t total, std::span<const int64_t> ends,
                                        const StateCacheOptions& options) {
  std::vector<int64_t> sorted{total};
  for (const int64_t end : ends)
    if (end > from && end < total) sorted.push_back(end);
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<int64_t> positions;
  for (const int64_t end : sorted) {
    std::vector<int64_t> before;
    for (int64_t at = end; at > from; at -= allowed_gap(end - at, options.growth, options.spacing))
      before.push_back(at);
    positions.insert(positions.end(), before.rbegin(), before.rend());
    from = end;
  }
  return positions;
}

StateCache::StateCache(const StateCacheOptions& options) : options_(options) {
  require(
      options.bytes >= 0 && options.spacing > 0 && options.growth >= 0 && options.age_seconds > 0,
      "state cache: {} bytes, spacing {}, growth {}, age {} s; expected a limit of 0 or more, a spacing and "
      "an age above 0, a growth of 0 or more",
      options.bytes, options.spacing, options.growth, options.age_seconds);
}

StateCache::~StateCache() = default;

StateCache::Node& StateCache::root_of(const std::string& space) {
  std::unique_ptr<Node>& root = roots_[space];
  if (!root) root = std::make_unique<Node>();
  return *root;
}

StateCache::Hit StateCache::find(const std::string& space, std::span<const int32_t> tokens) {
  const std::lock_guard lock(mutex_);
  Hit hit;
  Node* best = nullptr;
  const auto root = roots_.find(space);
  for (Node* node = root == roots_.end() ? nullptr : root->second.get(); node;) {
    const std::span<const int32_t> rest = tokens.subspan(static_cast<size_t>(node->depth));
    if (node->snapshot && (!rest.empty() || !node->snapshot->logits.empty())) best = node;
    hit.known = node->depth;
    if (rest.empty()) break;
    const auto child = node->children.find(rest.front());
    if (child == node->children.end()) break;
    const size_t common = common_length(child->second->edge, rest);
    if (common < child->second->edge.size()) {
      hit.known += static_cast<int64_t>(common);
      break;
    }
    node = child->second.get();
  }
  ++(best ? figures_.hits : figures_.misses);
  if (!best) return hit;
  best->used = Clock::now();
  hit.snapshot = best->snapshot;
  hit.tokens = best->depth;
  return hit;
}

void StateCache::insert(const std::string& space, std::span<const int32_t> tokens, SnapshotPtr snapshot,
                        Kind kind) {
  if (tokens.empty() || snapshot->bytes() > options_.bytes) return;
  const std::lock_guard lock(mutex_);
  Node& node = node_at(root_of(space), tokens);
  node.used = Clock::now();
  if (kind == Kind::end) node.kind = kind;
  if (!node.snapshot || !snapshot->logits.empty() || node.snapshot->logits.empty())
    set(node, std::move(snapshot));
  thin(node);
  evict();
}

StateCache::Node& StateCache::node_at(Node& root, std::span<const int32_t> tokens) {
  Node* node = &root;
  while (true) {
    const std::span<const int32_t> rest = tokens.subspan(static_cast<size_t>(node->depth));
    if (rest.empty()) return *node;
    const auto child = node->children.find(rest.front());
    if (child == node->children.end()) {
      auto made = std::make_unique<Node>();
      made->parent = node;
      made->edge.assign(rest.begin(), rest.end());
      made->depth = std::ssize(tokens);
      figures_.bytes += edge_bytes(rest.size());
      return *(node->children[rest.front()] = std::move(made));
    }
    const size_t common = common_length(child->second->edge, rest);
    node = common < child->second->edge.size() ? &divided(*child->second, common) : child->second.get();
  }
}

StateCache::Node& StateCache::divided(Node& node, size_t tokens) {
  Node& parent = *node.parent;
  std::unique_ptr<Node>& place = parent.children.at(node.edge.front());
  auto upper = std::make_unique<Node>();
  upper->parent = &parent;
  const auto middle = node.edge.begin() + static_cast<ptrdiff_t>(tokens);
  upper->edge.assign(node.edge.begin(), middle);
  upper->depth = parent.depth + static_cast<int64_t>(tokens);
  upper->used = node.used;
  node.edge.erase(node.edge.begin(), middle);
  node.parent = upper.get();
  std::unique_ptr<Node> lower = std::exchange(place, std::move(upper));
  Node& made = *place;
  made.children[lower->edge.front()] = std::move(lower);
  return made;
}

void StateCache::set(Node& node, SnapshotPtr snapshot) {
  drop_snapshot(node);
  figures_.bytes += snapshot->bytes();
  ++figures_.snapshots;
  node.snapshot = std::move(snapshot);
}

void StateCache::drop_snapshot(Node& node) {
  if (!node.snapshot) return;
  figures_.bytes -= node.snapshot->bytes();
  --figures_.snapshots;
  node.snapshot.reset();
}

void StateCache::tidy(Node* node) {
  while (node->parent && !node->snapshot && node->children.size() < 2) {
    Node* parent = node->parent;
    std::unique_ptr<Node>& place = parent->children.at(node->edge.front());
    if (node->children.empty()) {
      figures_.bytes -= edge_bytes(node->edge.size());
      parent->children.erase(node->edge.front());
    } else {
      std::unique_ptr<Node> below = std::move(node->children.begin()->second);
      below->edge.insert(below->edge.begin(), node->edge.begin(), node->edge.end());
      below->parent = parent;
      place = std::move(below);  // destroys `node`
    }
    node = parent;
  }
}

void StateCache::thin(Node& end) {
  if (!end.children.empty()) return;
  int64_t next = end.depth;
  for (Node* node = end.parent;
       node && node->parent && node->children.size() == 1 && node->kind == Kind::between;) {
    Node* parent = node->parent;
    const Node* earlier = parent;
    while (earlier->parent && !earlier->snapshot) earlier = earlier->parent;
    const int64_t gap = next - earlier->depth, distance = end.depth - next;
    const bool needed =
        node->kind == Kind::end || gap > allowed_gap(distance, options_.growth, options_.spacing);
    if (node->snapshot && needed) next = node->depth;
    if (node->snapshot && !needed) {
      drop_snapshot(*node);
      tidy(node);
    }
    node = parent;
  }
}

void StateCache::collect(Node& node, std::vector<Node*>& with_snapshot) {
  if (node.snapshot) with_snapshot.push_back(&node);
  for (const auto& [token, child] : node.children) collect(*child, with_snapshot);
}

double StateCache::worth(const Node& node, Clock::time_point now) const {
  const Node* earlier = node.parent;
  while (earlier && earlier->parent && !earlier->snapshot) earlier = earlier->parent;
  const int64_t tokens = node.depth - (earlier ? earlier->depth : 0);
  const double age = std::chrono::duration<double>(now - node.used).count();
  const double forks = node.children.size() > 1 ? std::log(static_cast<double>(node.children.size())) : 0;
  return std::log(static_cast<double>(tokens)) + forks - age / options_.age_seconds -
         std::log(static_cast<double>(node.snapshot->bytes()));
}

void StateCache::evict() {
  if (figures_.bytes <= options_.bytes) return;
  // A tenth more than needed, so that the tree is not searched at every insertion.
  const int64_t wanted = options_.bytes - options_.bytes / 10;
  const auto now = Clock::now();
  while (figures_.bytes > wanted) {
    std::vector<Node*> nodes;
    for (const auto& [space, root] : roots_) collect(*root, nodes);
    if (nodes.empty()) return;
    const auto least = std::min_element(nodes.begin(), nodes.end(), [&](const Node* a, const Node* b) {
      return worth(*a, now) < worth(*b, now);
    });
    ++figures_.evictions;
    drop_snapshot(**least);
    tidy(*least);
  }
}

void StateCache::clear(const std::string& space) {
  const std::lock_guard lock(mutex_);
  const auto root = roots_.find(space);
  if (root == roots_.end()) return;
  std::vector<Node*> nodes;
  collect(*root->second, nodes);
  for (Node* node : nodes) drop_snapshot(*node);
  std::vector<const Node*> all{root->second.get()};
  while (!all.empty()) {
    const Node* node = all.back();
    all.pop_back();
    figures_.bytes -= edge_bytes(node->edge.size());
    for (const auto& [token, child] : node->children) all.push_back(child.get());
  }
  roots_.erase(root);
}

void StateCache::clear() {
  const std::lock_guard lock(mutex_);
  roots_.clear();
  figures_.bytes = figures_.snapshots = 0;
}

StateCache::Figures StateCache::figures() const {
  const std::lock_guard lock(mutex_);
  return figures_;
}

}  // namespace aviary
