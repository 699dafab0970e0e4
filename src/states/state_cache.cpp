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
  int64_t expected = 0;     // texts that will put a snapshot here
  int64_t message_end = 0;  // the depth at which its message ends or texts part; set by with_snapshot()
  Clock::time_point used;
};

namespace {

size_t common_length(std::span<const int32_t> a, std::span<const int32_t> b) {
  const size_t most = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(most), b.begin()).first - a.begin());
}

int64_t edge_bytes(size_t tokens) { return static_cast<int64_t>(tokens * sizeof(int32_t)); }

}  // namespace

std::vector<int64_t> snapshot_positions(int64_t from, int64_t total, std::span<const int64_t> ends,
                                        int64_t parting, const StateCacheOptions& options) {
  if (total <= from) return {};
  std::vector<int64_t> sorted(ends.begin(), ends.end());
  sorted.push_back(parting);
  std::sort(sorted.rbegin(), sorted.rend());
  std::vector<int64_t> chosen{total};
  for (const int64_t end : sorted)
    if (chosen.back() - end >= (end == parting ? 1 : options.least) && end - from >= options.least)
      chosen.push_back(end);
  std::vector<int64_t> positions;
  for (auto end = chosen.rbegin(); end != chosen.rend(); from = *end++) {
    // Equal pieces: a short one at the beginning would take as long as a longer one.
    const int64_t length = *end - from, pieces = (length + options.spacing - 1) / options.spacing;
    const int64_t piece = (length + pieces - 1) / pieces;
    std::vector<int64_t> before;
    for (int64_t at = *end; at > from;) {
      before.push_back(at);
      at -= std::max(piece, static_cast<int64_t>(options.growth * static_cast<double>(*end - at)));
    }
    positions.insert(positions.end(), before.rbegin(), before.rend());
  }
  return positions;
}

StateCache::StateCache(const StateCacheOptions& options) : options_(options) {
  require(
      options.bytes >= 0 && options.spacing > 0 && options.least > 0 && options.growth >= 0 &&
          options.age_seconds > 0,
      "state cache: {} bytes, spacing {}, at least {}, growth {}, age {} s; expected a limit of 0 or more, "
      "spacings and an age above 0, a growth of 0 or more",
      options.bytes, options.spacing, options.least, options.growth, options.age_seconds);
}

StateCache::~StateCache() = default;

StateCache::Node& StateCache::root_of(const std::string& space) {
  std::unique_ptr<Node>& root = roots_[space];
  if (!root) root = std::make_unique<Node>();
  return *root;
}

StateCache::Path StateCache::walk(const std::string& space, std::span<const int32_t> tokens) const {
  Path path;
  const auto root = roots_.find(space);
  for (Node* node = root == roots_.end() ? nullptr : root->second.get(); node;) {
    const std::span<const int32_t> rest = tokens.subspan(static_cast<size_t>(node->depth));
    if (node->snapshot && (!rest.empty() || !node->snapshot->logits.empty())) path.best = node;
    if (node->expected > 0) path.expected = node->depth;
    path.last = node;
    path.known = node->depth;
    if (rest.empty()) break;
    const auto child = node->children.find(rest.front());
    if (child == node->children.end()) break;
    const size_t common = common_length(child->second->edge, rest);
    if (common < child->second->edge.size()) {
      path.known += static_cast<int64_t>(common);
      break;
    }
    node = child->second.get();
  }
  return path;
}

StateCache::Hit StateCache::find(const std::string& space, std::span<const int32_t> tokens) {
  const std::lock_guard lock(mutex_);
  const Path path = walk(space, tokens);
  ++(path.best ? figures_.hits : figures_.misses);
  Hit hit{.snapshot = nullptr, .known = path.known};
  if (!path.best) return hit;
  path.best->used = Clock::now();
  hit.snapshot = path.best->snapshot;
  hit.tokens = path.best->depth;
  return hit;
}

void StateCache::expect(const std::string& space, std::span<const int32_t> tokens,
                        std::span<const int64_t> places) {
  const std::lock_guard lock(mutex_);
  for (const int64_t place : places)
    ++node_at(root_of(space), tokens.first(static_cast<size_t>(place))).expected;
}

