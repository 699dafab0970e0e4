#include "models/state.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/difference.h"

namespace aviary {
namespace {

constexpr int64_t smallest_capacity = 16;  // rows of a history

// Copies what the first rows of histories of two capacities have in common.
void copy_rows(const char* from, int64_t from_bytes, char* to, int64_t to_bytes) {
  std::memcpy(to, from, static_cast<size_t>(std::min(from_bytes, to_bytes)));
}

}  // namespace

State::State(const std::vector<StateSpec>& specs, int64_t sequences, Dtype dtype)
    : positions_(static_cast<size_t>(sequences)) {
  for (const StateSpec& spec : specs) {
    Shape shape{sequences};
    if (spec.kind == StateKind::history) shape.append(smallest_capacity);
    for (int i = 0; i < spec.shape.rank(); ++i) shape.append(spec.shape[i]);
    tensors_.emplace_back(shape, dtype);
    is_history_.push_back(spec.kind == StateKind::history);
  }
  reset(specs);
}

void State::reset(const std::vector<StateSpec>& specs) {
  std::fill(positions_.begin(), positions_.end(), 0);
  for (size_t i = 0; i < specs.size(); ++i) {
    const Tensor& tensor = tensors_[i].view();
    if (specs[i].initial == 0)
      set_zero(tensor);
    else
      from_host(std::vector<double>(static_cast<size_t>(tensor.count()), specs[i].initial), tensor);
  }
}

int64_t State::capacity() const {
  const auto history = std::find(is_history_.begin(), is_history_.end(), true);
  if (history == is_history_.end()) return 0;
  return tensors_[static_cast<size_t>(history - is_history_.begin())].view().shape()[1];
}

void State::reserve(int64_t rows) {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& old = tensors_[i].view();
    if (!is_history_[i] || old.shape()[1] >= rows) continue;
    Shape shape{old.shape()[0], static_cast<int64_t>(
                                    std::bit_ceil(static_cast<uint64_t>(std::max(rows, smallest_capacity))))};
    for (int axis = 2; axis < old.shape().rank(); ++axis) shape.append(old.shape()[axis]);
    OwnedTensor grown(shape, old.dtype());
    const int64_t sequences = shape[0], before = old.bytes() / sequences,
                  after = grown.view().bytes() / sequences;
    for (int64_t s = 0; s < sequences; ++s)
      copy_rows(static_cast<const char*>(old.data()) + s * before, before,
                static_cast<char*>(grown.view().data()) + s * after, after);
    tensors_[i] = std::move(grown);
  }
}

State& State::operator=(const State& other) {
  if (this == &other) return *this;
  tensors_.clear();
  for (const OwnedTensor& tensor : other.tensors_) {
    tensors_.emplace_back(tensor.view().shape(), tensor.view().dtype());
    copy(tensor.view(), tensors_.back().view());
  }
  is_history_ = other.is_history_;
  positions_ = other.positions_;
  return *this;
}

int64_t State::bytes() const {
  int64_t total = 0;
  for (const OwnedTensor& tensor : tensors_) total += tensor.view().bytes();
  return total;
}

void State::assign(int64_t to, const State& from, int64_t index) {
  const int64_t position = from.positions_[static_cast<size_t>(index)];
  reserve(std::min(position, from.capacity()));
  positions_[static_cast<size_t>(to)] = position;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor &target = tensors_[i].view(), &source = from[i];
    const int64_t room = target.bytes() / target.shape()[0], bytes = source.bytes() / source.shape()[0];
    char* begin = static_cast<char*>(target.data()) + to * room;
    copy_rows(static_cast<const char*>(source.data()) + index * bytes, bytes, begin, room);
    if (room > bytes) std::memset(begin + bytes, 0, static_cast<size_t>(room - bytes));
  }
}

double largest_difference(const State& a, const State& b) {
  if (a.positions() != b.positions()) return std::numeric_limits<double>::infinity();
  State x = a, y = b;
  x.reserve(b.capacity());
  y.reserve(a.capacity());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = larger(largest, largest_difference(to_host(x[i]), to_host(y[i])));
  return largest;
}

}  // namespace aviary
