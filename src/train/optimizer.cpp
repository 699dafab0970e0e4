#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/error.h"
#include "kernels/kernels.h"

namespace aviary {
namespace {

constexpr int64_t alignment = 64;  // alignment in bytes of every gradient in the buffer

int64_t aligned_count(const Weight& weight) {
  const int64_t numbers = alignment / size_of(weight.dtype());
  return (weight.shape().count() + numbers - 1) / numbers * numbers;
}

double sum_of_squares(const Tensor& x) {
  if (x.dtype() == Dtype::f32) return kernels::sum_of_squares(x.as<float>(), x.count());
  double sum = 0;
  for (int64_t i = 0; i < x.count(); ++i) sum += x.as<double>()[i] * x.as<double>()[i];
  return sum;
}

}  // namespace

Optimizer::Optimizer(Model& model, std::vector<ParameterGroup> groups, double clip, Ranks& ranks)
    : groups_(std::move(groups)), clip_(clip), ranks_(ranks) {
  std::map<const Weight*, const ParameterGroup*> group_of;
  for (const ParameterGroup& group : groups_)
    for (const TrainedWeight& trained : group.parameters)
      require(group_of.emplace(trained.weight, &group).second, "optimizer: {} is in two groups",
              trained.spec->name);
  const int64_t layers = model.config().n_layer;
  layer_norms_.assign(static_cast<size_t>(layers + 2), std::numeric_limits<double>::quiet_NaN());
  int64_t count = 0, part = 0;
  auto add = [&](const TrainedWeight& of, const ParameterGroup& group) {
    trained_.push_back(
        Trained{of, &group, count, static_cast<size_t>(part), group.rule->moments(*of.spec), {}, {}});
    count += aligned_count(*of.weight);
  };
  for (Parameter& parameter : model.parameters()) {
    const int64_t layer = layer_of(parameter.spec.name);
    if (layer >= 0 || part > 0) part = layer >= 0 ? layer + 1 : layers + 1;
    parameter.weight.set_trainable(false);
    const auto found = group_of.find(&parameter.weight);
    if (found == group_of.end()) continue;
    add(parameter, *found->second);
    group_of.erase(found);
  }
  for (const ParameterGroup& group : groups_)
    for (const TrainedWeight& trained : group.parameters) {
      if (!group_of.contains(trained.weight)) continue;
      const int64_t layer = layer_of(trained.spec->name);
      part = layer >= 0 ? layer + 1 : layers + 1;
      add(trained, group);
    }
  if (count == 0) return;
  gradients_ = OwnedTensor({count}, model.dtype());
  if (!ranks_.alone()) divide(count);
  auto* begin = static_cast<std::byte*>(gradients_.view().data());
  for (Trained& trained : trained_) {
    Weight& weight = *trained.of.weight;
    weight.set_gradient(
        Tensor(begin + trained.place * size_of(weight.dtype()), weight.shape(), weight.dtype()));
    for (const MomentSpec& moment : trained.specs)
      if (is_own(trained)) trained.memory.emplace_back(moment.shape, model.dtype());
    for (const OwnedTensor& moment : trained.memory) trained.moments.push_back(moment.view());
  }
}

// Shards of about the same size, of whole parameters, since some rules move matrices.
void Optimizer::divide(int64_t count) {
  std::vector<int64_t> bounds{0};
  size_t next = 0;
  for (int64_t shard = 1; shard < ranks_.count(); ++shard) {
    const double wanted =
        static_cast<double>(count) * static_cast<double>(shard) / static_cast<double>(ranks_.count());
    auto middle = [&](const Trained& trained) {
      return static_cast<double>(trained.place) + static_cast<double>(aligned_count(*trained.of.weight)) / 2;
    };
    while (next < trained_.size() && middle(trained_[next]) < wanted) ++next;
    bounds.push_back(next < trained_.size() ? trained_[next].place : count);
  }
  bounds.push_back(count);
  shards_.emplace(ranks_, bounds);
}

int64_t Optimizer::owner_of(const Trained& trained) const {
  return shards_ ? shards_->owner_of(trained.place) : 0;
}

Optimizer::~Optimizer() {
  for (const Trained& trained : trained_) trained.of.weight->set_trainable(false);
}

// Summed per parameter, so that the norm does not depend on their positions, nor on who has them.
double Optimizer::squares_of_all() {
  std::vector<double> squares(trained_.size());
  for (size_t i = 0; i < trained_.size(); ++i)
    if (is_own(trained_[i])) squares[i] = sum_of_squares(trained_[i].of.weight->gradient());
  ranks_.add_up(squares);
  not_finite_.clear();
  double sum = 0;
  for (const Trained& trained : trained_) layer_norms_[trained.part] = 0;
  for (size_t i = 0; i < trained_.size(); ++i) {
    if (!std::isfinite(squares[i])) not_finite_ = trained_[i].of.spec->name;
    sum += squares[i];
    layer_norms_[trained_[i].part] += squares[i];
  }
  for (double& norm : layer_norms_) norm = std::sqrt(norm);
  return sum;
}

// Every rank gets the weights of the others, by way of the gradients, which are then zeroed.
void Optimizer::share_weights() {
  if (!shards_) return;
  for (const Trained& trained : trained_)
    if (is_own(trained)) copy(trained.of.weight->value(), trained.of.weight->gradient());
  shards_->collect(std::span(static_cast<std::byte*>(gradients_.view().data()),
                             static_cast<size_t>(gradients_.view().bytes())),
                   size_of(gradients_.view().dtype()));
  for (const Trained& trained : trained_)
    if (!is_own(trained)) copy(trained.of.weight->gradient(), trained.of.weight->value());
  set_zero(gradients_.view());
}

double Optimizer::step(double learning_rate, double weight_decay_scale, WorkerSum* workers) {
  if (workers && shards_) workers->reduce(gradients_.view(), *shards_);
  const double norm = std::sqrt(squares_of_all());
  if (!std::isfinite(norm)) {
    set_zero(gradients_.view());
    return norm;
  }
  UpdateStep step{.number = ++steps_, .gradient_scale = clip_ > 0 ? std::min(1.0, clip_ / (norm + 1e-6)) : 1};
  for (const ParameterGroup& group : groups_) {
    std::vector<UpdatedWeight> updated;
    for (const Trained& trained : trained_)
      if (trained.group == &group && is_own(trained))
        updated.push_back({trained.of.spec,
                           learning_rate * group.learning_rate_scale * trained.of.spec->learning_rate_scale,
                           trained.of.weight->value(), trained.of.weight->gradient(), trained.moments});
    step.weight_decay = group.weight_decay * weight_decay_scale;
    if (!updated.empty()) group.rule->update(step, updated);
  }
  share_weights();
  for (const Trained& trained : trained_) trained.of.weight->changed();
  return norm;
}

std::vector<TrainedWeight> Optimizer::weights() const {
  std::vector<TrainedWeight> result;
  for (const Trained& trained : trained_) result.push_back(trained.of);
  return result;
}

std::vector<Optimizer::Moment> Optimizer::moments() const {
  std::vector<Moment> result;
  for (const Trained& trained : trained_)
    for (size_t i = 0; i < trained.specs.size(); ++i)
      result.push_back({trained.specs[i].name + "." + trained.of.spec->name, trained.specs[i].shape,
                        gradients_.view().dtype(), owner_of(trained),
                        is_own(trained) ? trained.moments[i] : Tensor()});
  return result;
}

}  // namespace aviary
