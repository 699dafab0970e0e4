#include "cli/snapshots.h"

#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "chat/chat_template.h"
#include "checkpoints/adapter_file.h"
#include "checkpoints/tuning_info.h"
#include "formats/safetensors.h"

namespace aviary::cli {

namespace fs = std::filesystem;

namespace {

constexpr int64_t most_settings = 1 << 20;  // bytes

// The settings beside the tensors of an adapter of Hugging Face.
bool is_json(const fs::path& file) { return file.extension() == ".json"; }

}  // namespace

std::string identity_of_tuning(const std::vector<std::string>& adapters, const std::string& state) {
  std::string identity;
  for (const std::string& adapter : adapters) {
    identity += adapter + ' ';
    for (const fs::path& file : present_files_of_adapter(adapter_request(adapter)))
      identity +=
          (is_json(file) ? hash_of(read_file(file, most_settings)) : base_hash_of(read_tensor_file(file))) +
          ' ';
  }
  if (!state.empty()) identity += "state " + base_hash_of(read_tensor_file(state));
  return identity.empty() ? "" : hash_of(identity);
}

std::string chat_template_of_tuning(const std::vector<std::string>& adapters, const std::string& state) {
  auto known = [](const std::string& name) { return find_chat_template(name) != nullptr ? name : ""; };
  for (const std::string& adapter : adapters)
    for (const fs::path& file : present_files_of_adapter(adapter_request(adapter))) {
      if (is_json(file)) continue;
      const auto stored = adapter_info_in(read_tensor_file(file).metadata(), file.string());
      if (stored && !stored->info.chat_template.empty()) return known(stored->info.chat_template);
    }
  if (state.empty()) return {};
  const auto info = state_info_in(read_tensor_file(state).metadata(), state);
  return info ? known(info->chat_template) : "";
}

SnapshotMaker maker_of(const LoadedModel& loaded) {
  const kernels::Precision precision =
      loaded.model->parameters().packed_for().value_or(kernels::Precision::f32);
  return {.base = base_info_of(read_tensor_file(loaded.path), loaded.path),
          .adapters = identity_of_tuning(loaded.adapters, {}),
          .precision = precision == kernels::Precision::bf16 ? "bf16" : "f32"};
}

std::optional<TensorFile> find_snapshot(const std::string& path) {
  if (path.empty() || !fs::is_regular_file(path)) return {};
  if (!looks_like_safetensors(MappedFile(path).bytes())) return {};
  TensorFile file = open_snapshot(path);
  if (!is_snapshot(file)) return {};
  return file;
}

StoredSnapshot load_snapshot(const TensorFile& file, const std::string& path, const LoadedModel& loaded,
                             bool any_model) {
  const auto layout = std::make_shared<const StateLayout>(Runner(*loaded.model).new_state().layout());
  const SnapshotMaker maker = any_model ? read_snapshot_info(file, path).maker : maker_of(loaded);
  StoredSnapshot stored = read_snapshot(file, path, layout, maker);
  const int64_t vocabulary = loaded.model->config().vocab_size;
  const auto& logits = stored.snapshot.logits;
  require(logits.empty() || std::ssize(logits) == vocabulary,
          "{}: has {} logits, but the model has {} tokens", path, logits.size(), vocabulary);
  return stored;
}

std::vector<int32_t> tokens_before(const std::string& state) {
  if (state.empty()) return {};
  const std::optional<TensorFile> kept = find_snapshot(state);
  require(kept.has_value(),
          "--state {}: is a tuned state; expected one that was kept after a text (aviary state make)", state);
  return read_snapshot_info(*kept, state).tokens;
}

}  // namespace aviary::cli
