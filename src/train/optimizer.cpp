#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
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

Optimizer::Optimizer(Model& model, std::vector<ParameterGroup> groups, double clip)
    : groups_(std::move(groups)), clip_(clip) {
  std::map<const Weight*, const ParameterGroup*> group_of;
  for (const ParameterGroup& group : groups_)
    for (const TrainedWeight& trained : group.parameters)
      require(group_of.emplace(trained.weight, &group).second, "optimizer: {} is in two groups",
              trained.spec->name);
  int64_t count = 0;
  auto add = [&](const TrainedWeight& of, const ParameterGroup& group) {
    Trained& trained = trained_.emplace_back(Trained{of, &group, {}, {}, {}});
    for (const MomentSpec& moment : group.rule->moments(*of.spec)) {
      trained.names.push_back(moment.name + "." + of.spec->name);
      trained.memory.emplace_back(moment.shape, model.dtype());
      trained.moments.push_back(trained.memory.back().view());
    }
    count += aligned_count(*of.weight);
  };
  for (Parameter& parameter : model.parameters()) {
    parameter.weight.set_trainable(false);
    const auto found = group_of.find(&parameter.weight);
    if (found == group_of.end()) continue;
    add(parameter, *found->second);
    group_of.erase(found);
  }
  for (const ParameterGroup& group : groups_)
    for (const TrainedWeight& trained : group.parameters)
      if (group_of.contains(trained.weight)) add(trained, group);
  if (count == 0) return;
  gradients_ = OwnedTensor({count}, model.dtype());
  auto* at = static_cast<std::byte*>(gradients_.view().data());
  for (const Trained& trained : trained_) {
    Weight& weight = *trained.of.weight;
    weight.set_gradient(Tensor(at, weight.shape(), weight.dtype()));
    at += aligned_count(weight) * size_of(weight.dtype());
  }
}

Optimizer::~Optimizer() {
  for (const Trained& trained : trained_) trained.of.weight->set_trainable(false);
}

double Optimizer::step(double learning_rate, double weight_decay_scale) {
  // Summed per parameter, so that the norm does not depend on their positions.
  double squares = 0;
  not_finite_.clear();
  for (const Trained& trained : trained_) {
    const double own = sum_of_squares(trained.of.weight->gradient());
    if (!std::isfinite(own)) not_finite_ = trained.of.spec->name;
    squares += own;
  }
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) {
    set_zero(gradients_.view());
    return norm;
  }
  UpdateStep step{.number = ++steps_, .gradient_scale = clip_ > 0 ? std::min(1.0, clip_ / (norm + 1e-6)) : 1};
  for (const ParameterGroup& group : groups_) {
    std::vector<UpdatedWeight> updated;
    for (const Trained& trained : trained_)
      if (trained.group == &group)
        updated.push_back({trained.of.spec,
                           learning_rate * group.learning_rate_scale * trained.of.spec->learning_rate_scale,
                           trained.of.weight->value(), trained.of.weight->gradient(), trained.moments});
    step.weight_decay = group.weight_decay * weight_decay_scale;
    if (!updated.empty()) group.rule->update(step, updated);
  }
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
    for (size_t i = 0; i < trained.moments.size(); ++i)
      result.push_back({trained.names[i], trained.moments[i]});
  return result;
}

}  // namespace aviary
