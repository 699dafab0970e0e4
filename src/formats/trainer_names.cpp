#include "formats/trainer_names.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>

#include "formats/bytes.h"

namespace aviary {
namespace {

// Parts of a name, with the dot after them.
constexpr std::string_view wrappers[] = {"_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.",
                                         "_checkpoint_wrapped_module."};
constexpr std::string_view prefixes[] = {"module.", "model."};
constexpr std::string_view measures[] = {"epoch",      "step", "global_step",  "iteration",     "iter_num",
                                         "iter",       "loss", "best_loss",    "best_val_loss", "val_loss",
                                         "n_averaged", "lr",   "learning_rate"};

std::string unwrapped(std::string name) {
  for (const std::string_view wrapper : wrappers)
    for (size_t at = name.find(wrapper); at != name.npos; at = name.find(wrapper, at)) {
      if (at == 0 || name[at - 1] == '.')
        name.erase(at, wrapper.size());
      else
        at += wrapper.size();
    }
  return name;
}

bool all_begin_with(const TensorTable& table, std::string_view prefix) {
  return !table.tensors.empty() &&
         std::all_of(table.tensors.begin(), table.tensors.end(),
                     [&](const TensorEntry& t) { return t.name.starts_with(prefix); });
}

// In flash-linear-attention "model." belongs to the names.
bool belongs_to_names(const TensorTable& table, std::string_view prefix) {
  return std::any_of(table.tensors.begin(), table.tensors.end(), [&](const TensorEntry& tensor) {
    return tensor.name.starts_with(std::string(prefix) + "layers.");
  });
}

// A number that counts or measures the training.
bool is_of_training(const TensorEntry& tensor) {
  if (tensor.shape.size() > 1 || count_of(tensor) != 1 || tensor.name.find("blocks.") != std::string::npos)
    return false;
  const bool whole = tensor.dtype == Dtype::i64 || tensor.dtype == Dtype::i32 || tensor.dtype == Dtype::i16 ||
                     tensor.dtype == Dtype::boolean;
  const std::string_view name = std::string_view(tensor.name).substr(tensor.name.rfind('.') + 1);
  return whole || std::find(std::begin(measures), std::end(measures), name) != std::end(measures);
}

bool is_of_model(const TensorEntry& tensor) {
  return tensor.name.find("blocks.") != std::string::npos || tensor.name.find("layers.") != std::string::npos;
}

void leave_out_measures(TensorTable& table) {
  if (std::none_of(table.tensors.begin(), table.tensors.end(), is_of_model)) return;
  std::vector<std::string> names;
  for (const TensorEntry& tensor : table.tensors)
    if (is_of_training(tensor)) names.push_back(in_quotes(tensor.name));
  if (names.empty()) return;
  std::erase_if(table.tensors, is_of_training);
  table.notes.push_back(
      fmt::format("left out, since it is of the training and not of the model: {}", fmt::join(names, ", ")));
}

}  // namespace

TensorTable without_wrappers(TensorTable table, const std::string& where) {
  bool changed = false;
  leave_out_measures(table);
  for (TensorEntry& tensor : table.tensors) {
    std::string name = unwrapped(tensor.name);
    changed = changed || name != tensor.name;
    tensor.name = std::move(name);
  }
  for (bool more = true; more;) {
    more = false;
    for (const std::string_view prefix : prefixes) {
      if (!all_begin_with(table, prefix) || belongs_to_names(table, prefix)) continue;
      for (TensorEntry& tensor : table.tensors) tensor.name.erase(0, prefix.size());
      changed = more = true;
    }
  }
  if (!changed) return table;
  std::unordered_set<std::string_view> names;
  for (const TensorEntry& tensor : table.tensors)
    require(names.insert(tensor.name).second,
            "{}: two tensors are named {} without the prefixes of the trainer; save one of the models alone",
            where, in_quotes(tensor.name));
  return table;
}

}  // namespace aviary
