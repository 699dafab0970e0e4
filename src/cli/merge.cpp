// aviary merge: adds adapters to a model and writes the result as a model of its own.
#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "checkpoints/targets.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "formats/safetensors.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct MergeFlags {
  std::string model, out;
  std::vector<std::string> adapters;
  bool force = false;
};

// The tensors of the merged model, in the types of its file. Blocks cannot take small changes, so f16
// instead.
std::vector<StoredTensor> tensors_of(Model& model, const TensorFile& file) {
  std::vector<StoredTensor> tensors;
  for (Parameter& parameter : model.parameters()) {
    parameter.weight.merge_adapters();
    const Tensor& value = parameter.weight.value();
    const TensorEntry* entry = file.find(parameter.spec.name);
    const Dtype type = !entry ? Dtype::f32 : is_quantized(entry->dtype) ? Dtype::f16 : entry->dtype;
    StoredTensor& tensor =
        tensors.emplace_back(StoredTensor{{.name = parameter.spec.name, .shape = {}, .data = {}}, type});
    for (int i = 0; i < value.shape().rank(); ++i) tensor.source.shape.push_back(value.shape()[i]);
    tensor.source.data = {static_cast<const std::byte*>(value.data()), static_cast<size_t>(value.bytes())};
  }
  return tensors;
}

int merge(const MergeFlags& flags) {
  require(
      target_of(flags.out) == Target::safetensors,
      "--out {}: expected a name that ends in .safetensors; `aviary convert` writes other formats from it",
      flags.out);
  const fs::path path = find_model(flags.model);
  std::vector<AdapterRequest> requests;
  std::vector<fs::path> inputs{path};
  for (const std::string& text : flags.adapters) {
    requests.push_back(adapter_request(text));
    requests.back().any_base = flags.force;
    for (const fs::path& file : files_of_adapter(requests.back())) inputs.push_back(file);
  }
  require_distinct(requests);
  require_apart(flags.out, inputs);
  AtomicFile{flags.out};  // checks that it can be written before the work starts
  InterruptGuard guard;
  Checkpoint checkpoint = load_checkpoint(path);
  print_notes(checkpoint.notes);
  const TensorFile file = read_tensor_file(path);
  std::string chat_template;  // of the first adapter that was trained on conversations
  for (const AdapterRequest& request : requests) {
    const AdapterFile adapter = apply_adapter(request, file, path, *checkpoint.model);
    print_notes(adapter.table.notes);
    if (adapter.info && chat_template.empty()) chat_template = adapter.info->chat_template;
    fmt::print("{}: {}\n", printable(adapter.where), describe(adapter));
  }
  const std::vector<StoredTensor> tensors = tensors_of(*checkpoint.model, file);
  auto metadata = metadata_of(checkpoint.model->config(), checkpoint.tokenizer.get());
  keep_metadata(checkpoint.metadata, metadata);
  if (!chat_template.empty()) metadata["tokenizer.chat_template"] = chat_template;
  std::optional<Progress> line;
  write_safetensors(flags.out, tensors, metadata, write_progress(line, guard));
  line.reset();
  fmt::print("{}: {}\n", flags.out, human_bytes(static_cast<int64_t>(fs::file_size(flags.out))));
  if (std::ranges::any_of(file.tensors(),
                          [](const TensorEntry& tensor) { return is_quantized(tensor.dtype); }))
    fmt::print("What the model stores in blocks is f16 here; `aviary convert` makes blocks of it again\n");
  return 0;
}

Action add_merge(CLI::App& command) {
  auto flags = std::make_shared<MergeFlags>();
  command
      .add_option("model", flags->model,
                  "The model: a file, a folder of Hugging Face, or the folder of a run")
      ->required();
  command
      .add_option("adapters", flags->adapters,
                  "Adapters, added in this order: FILE or FILE,weight=W,alpha=A,init=FILE2 (docs/formats.md)")
      ->required();
  command
      .add_option("--out", flags->out,
                  "The file to write, .safetensors, in the types of the model; f16 for those in blocks")
      ->required();
  command.add_flag("--force", flags->force,
                   "Add also adapters that say that they were trained on another model");
  return [flags] {
    try {
      return merge(*flags);
    } catch (const Interrupted&) {
      fmt::print(stderr, "stopped; nothing was written\n");
      return interrupt_exit_code();
    }
  };
}

const Registration merge_command({"merge", CommandGroup::files, 3, "Add adapters to a model and write it",
                                  add_merge});

}  // namespace
}  // namespace aviary::cli
