#include "train/worker_sum.h"

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "base/threads.h"

namespace aviary {
namespace {

constexpr int64_t in_cache = 4096;       // numbers that are added at once
constexpr int64_t in_message = 1 << 20;  // numbers that are sent at once

template <typename Number>
Number rounded(Number x) {
  return static_cast<Number>(to_float(to_bf16(static_cast<float>(x))));
}

// to = a + b for rounded terms, where a is `to`.
template <typename Number>
void add_part(const Number* b, bool round, int64_t count, Number* to) {
  if (round)
    for (int64_t i = 0; i < count; ++i) to[i] = rounded(to[i]) + rounded(b[i]);
  else
    for (int64_t i = 0; i < count; ++i) to[i] += b[i];
}

// Adds the waiting sums to the gradient; the result waits, and the gradient is zeroed, unless `waiting` is
// null.
template <typename Number>
void add_waiting(std::span<const OwnedTensor> sums, bool round, const Tensor& gradient,
                 const Tensor* waiting) {
  parallel_for(gradient.count(), in_cache, [&](int64_t first, int64_t last) {
    for (int64_t begin = first; begin < last; begin += in_cache) {
      const int64_t count = std::min(in_cache, last - begin);
      Number* here = gradient.as<Number>() + begin;
      for (const OwnedTensor& sum : sums)
        add_part<Number>(sum.view().as<Number>() + begin, round, count, here);
      if (!waiting) continue;
      std::copy_n(here, count, waiting->as<Number>() + begin);
      std::fill_n(here, count, Number{0});
    }
  });
}

template <typename Number>
std::span<std::byte> traffic_bytes(std::vector<Number>& numbers, int64_t count) {
  return std::as_writable_bytes(std::span(numbers).first(static_cast<size_t>(count)));
}

// Exchanges parts of a gradient with another rank, and adds what comes.
template <typename Number>
void exchange_and_add(Ranks& ranks, int64_t partner, Range send, Range receive, bool round,
                      Number* gradient) {
  std::vector<Number> received(static_cast<size_t>(std::min(in_message, receive.count())));
  std::vector<bf16> out(round ? static_cast<size_t>(std::min(in_message, send.count())) : 0);
  std::vector<bf16> in(round ? received.size() : 0);
  while (send.count() > 0 || receive.count() > 0) {
    const int64_t sent = std::min(in_message, send.count()), got = std::min(in_message, receive.count());
    const Number* from = gradient + send.begin;
    if (round) {
      for (int64_t i = 0; i < sent; ++i) out[static_cast<size_t>(i)] = to_bf16(static_cast<float>(from[i]));
      ranks.exchange(partner, traffic_bytes(out, sent), traffic_bytes(in, got));
      for (size_t i = 0; i < static_cast<size_t>(got); ++i)
        received[i] = static_cast<Number>(to_float(in[i]));
    } else {
      ranks.exchange(partner, std::as_bytes(std::span(from, static_cast<size_t>(sent))),
                     traffic_bytes(received, got));
    }
    add_part(received.data(), round, got, gradient + receive.begin);
    send.begin += sent;
    receive.begin += got;
  }
}

}  // namespace

WorkerSum::WorkerSum(Ranks& ranks, int64_t workers, bool rounded)
    : ranks_(ranks), workers_(workers), rounded_(rounded) {
  const int64_t count = ranks.count();
  require(
      count <= workers && workers % count == 0,
      "{} processes cannot share the {} workers of the run (--workers) evenly: start 1, 2, 4, ... up to {}",
      count, workers, workers);
  const int64_t each = workers / count;
  own_ = {ranks.rank() * each, (ranks.rank() + 1) * each};
}

void WorkerSum::add(const Tensor& gradient) {
  const auto waiting = static_cast<size_t>(std::countr_one(static_cast<uint64_t>(added_)));
  const bool last = ++added_ == own_.count();
  if (last) added_ = 0;
  if (last && waiting == 0) return;  // there is only one
  if (!last && sums_.size() == waiting) sums_.emplace_back(gradient.shape(), gradient.dtype());
  const std::span sums = std::span<const OwnedTensor>(sums_).first(waiting);
  const Tensor place = last ? Tensor() : sums_[waiting].view();
  if (gradient.dtype() == Dtype::f32)
    add_waiting<float>(sums, rounded_, gradient, last ? nullptr : &place);
  else
    add_waiting<double>(sums, rounded_, gradient, last ? nullptr : &place);
}

void WorkerSum::reduce(const Tensor& gradient, const Shards& shards) {
  shards.reduce([&](int64_t partner, Range send, Range receive) {
    if (gradient.dtype() == Dtype::f32)
      exchange_and_add(ranks_, partner, send, receive, rounded_, gradient.as<float>());
    else
      exchange_and_add(ranks_, partner, send, receive, rounded_, gradient.as<double>());
  });
}

}  // namespace aviary
