// Chooses the type of each tensor for a requested size or quality.
#pragma once

#include <functional>
#include <vector>

#include "quant/plan.h"

namespace aviary {

// The error of every matrix of a file in every type that it may get, measured once.
class TypeChoice {
 public:
  // `file` must outlive it. `progress` as for plan_types().
  explicit TypeChoice(const TensorFile& file, const std::function<bool(int64_t)>& progress = {});

  // A plan whose `size` is at most `bytes`: that of the file with this plan. Among the plans in which no
  // tensor can save bytes at less damage per byte, the one with the least damage. `size` is called about
  // forty times. Throws Error if even the smallest plan is larger.
  QuantizationPlan of_size(int64_t bytes, const std::function<int64_t(const QuantizationPlan&)>& size) const;
  // The smallest of the plans tried whose `divergence`, in nats per token, is at most `largest`; `divergence`
  // is called about ten times. Throws Error if even the best types exceed it.
  QuantizationPlan of_quality(double largest,
                              const std::function<double(const QuantizationPlan&)>& divergence) const;

 private:
  struct Candidates {
    std::vector<PlannedTensor> types;  // from the smallest to the largest
    double weight = 0;                 // damage: weight * rms^2
  };
  // For every tensor, the type with the least damage + price * bytes.
  QuantizationPlan at_price(double price) const;

  std::vector<Candidates> tensors_;
};

}  // namespace aviary
