// The plan: the type of each tensor.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/threads.h"
#include "numbers/encoding.h"
#include "quant/plan.h"

namespace aviary {
namespace {

constexpr int64_t piece = 1 << 20;  // numbers; whole blocks of every type

double bits_of(Dtype type) {
  const Block block = block_of(type);
  return 8 * static_cast<double>(block.bytes) / static_cast<double>(block.elements);
}

bool is_half(Dtype type) { return type == Dtype::f16 || type == Dtype::bf16; }

// Tensors that need a better type than the requested one. Measured with an RWKV-7 of 6 layers, width 192,
// trained on novels, on 4568 tokens of another novel (KL divergence in nats per token): in q4_0 the embedding
// alone costs 0.0036 and the head 0.0033, each as much as all matrices of the six layers (0.0033). In q8_0
// the embedding costs 0.00001 (only single rows of it are read, so its size costs no time); in q6_k the head
// costs 0.00015.
Dtype smallest_type(const TensorEntry& tensor) {
  if (tensor.name.ends_with("emb.weight")) return Dtype::q8_0;
  if (tensor.name == "head.weight") return Dtype::q6_k;
  return Dtype::q4_0;
}

// The types to try, in order: from `first` upward, those whose blocks divide the rows. Formats with blocks of
// 256 numbers are followed by others with 256, those with 32 by others with 32; rows that are not divisible
// by 256 get formats with 32. A tensor of 16-bit numbers needs no other 16-bit type.
std::vector<Dtype> better_types(Dtype first, const TensorEntry& tensor) {
  constexpr Dtype order[] = {Dtype::q4_0, Dtype::q4_k, Dtype::q4_1, Dtype::q5_0, Dtype::q5_k, Dtype::q5_1,
                             Dtype::q6_k, Dtype::q8_0, Dtype::f16,  Dtype::bf16, Dtype::f32};
  const int64_t row = tensor.shape.back();
  const bool large = block_of(first).elements == 256 && row % 256 == 0;
  std::vector<Dtype> types;
  for (Dtype type : order) {
    const int64_t size = block_of(type).elements;
    if (bits_of(type) < bits_of(first) || row % size != 0) continue;
    if (is_quantized(type) && type != Dtype::q8_0 && (size == 256) != large) continue;
    const bool needless = is_half(tensor.dtype) && type != tensor.dtype;
    if (is_half(type) && type != first && (needless || first == Dtype::bf16)) continue;
    types.push_back(type);
  }
  return types;
}

std::string reason_for(const TensorEntry& tensor, Dtype wished, Dtype first, Dtype chosen, double spoiled) {
  if (chosen == wished) return "";
  if (std::isinf(spoiled)) return fmt::format("{} cannot represent its numbers", name_of(wished));
  if (spoiled > 0) return fmt::format("a smaller type would cost {:.3g}", spoiled);
  if (first != wished) return "a part that needs more bits";
  return fmt::format("rows of {} numbers are not a multiple of the block size", tensor.shape.back());
}

// The first type to try for a matrix.
Dtype first_type(const TensorEntry& tensor, Dtype wished) {
  const Dtype least = smallest_type(tensor);
  const bool more = bits_of(least) > bits_of(wished) && bits_of(tensor.dtype) > bits_of(least);
  return more ? least : wished;  // precision that is already lost needs no storage
}

PlannedTensor plan_matrix(const TensorEntry& tensor, Dtype wished) {
  const Dtype first = first_type(tensor, wished);
  PlannedTensor planned;
  double spoiled = 0;  // the error of the previous type
  for (Dtype type : better_types(first, tensor)) {
    planned.stored = {tensor, type};
    planned.error = measure_error(planned.stored);
    if (planned.error.rms <= error_limit(wished)) break;
    spoiled = planned.error.rms;
  }
  planned.reason = reason_for(tensor, wished, first, planned.stored.type, spoiled);
  return planned;
}

// Sums over the numbers of a tensor.
struct Sums {
  double squares = 0, lost = 0, largest = 0, largest_lost = 0;