void StateCache::expect_no_more(const std::string& space, std::span<const int32_t> tokens,
                                std::span<const int64_t> places) {
  const std::lock_guard lock(mutex_);
  for (const int64_t place : places) {
    Node* node = walk(space, tokens.first(static_cast<size_t>(place))).last;
    if (!node || node->depth != place || node->expected == 0) continue;  // all were forgotten meanwhile
    --node->expected;
    tidy(node);
  }
}

bool StateCache::expects_more(const std::string& space, std::span<const int32_t> tokens) const {
  const std::lock_guard lock(mutex_);
  if (too_small_) return false;
  const Path path = walk(space, tokens);
  return path.expected - (path.best ? path.best->depth : 0) >= options_.least;
}

void StateCache::insert(const std::string& space, std::span<const int32_t> tokens, SnapshotPtr snapshot,
                        Kind kind) {
  const std::lock_guard lock(mutex_);
  too_small_ = snapshot->bytes() > options_.bytes;
  if (tokens.empty() || too_small_) return;
  Node& node = node_at(root_of(space), tokens);
  node.used = Clock::now();
  if (kind == Kind::end) node.kind = kind;
  if (!node.snapshot || !snapshot->logits.empty() || node.snapshot->logits.empty())
    set(node, std::move(snapshot));
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
  while (node->parent && !node->snapshot && node->expected == 0 && node->children.size() < 2) {
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

std::vector<StateCache::Node*> StateCache::with_snapshot(Node& root) {
  std::vector<Node*> nodes{&root};
  for (size_t i = 0; i < nodes.size(); ++i)
    for (const auto& [token, child] : nodes[i]->children) nodes.push_back(child.get());
  for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {  // children come after their parents
    const bool goes_on = (*node)->kind == Kind::between && (*node)->children.size() == 1;
    (*node)->message_end = goes_on ? (*node)->children.begin()->second->message_end : (*node)->depth;
  }
  std::erase_if(nodes, [](const Node* node) { return !node->snapshot; });
  return nodes;
}

double StateCache::worth(const Node& node, Clock::time_point now) const {
  const Node* earlier = node.parent;
  while (earlier && earlier->parent && !earlier->snapshot) earlier = earlier->parent;
  const int64_t tokens = node.depth - (earlier ? earlier->depth : 0);
  // Near the end a change costs some tokens in any case: the next question and its reply.
  const int64_t unavoidable = 4 * options_.spacing + node.message_end - node.depth;
  const double age = std::chrono::duration<double>(now - node.used).count();
  const double forks = node.children.size() > 1 ? std::log(static_cast<double>(node.children.size())) : 0;
  return std::log(static_cast<double>(tokens) / static_cast<double>(unavoidable)) + forks -
         age / options_.age_seconds - std::log(static_cast<double>(node.snapshot->bytes()));
}

void StateCache::evict() {
  if (figures_.bytes <= options_.bytes) return;
  // A tenth more than needed, so that the tree is not searched at every insertion.
  const int64_t wanted = options_.bytes - options_.bytes / 10;
  const auto now = Clock::now();
  while (figures_.bytes > wanted) {
    std::vector<std::pair<double, Node*>> nodes;
    for (const auto& [space, root] : roots_)
      for (Node* node : with_snapshot(*root)) nodes.emplace_back(worth(*node, now), node);
    if (nodes.empty()) return;
    std::sort(nodes.begin(), nodes.end());
    for (const auto& [known_worth, node] : nodes) {
      if (figures_.bytes <= wanted) return;
      if (worth(*node, now) > known_worth) continue;  // the one before it has gone
      ++figures_.evictions;
      drop_snapshot(*node);
      tidy(node);
    }
  }
}

void StateCache::clear(const std::string& space) {
  const std::lock_guard lock(mutex_);
  const auto root = roots_.find(space);
  if (root == roots_.end()) return;
  for (Node* node : with_snapshot(*root->second)) drop_snapshot(*node);
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
