// Models in files: our own checkpoints (safetensors with the original names, the config and the tokenizer in
// the metadata), and checkpoints of the original trainers (.pth, .safetensors), whose version is recognized
// by content.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "formats/tensor_file.h"
#include "models/registry.h"
#include "text/tokenizer.h"

namespace aviary {

struct Checkpoint {
  std::unique_ptr<Model> model;
  TokenizerPtr tokenizer;  // null when the file carries none
  std::map<std::string, std::string> metadata;
};

// Names and shapes of the tensors, without those of more axes than a model's have.
ShapeMap shapes_of(const TensorFile& file);

// The config that the metadata or, without it, names and shapes of the tensors tell. Throws Error when the
// version is not recognized, with the names that were seen.
ModelConfig config_of(const TensorFile& file, const std::string& where);
// As the metadata entry aviary.config holds it.
std::string to_json(const ModelConfig& config);
// Throws Error, beginning with `where`.
ModelConfig model_config_from_json(const std::string& text, const std::string& where);

// The model of the file, its parameters still without numbers: its config is possible, every parameter is
// there with its shape and nothing else is. Takes no memory that the file does not warrant. Throws Error
// otherwise.
std::unique_ptr<Model> prepare_model(const TensorFile& file, const std::string& where,
                                     Dtype dtype = Dtype::f32);

// Loads the values of every parameter. Throws Error when one is missing, has another shape, or holds NaN or
// infinity (unless `allow_broken`), or when the file holds tensors that the version does not know.
Checkpoint load_checkpoint(const std::filesystem::path& path, Dtype dtype = Dtype::f32,
                           bool allow_broken = false);

// Packed weights in the file beside the model's (checkpoints/packed_file.h): taken from there, or, when there
// is none for this model, CPU and precision, packed and written.
struct PackedCache {
  WriteProgress progress = {};
  std::function<void(const std::string& reason)> not_written = {};  // the folder is read-only, the disk full
};
// A model that is only run. It stays on its file: tables are looked up there, in the file's types, and
// matrices are packed from there (ops/weight.h), after which its numbers change no more and threads may share
// it (models/run.h). precision: of products with float32 numbers; none: usual_precision (models/run.h).
// Throws Error as load_checkpoint() does.
Checkpoint open_checkpoint(const std::filesystem::path& path,
                           std::optional<kernels::Precision> precision = {},
                           const std::optional<PackedCache>& cache = {});

// The tokenizer that the metadata carries; null when it carries none. Throws Error when it is damaged or has
// more tokens than the model.
TokenizerPtr tokenizer_of(const TensorFile& file, const std::string& where, const ModelConfig& config);

// What our files say of themselves, in their metadata: the config and, when there is one, the whole
// tokenizer.
std::map<std::string, std::string> metadata_of(const ModelConfig& config, const Tokenizer* tokenizer);

// Writes atomically. Extra metadata entries are kept as they are.
void save_checkpoint(const std::filesystem::path& path, const Model& model, const Tokenizer* tokenizer,
                     const std::map<std::string, std::string>& metadata = {});

// Copies the values of `file` into the parameters of `model`, as load_checkpoint does.
void load_parameters(const TensorFile& file, const std::string& where, Model& model,
                     bool allow_broken = false);

}  // namespace aviary
