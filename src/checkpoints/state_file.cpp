#include "checkpoints/state_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "base/error.h"
#include "checkpoints/tuning_info.h"
#include "models/registry.h"

namespace aviary {
namespace {

constexpr std::string_view prefix = "blocks.", suffix = ".att.time_state";

// The layer of "blocks.<i>.att.time_state"; nothing for other names.
std::optional<int64_t> layer_of(std::string_view name) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix) || name.size() <= prefix.size() + suffix.size())
    return {};
  const std::string_view digits = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  int64_t layer = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), layer);
  if (error != std::errc() || end != digits.data() + digits.size() || layer < 0) return {};
  return layer;
}

// The indices of the recurrences with a matrix per head, in the order of layers; empty if the model has none.
std::vector<size_t> matrix_parts(const Model& model) {
  std::vector<size_t> parts;
  for (size_t i = 0; i < model.state_specs().size(); ++i)
    if (const StateSpec& spec = model.state_specs()[i];
        spec.kind == StateKind::recurrence && spec.shape.rank() == 3)
      parts.push_back(i);
  return parts;
}

// [head, value, key] -> [head, key, value]
std::vector<double> heads_transposed(const std::vector<double>& stored, size_t n) {
  std::vector<double> result(stored.size());
  for (size_t head = 0; head < stored.size(); head += n * n)
    for (size_t value = 0; value < n; ++value)
      for (size_t key = 0; key < n; ++key) result[head + key * n + value] = stored[head + value * n + key];
  return result;
}

struct Parts {
  std::vector<const TensorEntry*> matrices;  // time_state
  std::vector<const TensorEntry*> others;    // only in files of Aviary
};
Parts parts_of(const TensorFile& file) {
  Parts parts;
  for (const TensorEntry& tensor : file.tensors())
    (layer_of(tensor.name) ? parts.matrices : parts.others).push_back(&tensor);
  return parts;
}

// The number of layers of which a state of vectors has a part.
int64_t layers_of(std::span<const TensorEntry* const> vectors) {
  std::set<std::string_view> layers;
  for (const TensorEntry* tensor : vectors) {
    const std::string_view name = tensor->name;
    if (name.starts_with(prefix)) layers.insert(name.substr(0, name.find('.', prefix.size())));
  }
  return std::ssize(layers);
}

std::vector<double> finite_numbers(const TensorEntry& tensor, const std::string& where) {
  std::vector<double> numbers = to_doubles(tensor);
  require(std::ranges::all_of(numbers, [](double x) { return std::isfinite(x); }),
          "{}: {} holds NaN or infinity: the state is broken", where, tensor.name);
  return numbers;
}

// Throws Error unless the model has such parts, and recurrences for no others.
void load_vectors(std::span<const TensorEntry* const> tensors, const std::string& where, const Model& model,
                  State& state) {
  const std::string title = model_version(model.config().version).title;
  for (const TensorEntry* tensor : tensors) {
    size_t part = 0;
    while (part < state.size() && model.state_specs()[part].name != tensor->name) ++part;
    require(part < state.size(), "{}: it has {}, which the state of this {} does not have", where,
            in_quotes(tensor->name), title);
    const StateSpec& spec = model.state_specs()[part];
    const bool takes = spec.kind == StateKind::shift ||
                       (spec.kind == StateKind::recurrence && spec.shape.rank() < 3);  // not time_state
    bool same = takes && std::ssize(tensor->shape) == spec.shape.rank();
    for (int axis = 0; same && axis < spec.shape.rank(); ++axis)
      same = tensor->shape[static_cast<size_t>(axis)] == spec.shape[axis];
    require(same,
            "{}: {} has the shape [{}], and this model has no such part of a state; a state serves only the "
            "model "
            "that it was tuned for",
            where, in_quotes(tensor->name), fmt::join(tensor->shape, ", "));
    from_host(finite_numbers(*tensor, where), state[part]);
  }
}

