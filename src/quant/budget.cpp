#include "quant/budget.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/human.h"

namespace aviary {
namespace {

constexpr Dtype candidates[] = {Dtype::q4_0, Dtype::q4_k, Dtype::q5_0, Dtype::q5_k, Dtype::q5_1,
                                Dtype::q6_k, Dtype::q8_0, Dtype::bf16, Dtype::f16,  Dtype::f32};

// Damage is a divergence of predictions: for an RWKV-7 (6 layers, width 192, trained on novels) in q4_0,
// whose rms is 0.081, the embedding alone cost 0.0036 nats per token, the head 0.0033, and the matrices of
// all layers together 0.0033.
constexpr double of_embedding = 0.55, of_head = 0.50, of_layers = 0.50;

// From the best quality to the smallest file.
constexpr double lowest_price = 1e-16, highest_price = 1e-3;
constexpr int search_steps = 40, quality_steps = 10;

}  // namespace

TypeChoice::TypeChoice(const TensorFile& file, const std::function<bool(int64_t)>& progress) {
  const auto matrices =
      std::count_if(file.tensors().begin(), file.tensors().end(), [](const auto& t) { return is_matrix(t); });
  int64_t done = 0;
  for (const TensorEntry& tensor : file.tensors()) {
    Candidates& now = tensors_.emplace_back();
    if (!is_matrix(tensor)) {
      const StoredTensor stored{tensor, planned_type(tensor, Dtype::f32)};
      now.types.push_back({stored, measure_error(stored), ""});
    } else {
      now.weight = tensor.name.ends_with("emb.weight") ? of_embedding
                   : tensor.name == "head.weight"      ? of_head
                                                       : of_layers / static_cast<double>(matrices);
      for (Dtype type : candidates) {
        if (tensor.shape.back() % block_of(type).elements != 0) continue;
        const StoredTensor stored{tensor, type};
        const StorageError error = measure_error(stored);
        if (std::isfinite(error.rms)) now.types.push_back({stored, error, ""});
      }
      if (now.types.empty()) {  // its numbers are not finite; why_broken() reports that
        const StoredTensor stored{tensor, Dtype::f32};
        now.types.push_back({stored, measure_error(stored), ""});
      }
    }
    done += count_of(tensor);
    if (progress && !progress(done)) break;
  }
}

QuantizationPlan TypeChoice::at_price(double price) const {
  QuantizationPlan plan;
  for (const Candidates& tensor : tensors_) {
    auto cost = [&](const PlannedTensor& type) {
      return tensor.weight * type.error.rms * type.error.rms +
             price * static_cast<double>(type.stored.bytes());
    };
    plan.tensors.push_back(
        *std::min_element(tensor.types.begin(), tensor.types.end(),
                          [&](const auto& a, const auto& b) { return cost(a) < cost(b); }));
  }
  return plan;
}

QuantizationPlan TypeChoice::of_size(int64_t bytes,
                                     const std::function<int64_t(const QuantizationPlan&)>& size) const {
  double low = lowest_price, high = highest_price;
  QuantizationPlan best = at_price(high);
  const int64_t smallest = size(best);
  require(smallest <= bytes, "--fit: the smallest file, {} bytes, is larger than {} bytes",
          with_commas(smallest), with_commas(bytes));
  for (int step = 0; step < search_steps; ++step) {
    const double middle = std::sqrt(low * high);
    QuantizationPlan plan = at_price(middle);
    if (size(plan) <= bytes)
      high = middle, best = std::move(plan);
    else
      low = middle;
  }
  return best;
}

QuantizationPlan TypeChoice::of_quality(
    double largest, const std::function<double(const QuantizationPlan&)>& divergence) const {
  double low = lowest_price, high = highest_price;
  QuantizationPlan best = at_price(low);
  const double reached = divergence(best);
  require(reached <= largest,
          "--max-kl: the best types differ by {:.3g} nats per token, which is more than {:.3g}", reached,
          largest);
  for (int step = 0; step < quality_steps; ++step) {
    const double middle = std::sqrt(low * high);
    QuantizationPlan plan = at_price(middle);
    if (plan.bytes() >= best.bytes())
      low = middle;  // the same plan
    else if (divergence(plan) <= largest)
      low = middle, best = std::move(plan);
    else
      high = middle;
  }
  return best;
}

}  // namespace aviary