  void add(const Sums& other) {
    squares += other.squares;
    lost += other.lost;
    largest = std::max(largest, other.largest);
    largest_lost = std::max(largest_lost, other.largest_lost);
  }
};

// Computed in parts that do not depend on the number of threads.
Sums sums_of(std::span<const float> original, std::span<const float> stored) {
  std::array<Sums, 64> parts;
  const size_t size = original.size() / parts.size() + 1;
  parallel_for(std::ssize(parts), 4, [&](int64_t begin, int64_t end) {
    for (auto part = static_cast<size_t>(begin); part < static_cast<size_t>(end); ++part)
      for (size_t i = part * size; i < std::min((part + 1) * size, original.size()); ++i) {
        const double w = static_cast<double>(original[i]), lost = static_cast<double>(stored[i]) - w;
        parts[part].add({w * w, lost * lost, std::abs(w), std::abs(lost)});
      }
  });
  Sums sums;
  for (const Sums& part : parts) sums.add(part);
  return sums;
}

// The type of a tensor that is not a matrix.
Dtype other_type(const TensorEntry& tensor) { return is_half(tensor.dtype) ? tensor.dtype : Dtype::f32; }

PlannedTensor plan_other(const TensorEntry& tensor) {
  const StoredTensor stored{tensor, other_type(tensor)};
  return {stored, measure_error(stored), ""};
}

}  // namespace

TensorEntry describe(const ParameterSpec& spec) {
  TensorEntry entry{.name = spec.name, .dtype = Dtype::f32, .shape = {}, .data = {}};
  for (int i = 0; i < spec.shape.rank(); ++i) entry.shape.push_back(spec.shape[i]);
  return entry;
}

Dtype planned_type(const TensorEntry& tensor, Dtype wished) {
  return is_matrix(tensor) ? better_types(first_type(tensor, wished), tensor).front() : other_type(tensor);
}

StorageError measure_error(const StoredTensor& tensor) {
  const TensorEntry& source = tensor.source;
  const Block block = block_of(tensor.type);
  const int64_t count = count_of(source);
  std::vector<float> original(static_cast<size_t>(std::min(piece, count))), stored(original.size());
  Sums sums;
  int64_t begin = 0;
  write_stored(tensor, [&](std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const int64_t size = std::min(piece, std::ssize(bytes) / block.bytes * block.elements);
      const auto w = std::span(original).first(static_cast<size_t>(size));
      const auto s = std::span(stored).first(w.size());
      decode(source.dtype, source.data.data() + bytes_of(source.dtype, begin), w);
      decode(tensor.type, bytes.data(), s);
      sums.add(sums_of(w, s));
      begin += size;
      bytes = bytes.subspan(static_cast<size_t>(bytes_of(tensor.type, size)));
    }
  });
  constexpr double infinite = std::numeric_limits<double>::infinity();
  if (!std::isfinite(sums.squares) || !std::isfinite(sums.lost)) return {infinite, infinite};
  if (sums.squares == 0) return {};
  return {std::sqrt(sums.lost / sums.squares), sums.largest_lost / sums.largest};
}

// 1.5 times the error of the type for normally distributed numbers; up to 1.4 times has been observed for
// trained matrices. Both 16-bit types have the limit of bf16.
double error_limit(Dtype type) {
  switch (type) {
    case Dtype::q4_0:
      return 1.5 * 0.081;
    case Dtype::q4_1:
    case Dtype::q4_k:
      return 1.5 * 0.070;
    case Dtype::q5_0:
      return 1.5 * 0.040;
    case Dtype::q5_1:
    case Dtype::q5_k:
      return 1.5 * 0.034;
    case Dtype::q6_k:
      return 1.5 * 0.017;
    case Dtype::q8_0:
      return 1.5 * 0.005;
    case Dtype::f16:
    case Dtype::bf16:
      return 1.5 * 0.0017;
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