void require_all_vectors(const TensorFile& file, const std::string& where, const Model& model) {
  for (const StateSpec& spec : model.state_specs())
    require(spec.kind != StateKind::recurrence || file.find(spec.name) != nullptr,
            "{}: it is a state without {}, which a state of this {} has", where, spec.name,
            model_version(model.config().version).title);
}

void load_matrices(std::span<const TensorEntry* const> tensors, const StateSizes& sizes,
                   const std::string& where, const Model& model, State& state) {
  const std::vector<size_t> parts = matrix_parts(model);
  require(!parts.empty(), "{}: this is {}, but an {} has no state of that kind", where, describe(sizes),
          model_version(model.config().version).title);
  const Shape& shape = model.state_specs()[parts[0]].shape;
  const StateSizes wanted{.layers = std::ssize(parts), .heads = shape[0], .head_size = shape[1]};
  require(
      sizes.layers == wanted.layers && sizes.heads == wanted.heads && sizes.head_size == wanted.head_size,
      "{}: this is {}, but the model has {} layers of {} heads of {}; a state serves only the model that it "
      "was tuned for",
      where, describe(sizes), wanted.layers, wanted.heads, wanted.head_size);
  for (const TensorEntry* tensor : tensors)
    from_host(heads_transposed(finite_numbers(*tensor, where), static_cast<size_t>(wanted.head_size)),
              state[parts[static_cast<size_t>(*layer_of(tensor->name))]]);
}

}  // namespace

std::optional<StateSizes> recognize_state(const TensorFile& file) {
  const Parts parts = parts_of(file);
  if (!parts.others.empty() && !file.metadata().contains(state_info_key)) return {};
  if (parts.matrices.empty() && parts.others.empty()) return {};
  if (parts.matrices.empty()) {
    const std::vector<int64_t>& shape = parts.others[0]->shape;
    return StateSizes{.layers = layers_of(parts.others), .width = shape.empty() ? 1 : shape.back()};
  }
  const std::vector<int64_t>& shape = parts.matrices[0]->shape;
  std::set<int64_t> layers;
  for (const TensorEntry* tensor : parts.matrices) {
    const int64_t layer = *layer_of(tensor->name);
    if (layer >= std::ssize(parts.matrices) || tensor->shape != shape || !layers.insert(layer).second)
      return {};
  }
  if (shape.size() != 3 || shape[1] != shape[2]) return {};
  return StateSizes{.layers = std::ssize(parts.matrices), .heads = shape[0], .head_size = shape[1]};
}

std::string describe(const StateSizes& sizes) {
  if (sizes.width > 0)
    return fmt::format("a tuned state for {} layers of width {}", sizes.layers, sizes.width);
  return fmt::format("a tuned state for {} layers of {} heads of {}", sizes.layers, sizes.heads,
                     sizes.head_size);
}

State load_state(const std::filesystem::path& path, const Model& model) {
  return load_state(read_tensor_file(path), path.string(), model);
}

State load_state(const std::filesystem::path& path, const Model& model, const std::filesystem::path& base,
                 bool any_base) {
  const TensorFile file = read_tensor_file(path);
  const std::optional<StateInfo> info = state_info_in(file.metadata(), path.string());
  if (info && !info->base.hash.empty() && !any_base)
    require_base(info->base, path.string(), read_tensor_file(base, Transposed::in_place), base, false);
  return load_state(file, path.string(), model);
}

State load_state(const TensorFile& file, const std::string& where, const Model& model) {
  const std::optional<StateSizes> sizes = recognize_state(file);
  require(sizes.has_value(),
          "{}: not a state file, which has one blocks.<i>.att.time_state for each layer and nothing else",
          where);
  const Parts tensors = parts_of(file);
  State state(model.state_specs(), model.dtype());
  if (tensors.matrices.empty())
    require_all_vectors(file, where, model);
  else
    load_matrices(tensors.matrices, *sizes, where, model, state);
  load_vectors(tensors.others, where, model, state);
  // An initial state learned by the model applies only at position 0; position 1 keeps this state.
  if (model.learns_first_state()) state.set_position(1);
  return state;
}

}  // namespace aviary
