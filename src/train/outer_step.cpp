#include "train/outer_step.h"

#include <cmath>
#include <span>

#include "base/error.h"
#include "base/threads.h"

namespace aviary {
namespace {

constexpr int64_t numbers_at_once = 1 << 14;  // of one thread

}  // namespace

OuterStep::OuterStep(Ranks& ranks, std::vector<TrainedWeight> weights, double learning_rate, double momentum,
                     bool rounded)
    : ranks_(ranks), learning_rate_(learning_rate), momentum_(momentum), sum_(ranks, ranks.count(), rounded) {
  for (const TrainedWeight& weight : weights) {
    require(weight.weight->dtype() == Dtype::f32, "--local-steps: the weights have to be float32");
    parts_.push_back(
        {weight, OwnedTensor(weight.spec->shape, Dtype::f32), OwnedTensor(weight.spec->shape, Dtype::f32)});
    set_zero(parts_.back().momentum.view());
  }
  begin_round();
}

void OuterStep::begin_round() {
  for (const Part& part : parts_) copy(part.of.weight->value(), part.first.view());
}

// The sums over all ranks, of which each first gets its share.
void OuterStep::add_up(const Tensor& gradients) {
  if (ranks_.alone()) return;
  std::vector<int64_t> bounds;
  for (int64_t shard = 0; shard <= ranks_.count(); ++shard)
    bounds.push_back(gradients.count() * shard / ranks_.count());
  const Shards shards(ranks_, bounds);
  sum_.reduce(gradients, shards);
  shards.collect(std::span(static_cast<std::byte*>(gradients.data()), static_cast<size_t>(gradients.bytes())),
                 size_of(gradients.dtype()));
}

void OuterStep::end_round(const Tensor& gradients) {
  for (const Part& part : parts_) {
    const float *first = part.first.view().as<float>(), *value = part.of.weight->value().as<float>();
    float* change = part.of.weight->gradient().as<float>();
    parallel_for(part.first.view().count(), numbers_at_once, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) change[i] = first[i] - value[i];
    });
  }
  add_up(gradients);
  const auto mean = static_cast<float>(1.0 / static_cast<double>(ranks_.count()));
  const auto keep = static_cast<float>(momentum_), rate = static_cast<float>(learning_rate_);
  for (const Part& part : parts_) {
    float *first = part.first.view().as<float>(), *momentum = part.momentum.view().as<float>();
    const float* change = part.of.weight->gradient().as<float>();
    parallel_for(part.first.view().count(), numbers_at_once, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float gradient = mean * change[i];
        momentum[i] = keep * momentum[i] + gradient;
        first[i] -= rate * (gradient + keep * momentum[i]);
      }
    });
    for (int64_t i = 0; i < part.first.view().count(); ++i)
      require(std::isfinite(first[i]),
              "training diverged: {} is not finite after the round; start again with a smaller "
              "--learning-rate",
              part.of.spec->name);
    copy(part.first.view(), part.of.weight->value());
    part.of.weight->changed();
  }
  set_zero(gradients);
}

std::vector<OuterStep::Momentum> OuterStep::momenta() const {
  std::vector<Momentum> result;
  for (const Part& part : parts_) result.push_back({"outer." + part.of.spec->name, part.momentum.view()});
  return result;
}

}  // namespace aviary
