#include "checkpoints/state_writer.h"

#include <algorithm>
#include <cctype>
#include <deque>

#include "base/error.h"
#include "checkpoints/state_file.h"
#include "formats/dialects.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "models/registry.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

enum class Form : uint8_t { aviary, pth, web_rwkv };

Form form_of(const fs::path& path) {
  std::string ending = path.extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return std::tolower(c); });
  if (ending == ".safetensors" || ending == ".st") return Form::aviary;
  if (ending == ".pth" || ending == ".pt") return Form::pth;
  require(ending == ".state",
          "{}: a tuned state is written to a file that ends in .safetensors, .pth or .state", path.string());
  return Form::web_rwkv;
}

bool is_matrices(const TensorEntry& tensor) { return tensor.name.ends_with(".att.time_state"); }

// The tensors are in the orientation and with the names of the original trainers.
void write(const fs::path& path, std::span<const TensorEntry> tensors, std::optional<Dtype> type,
           const StateInfo& info) {
  const Form form = form_of(path);
  if (form == Form::web_rwkv) {
    require(!type || type == Dtype::f16, "{}: .state files of web-rwkv hold f16 numbers, not {}",
            path.string(), name_of(type.value_or(Dtype::f16)));
    type = Dtype::f16;
  }
  TensorTable scratch;
  std::vector<StoredTensor> stored;
  for (const TensorEntry& tensor : tensors) {
    require(
        form == Form::aviary || is_matrices(tensor),
        "{}: such a file holds blocks.<i>.att.time_state and nothing else, but this state has {}; write a "
        ".safetensors file",
        path.string(), in_quotes(tensor.name));
    require_storable(tensor, type.value_or(tensor.dtype), path.string());
    stored.push_back({tensor, type.value_or(tensor.dtype)});
    if (form == Form::web_rwkv)
      stored.back().source = transposed(scratch, tensor, tensor.name, path.string());
  }
  if (form == Form::pth) return write_pth(path, stored);
  const std::map<std::string, std::string> converted{{"format", "pt"}}, own{{state_info_key, to_json(info)}};
  write_safetensors(path, stored, form == Form::web_rwkv ? converted : own);
}

// [heads, key, value] -> [heads, value, key]
std::vector<float> heads_written_transposed(const std::vector<double>& from, size_t n) {
  std::vector<float> to(from.size());
  for (size_t head = 0; head < from.size(); head += n * n)
    for (size_t key = 0; key < n; ++key)
      for (size_t value = 0; value < n; ++value)
        to[head + value * n + key] = static_cast<float>(from[head + key * n + value]);
  return to;
}

}  // namespace

void save_state(const fs::path& path, const State& state, const Model& model, const StateInfo& info) {
  const std::vector<StateSpec>& specs = model.state_specs();
  require(!state.empty() && state.layout().matches(StateLayout(specs, model.dtype())),
          "{}: the state is of another model", path.string());
  require(
      std::ranges::any_of(specs, [](const StateSpec& spec) { return spec.kind == StateKind::recurrence; }) &&
          std::ranges::none_of(specs,
                               [](const StateSpec& spec) {
                                 return spec.kind == StateKind::history || spec.kind == StateKind::window;
                               }),
      "{}: an {} has no state of constant size that could be saved", path.string(),
      model_version(model.config().version).title);
  std::deque<std::vector<float>> numbers;
  std::vector<TensorEntry> tensors;
  int64_t layer = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    const std::vector<double> values = to_host(state[i]);
    const bool matrices = specs[i].kind == StateKind::recurrence && specs[i].shape.rank() == 3;
    if (specs[i].kind == StateKind::shift && std::ranges::all_of(values, [](double x) { return x == 0; }))
      continue;
    numbers.push_back(matrices ? heads_written_transposed(values, static_cast<size_t>(specs[i].shape[2]))
                               : std::vector<float>(values.begin(), values.end()));
    TensorEntry& tensor = tensors.emplace_back();
    tensor.name = matrices ? fmt::format("blocks.{}.att.time_state", layer++) : specs[i].name;
    for (int axis = 0; axis < specs[i].shape.rank(); ++axis) tensor.shape.push_back(specs[i].shape[axis]);
    tensor.data = std::as_bytes(std::span(numbers.back()));
  }
  write(path, tensors, {}, info);
}

void convert_state(const TensorFile& from, const std::string& where, const fs::path& path,
                   std::optional<Dtype> type) {
  write(path, from.tensors(), type, state_info_in(from.metadata(), where).value_or(StateInfo{}));
}

}  // namespace aviary
