// Which type for which tensor: every tensor is tried and measured, and what a small type would spoil goes up
// to a better one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/tensor_file.h"
#include "models/model.h"

namespace aviary {

// What storing a tensor costs; infinite when a stored number is not finite.
struct StorageError {
  double rms = 0;      // ||stored - w|| / ||w||
  double largest = 0;  // largest |stored - w| / largest |w|
};
// Reads the tensor piece by piece: memory stays bounded whatever its size.
StorageError measure_error(const StoredTensor& tensor);

// The largest rms that a tensor may cost when `type` is wished; it goes up to better types until it costs
// less.
double error_limit(Dtype type);

struct PlannedTensor {
  StoredTensor stored;
  StorageError error;
  std::string reason;  // why a matrix has another type than the wished one; else empty
};

struct QuantizationPlan {
  std::optional<Dtype> wished{};       // none when the types were chosen one by one
  std::vector<PlannedTensor> tensors;  // in the order of the file

  std::vector<StoredTensor> stored() const;  // for the writers of formats/
  int64_t bytes() const;
};

// The type of each tensor of `file`, whose data must outlive the plan, when `wished` (f32, f16, bf16 or a
// block format) is asked for:
// - Matrices (two axes of more than one number, a name that ends in ".weight") get `wished`, but emb.weight
//   at least q8_0 and head.weight at least q6_k, or the next better type that their rows are whole blocks of
//   and that costs no more than error_limit(wished).
// - Everything else (vectors, low-rank factors) is small and sensitive: f32, or the 16-bit type that it has.
// `progress` is called with the count of numbers done; when it returns false, the plan ends there.
QuantizationPlan plan_types(const TensorFile& file, Dtype wished,
                            const std::function<bool(int64_t)>& progress = {});

// A parameter as a tensor of f32 without data.
TensorEntry describe(const ParameterSpec& spec);
// The type that a tensor gets when none of the types is found to spoil it.
Dtype planned_type(const TensorEntry& tensor, Dtype wished);

// Gives the parameters of `model`, which are f32, the values that the planned file will hold.
void apply_plan(const QuantizationPlan& plan, Model& model);

}  // namespace aviary
