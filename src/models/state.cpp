#include "models/state.h"

#include <algorithm>
#include <cmath>

namespace aviary {

State::State(const std::vector<StateSpec>& specs, int64_t sequences, Dtype dtype) {
  for (const StateSpec& spec : specs) {
    Shape shape{sequences};
    for (int i = 0; i < spec.shape.rank(); ++i) shape.append(spec.shape[i]);
    tensors_.emplace_back(shape, dtype);
  }
  reset(specs);
}

void State::reset(const std::vector<StateSpec>& specs) {
  for (size_t i = 0; i < specs.size(); ++i) {
    const Tensor& tensor = tensors_[i].view();
    if (specs[i].initial == 0)
      set_zero(tensor);
    else
      from_host(std::vector<double>(static_cast<size_t>(tensor.count()), specs[i].initial), tensor);
  }
}

State& State::operator=(const State& other) {
  if (this == &other) return *this;
  tensors_.clear();
  for (const OwnedTensor& tensor : other.tensors_) {
    tensors_.emplace_back(tensor.view().shape(), tensor.view().dtype());
    copy(tensor.view(), tensors_.back().view());
  }
  return *this;
}

int64_t State::bytes() const {
  int64_t total = 0;
  for (const OwnedTensor& tensor : tensors_) total += tensor.view().bytes();
  return total;
}

void State::assign(int64_t to, const State& from, int64_t index) {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor &target = tensors_[i].view(), &source = from[i];
    const int64_t bytes = target.bytes() / target.shape()[0];
    std::memcpy(static_cast<char*>(target.data()) + to * bytes,
                static_cast<const char*>(source.data()) + index * bytes, static_cast<size_t>(bytes));
  }
}

double largest_difference(const State& a, const State& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    std::vector<double> left = to_host(a[i]), right = to_host(b[i]);
    for (size_t j = 0; j < left.size(); ++j) {
      const double difference = std::abs(left[j] - right[j]);
      if (!(difference <= largest)) largest = difference;  // NaN wins
    }
  }
  return largest;
}

}  // namespace aviary
