#include "page/memory.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <string>

#include "base/error.h"
#include "train/update_rule.h"

namespace aviary {
namespace {

constexpr int64_t group = 64;

std::optional<size_t> part_named(const std::vector<StateSpec>& specs, const std::string& name) {
  for (size_t i = 0; i < specs.size(); ++i)
    if (specs[i].name == name) return i;
  return {};
}

std::string with_end(const std::string& name, const char* end) {
  return name.substr(0, name.size() - 2) + end;
}

}  // namespace

std::vector<MemoryHead> memory_heads(const StateLayout& layout) {
  std::vector<MemoryHead> heads;
  const std::vector<StateSpec>& specs = layout.specs();
  if (layout.dtype() != Dtype::f32) return heads;
  for (size_t i = 0; i < specs.size(); ++i) {
    const StateSpec& spec = specs[i];
    if (spec.kind != StateKind::recurrence || spec.name.ends_with(".bb") || spec.name.ends_with(".pp"))
      continue;
    MemoryHead head{.layer = layer_of(spec.name), .part = i};
    if (spec.name.ends_with(".aa")) head.divisor = part_named(specs, with_end(spec.name, "bb"));
    const int64_t all = spec.shape.count();
    const bool square = spec.shape.rank() == 3 && spec.shape[1] == spec.shape[2];
    head.count = square ? spec.shape[1] * spec.shape[2] : std::min(group, all);
    head.side = square ? spec.shape[1] : 0;
    for (; head.first < all; head.first += head.count, ++head.head) {
      head.count = std::min(head.count, all - head.first);
      heads.push_back(head);
    }
  }
  std::stable_sort(heads.begin(), heads.end(),
                   [](const auto& a, const auto& b) { return a.layer < b.layer; });
  return heads;
}

void read_memory(const State& state, const MemoryHead& head, std::span<float> out) {
  assert(std::ssize(out) == head.count);
  const float* from = state[head.part].as<float>() + head.first;
  std::copy_n(from, head.count, out.begin());
  if (!head.divisor) return;
  const float* under = state[*head.divisor].as<float>() + head.first;
  for (size_t i = 0; i < out.size(); ++i) out[i] = under[i] > 0 ? out[i] / under[i] : 0;
}

double distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - b[i];
    sum += d * d;
  }
  return std::sqrt(sum);
}

double length(std::span<const float> a) {
  double sum = 0;
  for (const float x : a) sum += static_cast<double>(x) * x;
  return std::sqrt(sum);
}

}  // namespace aviary
