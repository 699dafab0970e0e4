#include "models/state.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/difference.h"

namespace aviary {
namespace {

constexpr int64_t smallest_capacity = 16;  // rows of a history
constexpr int64_t alignment = 64;

}  // namespace

StateLayout::StateLayout(std::vector<StateSpec> specs, Dtype dtype)
    : specs_(std::move(specs)), dtype_(dtype) {
  for (const StateSpec& spec : specs_) {
    int64_t& end = spec.is_history() ? bytes_per_row_ : fixed_bytes_;
    offsets_.push_back(end);
    end += spec.shape.count() * size_of(dtype);
    if (!spec.is_history()) end = (end + alignment - 1) / alignment * alignment;
  }
}

Shape StateLayout::shape(size_t part, int64_t capacity) const {
  const StateSpec& spec = specs_[part];
  if (!spec.is_history()) return spec.shape;
  Shape shape{capacity};
  for (int axis = 0; axis < spec.shape.rank(); ++axis) shape.append(spec.shape[axis]);
  return shape;
}

bool StateLayout::matches(const StateLayout& other) const {
  return this == &other || (dtype_ == other.dtype_ &&
                            std::equal(specs_.begin(), specs_.end(), other.specs_.begin(), other.specs_.end(),
                                       [](const StateSpec& a, const StateSpec& b) {
                                         return a.shape == b.shape && a.kind == b.kind;
                                       }));
}

State::State(std::shared_ptr<const StateLayout> layout)
    : layout_(std::move(layout)), capacity_(layout_->has_histories() ? smallest_capacity : 0) {
  memory_ = Buffer(layout_->bytes(capacity_));
  reset();
}

void State::reset() {
  position_ = 0;
  if (memory_.bytes() == 0) return;
  std::memset(memory_.data(), 0, static_cast<size_t>(memory_.bytes()));
  for (size_t i = 0; i < size(); ++i) {
    const double initial = layout_->specs()[i].initial;
    if (initial == 0) continue;
    const Tensor part = (*this)[i];
    from_host(std::vector<double>(static_cast<size_t>(part.count()), initial), part);
  }
}

void State::reserve(int64_t rows) {
  if (!layout_->has_histories() || rows <= capacity_) return;
  State grown;
  grown.layout_ = layout_;
  grown.capacity_ =
      static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max(rows, smallest_capacity))));
  grown.memory_ = Buffer(layout_->bytes(grown.capacity_));
  grown.position_ = position_;
  for (size_t i = 0; i < size(); ++i) {
    const Tensor from = (*this)[i], to = grown[i];
    std::memcpy(to.data(), from.data(), static_cast<size_t>(from.bytes()));
  }
  *this = std::move(grown);
}

State& State::operator=(const State& other) {
  if (this == &other) return *this;
  if (memory_.bytes() != other.memory_.bytes()) memory_ = Buffer(other.memory_.bytes());
  if (other.memory_.bytes() > 0)
    std::memcpy(memory_.data(), other.memory_.data(), static_cast<size_t>(other.memory_.bytes()));
  layout_ = other.layout_;
  capacity_ = other.capacity_;
  position_ = other.position_;
  return *this;
}

int64_t State::bytes() const {
  int64_t total = 0;
  for (size_t i = 0; i < size(); ++i) total += (*this)[i].bytes();
  return total;
}

OwnedTensor stacked(std::span<const State> states, size_t part) {
  const Tensor first = states[0][part];
  Shape shape{std::ssize(states)};
  for (int axis = 0; axis < first.shape().rank(); ++axis) shape.append(first.shape()[axis]);
  OwnedTensor all(shape, first.dtype());
  char* to = static_cast<char*>(all.view().data());
  for (const State& state : states) {
    const Tensor own = state[part];
    assert(own.bytes() == first.bytes());
    std::memcpy(to, own.data(), static_cast<size_t>(own.bytes()));
    to += own.bytes();
  }
  return all;
}

double largest_difference(const State& a, const State& b) {
  if (a.position() != b.position()) return std::numeric_limits<double>::infinity();
  State x = a, y = b;
  x.reserve(b.capacity());
  y.reserve(a.capacity());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = larger(largest, largest_difference(to_host(x[i]), to_host(y[i])));
  return largest;
}

}  // namespace aviary
