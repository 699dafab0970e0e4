#include "checkpoints/state_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "formats/bytes.h"
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

}  // namespace

std::optional<StateSizes> recognize_state(const TensorFile& file) {
  const auto& tensors = file.tensors();
  std::set<int64_t> layers;
  for (const TensorEntry& tensor : tensors) {
    const std::optional<int64_t> layer = layer_of(tensor.name);
    if (!layer || *layer >= std::ssize(tensors) || tensor.shape != tensors[0].shape) return {};
    if (!layers.insert(*layer).second) return {};
  }
  if (tensors.empty() || tensors[0].shape.size() != 3 || tensors[0].shape[1] != tensors[0].shape[2])
    return {};
  return StateSizes{
      .layers = std::ssize(tensors), .heads = tensors[0].shape[0], .head_size = tensors[0].shape[1]};
}

std::string describe(const StateSizes& sizes) {
  return fmt::format("a tuned state for {} layers of {} heads of {}", sizes.layers, sizes.heads,
                     sizes.head_size);
}

State load_state(const std::filesystem::path& path, const Model& model) {
  return load_state(read_tensor_file(path), path.string(), model);
}

State load_state(const TensorFile& file, const std::string& where, const Model& model) {
  const std::optional<StateSizes> sizes = recognize_state(file);
  require(sizes.has_value(),
          "{}: not a state file, which has one blocks.<i>.att.time_state for each layer and nothing else",
          where);
  const std::vector<size_t> parts = matrix_parts(model);
  const std::string title = model_version(model.config().version).title;
  require(!parts.empty(), "{}: this is {}, but an {} has no state of that kind", where, describe(*sizes),
          title);
  const Shape& shape = model.state_specs()[parts[0]].shape;
  const StateSizes wanted{.layers = std::ssize(parts), .heads = shape[0], .head_size = shape[1]};
  require(
      sizes->layers == wanted.layers && sizes->heads == wanted.heads && sizes->head_size == wanted.head_size,
      "{}: this is {}, but the model has {} layers of {} heads of {}; a state serves only the model that it "
      "was tuned for",
      where, describe(*sizes), wanted.layers, wanted.heads, wanted.head_size);
  State state(model.state_specs(), model.dtype());
  for (const TensorEntry& tensor : file.tensors()) {
    const std::vector<double> stored = to_doubles(tensor);
    require(std::all_of(stored.begin(), stored.end(), [](double x) { return std::isfinite(x); }),
            "{}: {} holds NaN or infinity: the state is broken", where, tensor.name);
    const size_t layer = static_cast<size_t>(*layer_of(tensor.name));
    from_host(heads_transposed(stored, static_cast<size_t>(wanted.head_size)), state[parts[layer]]);
  }
  // An initial state learned by the model applies only at position 0; position 1 keeps this state.
  if (model.learns_first_state()) state.set_position(1);
  return state;
}

}  // namespace aviary
