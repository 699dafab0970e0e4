// Which type for which tensor when a size or a quality is asked for instead of a type.
#pragma once

#include <functional>
#include <vector>

#include "quant/plan.h"

namespace aviary {

// Every matrix of a file in every type that it may get, measured once.
class TypeChoice {
 public:
  // `file` outlives it. `progress` as for plan_types().
  explicit TypeChoice(const TensorFile& file, const std::function<bool(int64_t)>& progress = {});

  // A plan of at most so many bytes of tensors, without the names and the tokenizer of a file around them: of
  // those in which no tensor could save bytes at a better price, the one of the least damage. Throws Error
  // when even the smallest is larger.
  QuantizationPlan of_size(int64_t bytes) const;
  // The smallest plan of those tried whose `divergence`, in nats per token, is at most `largest`; it is
  // called about ten times. Throws Error when not even the best types reach it.
  QuantizationPlan of_quality(double largest,
                              const std::function<double(const QuantizationPlan&)>& divergence) const;

 private:
  struct Candidates {
    std::vector<PlannedTensor> types;  // from the smallest to the largest
    double weight = 0;                 // damage: weight * rms^2
  };
  // For every tensor the type with the least damage + price * bytes.
  QuantizationPlan at_price(double price) const;

  std::vector<Candidates> tensors_;
};

}  // namespace aviary
