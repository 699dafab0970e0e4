// Chooses the type of each tensor: the error of every tensor is measured, and tensors that a small type would
// damage get a better one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/tensor_file.h"
#include "models/model.h"

namespace aviary {

// The error of storing a tensor; infinite if a stored number is not finite.
struct StorageError {
  double rms = 0;      // ||stored - w|| / ||w||
  double largest = 0;  // largest |stored - w| / largest |w|
};
// Reads the tensor piece by piece, in bounded memory.
StorageError measure_error(const StoredTensor& tensor);

// The largest rms allowed if `type` is requested; tensors above it get the next better types until the rms is
// smaller.
double error_limit(Dtype type);

struct PlannedTensor {
  StoredTensor stored;
  StorageError error;
  std::string reason;  // why a matrix does not have the requested type; otherwise empty
};

struct QuantizationPlan {
  std::optional<Dtype> wished{};       // none if types were chosen individually
  std::vector<PlannedTensor> tensors;  // in the order of the file

  std::vector<StoredTensor> stored() const;  // for the writers of formats/
  int64_t bytes() const;
};

// The type of each tensor of `file` if `wished` (f32, f16, bf16 or a block format) is requested. The data of
// `file` must outlive the plan.
// - Matrices (two axes of more than one number, a name that ends in ".weight") get `wished`, but emb.weight
//   at least q8_0 and head.weight at least q6_k, or the next better type that their rows are whole blocks of
//   and that costs no more than error_limit(wished).
// - Everything else (vectors, low-rank factors) is small and sensitive: f32, or the 16-bit type that it has.
// `progress` is called with the number of elements done; if it returns false, planning stops.
QuantizationPlan plan_types(const TensorFile& file, Dtype wished,
                            const std::function<bool(int64_t)>& progress = {});

// The name and shape of a parameter as an f32 tensor without data.
TensorEntry describe(const ParameterSpec& spec);
// The type that a tensor gets if no type exceeds its error limit.
Dtype planned_type(const TensorEntry& tensor, Dtype wished);

// Sets the parameters of `model`, which are f32, to the values that the planned file will have.
void apply_plan(const QuantizationPlan& plan, Model& model);

}  // namespace aviary
