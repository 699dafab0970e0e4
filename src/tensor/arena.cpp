#include "tensor/arena.h"

#include <algorithm>

namespace aviary {
namespace {

constexpr int64_t smallest_block = 1 << 20;

int64_t round_up(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

void* Arena::allocate(int64_t bytes) {
  bytes = std::max<int64_t>(round_up(bytes), 64);
  if (blocks_.empty() || offset_ + bytes > blocks_.back().bytes()) {
    blocks_.emplace_back(std::max({bytes, smallest_block, used_ / 2}));
    offset_ = 0;
  }
  void* result = static_cast<char*>(blocks_.back().data()) + offset_;
  offset_ += bytes;
  used_ += bytes;
  most_ = std::max(most_, used_);
  return result;
}

std::vector<Arena::Free>::iterator Arena::free_list(int64_t bytes) {
  return std::find_if(free_.begin(), free_.end(), [&](const Free& list) { return list.bytes == bytes; });
}

Tensor Arena::reserve(Shape shape, Dtype dtype) {
  auto list = free_list(round_up(shape.count() * size_of(dtype)));
  if (list == free_.end() || list->blocks.empty()) return tensor(shape, dtype);
  void* memory = list->blocks.back();
  list->blocks.pop_back();
  return {memory, shape, dtype};
}

void Arena::release(const Tensor& tensor) {
  int64_t bytes = round_up(tensor.bytes());
  auto list = free_list(bytes);
  if (list == free_.end()) list = free_.insert(free_.end(), Free{bytes, {}});
  list->blocks.push_back(tensor.data());
}

void Arena::rewind(const Mark& mark) {
  blocks_.resize(mark.blocks);
  offset_ = mark.offset;
  used_ = mark.used;
  for (Free& list : free_) list.blocks.clear();
}

void Arena::reset() {
  if (blocks_.size() > 1 || (!blocks_.empty() && blocks_[0].bytes() < most_)) {
    blocks_.clear();
    blocks_.emplace_back(most_ + most_ / 16);
  }
  for (Free& list : free_) list.blocks.clear();
  offset_ = 0;
  used_ = most_ = 0;
}

}  // namespace aviary
