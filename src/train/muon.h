// Muon: momentum whose matrices are made orthogonal before they move a weight.
#pragma once

#include "kernels/matmul.h"
#include "train/update_rule.h"

namespace aviary {

// Jordan et al. 2024, with the scale of Liu et al. 2025 (arXiv 2502.16982): the numbers of an update have the
// size 0.2 of those of AdamW, so that rates and weight decay carry over. Only for parameters that are
// matrices; what holds several matrices (ParameterSpec::parts, Use::stack) is made orthogonal matrix by
// matrix. Moment momentum.
struct Muon : UpdateRule {
  double momentum;
  int64_t momentum_warmup;  // steps in which the momentum rises from 0.85; 0: none
  bool cautious;
  kernels::Precision precision;  // of products

  Muon(double of, int64_t warmup, bool is_cautious, kernels::Precision of_products)
      : momentum(of), momentum_warmup(warmup), cautious(is_cautious), precision(of_products) {}
  static bool takes(const ParameterSpec& parameter);
  double momentum_at(int64_t step) const;
  std::vector<MomentSpec> moments(const ParameterSpec& parameter) const override;
  void update(const UpdateStep& step, std::span<const UpdatedWeight> weights) const override;
};

}  // namespace aviary
