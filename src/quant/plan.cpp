// The plan: which tensor is stored as what.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "quant/quantize.h"
#include "tensor/encoding.h"

namespace aviary {
namespace {

constexpr int64_t piece = 1 << 20;  // numbers; whole blocks of every type

double bits_of(Dtype type) {
  const Block block = block_of(type);
  return 8 * static_cast<double>(block.bytes) / static_cast<double>(block.elements);
}

bool is_half(Dtype type) { return type == Dtype::f16 || type == Dtype::bf16; }

// What has to be stored well whatever is wished.
Dtype smallest_type(const TensorEntry& tensor) {
  if (tensor.name == "emb.weight") return Dtype::q8_0;
  if (tensor.name == "head.weight") return Dtype::q6_k;
  return Dtype::q4_0;
}

// The types to try, one after the other: from `first` up, those whose blocks the rows are made of.
std::vector<Dtype> better_types(Dtype first, const TensorEntry& tensor) {
  constexpr Dtype large_blocks[] = {Dtype::q4_k, Dtype::q5_k, Dtype::q6_k};
  constexpr Dtype small_blocks[] = {Dtype::q4_0, Dtype::q4_1, Dtype::q5_0, Dtype::q5_1, Dtype::q8_0};
  std::vector<Dtype> types;
  auto add = [&](Dtype type) {
    if (bits_of(type) >= bits_of(first) && tensor.shape.back() % block_of(type).elements == 0)
      types.push_back(type);
  };
  if (block_of(first).elements == 256) std::for_each(std::begin(large_blocks), std::end(large_blocks), add);
  if (types.empty())
    std::for_each(std::begin(small_blocks), std::end(small_blocks), add);
  else
    add(Dtype::q8_0);
  if (is_half(first)) types.push_back(first);
  if (is_half(tensor.dtype)) {
    types.push_back(tensor.dtype);  // loses nothing
  } else if (first != Dtype::f32) {
    types.push_back(Dtype::f16);
    types.push_back(Dtype::bf16);
  }
  types.push_back(Dtype::f32);
  return types;
}

std::string reason_for(const TensorEntry& tensor, Dtype wished, Dtype first, Dtype chosen, double spoiled) {
  if (chosen == wished) return "";
  if (std::isinf(spoiled)) return fmt::format("{} cannot hold its numbers", name_of(wished));
  if (spoiled > 0) return fmt::format("a smaller type would cost {:.3g}", spoiled);
  if (first != wished) return "a part that needs more bits";
  return fmt::format("rows of {} numbers are not made of whole blocks", tensor.shape.back());
}

PlannedTensor plan_matrix(const TensorEntry& tensor, Dtype wished) {
  const Dtype least = smallest_type(tensor);
  const Dtype first = bits_of(least) > bits_of(wished) ? least : wished;
  PlannedTensor planned;
  double spoiled = 0;  // what the type before cost
  for (Dtype type : better_types(first, tensor)) {
    planned.stored = {tensor, type};
    planned.error = measure_error(planned.stored);
    if (planned.error.rms <= error_limit(wished)) break;
    spoiled = planned.error.rms;
  }
  planned.reason = reason_for(tensor, wished, first, planned.stored.type, spoiled);
  return planned;
}

PlannedTensor plan_other(const TensorEntry& tensor) {
  const StoredTensor stored{tensor, is_half(tensor.dtype) ? tensor.dtype : Dtype::f32};
  return {stored, measure_error(stored), ""};
}

}  // namespace

StorageError measure_error(const StoredTensor& tensor) {
  const TensorEntry& source = tensor.source;
  const int64_t count = count_of(source);
  std::vector<float> original(static_cast<size_t>(std::min(piece, count))), stored(original.size());
  double squares = 0, lost = 0, largest = 0, largest_lost = 0;
  int64_t begin = 0;
  write_stored(tensor, [&](std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const int64_t size = std::min(piece, static_cast<int64_t>(bytes.size()) / block_of(tensor.type).bytes *
                                               block_of(tensor.type).elements);
      const auto n = static_cast<size_t>(size);
      decode(source.dtype, source.data.data() + bytes_of(source.dtype, begin), std::span(original).first(n));
      decode(tensor.type, bytes.data(), std::span(stored).first(n));
      for (size_t i = 0; i < n; ++i) {
        const double w = static_cast<double>(original[i]), d = static_cast<double>(stored[i]) - w;
        squares += w * w;
        lost += d * d;
        largest = std::max(largest, std::abs(w));
        largest_lost = std::max(largest_lost, std::abs(d));
      }
      begin += size;
      bytes = bytes.subspan(static_cast<size_t>(bytes_of(tensor.type, size)));
    }
  });
  if (!std::isfinite(squares) || !std::isfinite(lost))
    return {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  if (squares == 0) return {};
  return {std::sqrt(lost / squares), largest_lost / largest};
}

double error_limit(Dtype type) {
  switch (type) {
    case Dtype::q4_0:
    case Dtype::q4_1:
    case Dtype::q4_k:
      return 0.12;
    case Dtype::q5_0:
    case Dtype::q5_1:
    case Dtype::q5_k:
      return 0.06;
    case Dtype::q6_k:
      return 0.03;
    case Dtype::q8_0:
      return 0.01;
    case Dtype::f16:
    case Dtype::bf16:
      return 0.0025;
    default:
      return 0;
  }
}

std::vector<StoredTensor> QuantizationPlan::stored() const {
  std::vector<StoredTensor> all;
  all.reserve(tensors.size());
  for (const PlannedTensor& tensor : tensors) all.push_back(tensor.stored);
  return all;
}

int64_t QuantizationPlan::bytes() const {
  int64_t sum = 0;
  for (const PlannedTensor& tensor : tensors) sum += tensor.stored.bytes();
  return sum;
}

QuantizationPlan plan_types(const TensorFile& file, Dtype wished,
                            const std::function<bool(int64_t)>& progress) {
  require(wished == Dtype::f32 || is_half(wished) || is_quantized(wished),
          "quantize: a model cannot be stored as {}, expected f32, f16, bf16, q8_0, q5_1, q5_0, q4_1, q4_0, "
          "q4_k, q5_k or q6_k",
          name_of(wished));
  QuantizationPlan plan{wished, {}};
  int64_t done = 0;
  for (const TensorEntry& tensor : file.tensors()) {
    plan.tensors.push_back(is_matrix(tensor) ? plan_matrix(tensor, wished) : plan_other(tensor));
    done += count_of(tensor);
    if (progress && !progress(done)) break;
  }
  return plan;
}

void apply_plan(const QuantizationPlan& plan, Model& model) {
  require(model.dtype() == Dtype::f32, "quantize: the model is {}, expected f32", name_of(model.dtype()));
  for (const PlannedTensor& planned : plan.tensors) {
    const TensorEntry& source = planned.stored.source;
    Parameter* parameter = model.parameters().find(source.name);
    if (!parameter) continue;
    const Tensor& value = parameter->weight.value();
    require(value.count() == count_of(source), "quantize: {} has {} numbers in the model, but {} in the plan",
            source.name, value.count(), count_of(source));
    float* numbers = value.as<float>();
    write_stored(planned.stored, [&](std::span<const std::byte> bytes) {
      const Block block = block_of(planned.stored.type);
      const size_t count =
          bytes.size() / static_cast<size_t>(block.bytes) * static_cast<size_t>(block.elements);
      decode(planned.stored.type, bytes.data(), std::span(numbers, count));
      numbers += count;
    });
  }
  model.parameters().changed();
}

}  // namespace aviary
