// aviary merge: adds adapters to a model and writes the result as a model of its own.
#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "formats/safetensors.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string model, out;
  std::vector<std::string> adapters;
};

// The type in which a tensor is written: that of the model; numbers in blocks cannot take small changes, so
// f16.
Dtype written_type(const TensorFile& file, const Parameter& parameter) {
  const TensorEntry* entry = file.find(parameter.spec.name);
  if (!entry) return Dtype::f32;
  return is_quantized(entry->dtype) ? Dtype::f16 : entry->dtype;
}

int merge(const Flags& flags) {
  const fs::path path = find_model(flags.model);
  require(
      fs::path(flags.out).extension() == ".safetensors",
      "--out {}: expected a name that ends in .safetensors; `aviary convert` writes other formats from it",
      flags.out);
  std::vector<AdapterRequest> requests;
  std::vector<fs::path> inputs{path};
  for (const std::string& text : flags.adapters) {
    requests.push_back(adapter_request(text));
    inputs.insert(inputs.end(), {requests.back().path, requests.back().init});
  }
  require_apart(flags.out, inputs);
  Checkpoint checkpoint = load_checkpoint(path);
  for (const AdapterRequest& request : requests) {
    const AdapterFile adapter = read_adapter(request.path);
    replace_parameters(adapter, *checkpoint.model);
    add_adapter(adapter, request, *checkpoint.model);
    fmt::print("{}: {}, {} matrices of rank {}, {} whole tensors\n", adapter.where, adapter.kind,
               adapter.matrices.size(), adapter.matrices[0].rank, adapter.whole.size());
  }
  const TensorFile file = read_tensor_file(path);
  std::vector<StoredTensor> tensors;
  for (Parameter& parameter : checkpoint.model->parameters()) {
    parameter.weight.merge_adapters();
    const Tensor& value = parameter.weight.value();
    StoredTensor tensor{{parameter.spec.name, Dtype::f32, {}, {}}, written_type(file, parameter)};
    for (int i = 0; i < value.shape().rank(); ++i) tensor.source.shape.push_back(value.shape()[i]);
    tensor.source.data = {static_cast<const std::byte*>(value.data()), static_cast<size_t>(value.bytes())};
    tensors.push_back(std::move(tensor));
  }
  auto metadata = metadata_of(checkpoint.model->config(), checkpoint.tokenizer.get());
  keep_metadata(checkpoint.metadata, metadata);
  write_safetensors(flags.out, tensors, metadata);
  fmt::print("{}: {}\n", flags.out, human_bytes(static_cast<int64_t>(fs::file_size(flags.out))));
  return 0;
}

Action add_merge(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command
      .add_option("model", flags->model,
                  "The model: a file, a folder of Hugging Face, or the folder of a run")
      ->required();
  command
      .add_option("adapters", flags->adapters,
                  "Adapters, added in this order: FILE or FILE,weight=W,alpha=A,init=FILE2 (docs/formats.md)")
      ->required();
  command.add_option("--out", flags->out, "The file to write, .safetensors, in the types of the model")
      ->required();
  return [flags] { return merge(*flags); };
}

const Registration registration({"merge", CommandGroup::files, 3, "Add adapters to a model and write it",
                                 add_merge});

}  // namespace
}  // namespace aviary::cli
