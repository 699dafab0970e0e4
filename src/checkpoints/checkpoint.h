// Models in files: checkpoints written by Aviary (safetensors with the original names, and config and
// tokenizer in the metadata), and checkpoints of the original trainers (.pth, .safetensors), whose version is
// recognized by content.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "checkpoints/adapter_file.h"
#include "formats/tensor_file.h"
#include "models/registry.h"
#include "text/tokenizer.h"

namespace aviary {

struct Checkpoint {
  std::unique_ptr<Model> model;
  TokenizerPtr tokenizer;  // null if the file contains none
  std::map<std::string, std::string> metadata;
  std::vector<std::string> notes = {};      // what a user should know about the file: a sentence each
  std::optional<int32_t> begin_token = {};  // set by open_model: begin_token_of the tokenizer
};

// What a model reads before a text, as metadata: the end of text or nothing (begin_token_of).
inline constexpr const char* begin_token_key = "aviary.begin_token";
inline constexpr const char *begin_with_end_of_text = "end_of_text", *begin_with_nothing = "none";

// Names and shapes of the tensors, except those with more axes than tensors of models have.
ShapeMap shapes_of(const TensorFile& file);

// The config from the metadata or, without it, recognized from names and shapes of the tensors. Throws Error
// listing the names if the version is not recognized.
ModelConfig config_of(const TensorFile& file, const std::string& where);
// In the form of the metadata entry aviary.config.
std::string to_json(const ModelConfig& config);
// Throws Error, beginning with `where`.
ModelConfig model_config_from_json(const std::string& text, const std::string& where);

// The model of the file, whose parameters have no numbers yet. Throws Error unless the config is valid and
// the file has exactly the parameters, with their shapes. Allocates no more memory than the size of the file
// justifies.
std::unique_ptr<Model> prepare_model(const TensorFile& file, const std::string& where,
                                     Dtype dtype = Dtype::f32);

// Loads the values of every parameter. Throws Error if one is missing, has another shape, or contains NaN or
// infinity (unless `allow_broken`), or if the file has tensors that are not part of the version.
Checkpoint load_checkpoint(const std::filesystem::path& path, Dtype dtype = Dtype::f32,
                           bool allow_broken = false);

// Packed weights in a file next to the model file (checkpoints/packed_file.h): mapped from there or, if there
// is none for this model, CPU and precision, packed and written.
struct PackedCache {
  WriteProgress progress = {};
  std::function<void(const std::string& reason)> not_written = {};  // the folder is read-only, the disk full
};
// Opens a model for inference. It keeps its file open: tables are used in place in the mapped file, in the
// types of the file, and matrices are packed from there (ops/weight.h). Afterwards its numbers no longer
// change, and threads may share it (models/run.h). precision: of products with float32 numbers; none:
// usual_precision (models/run.h). adapters: added to the model in this order. Throws the errors of
// load_checkpoint(), read_adapter() and add_adapter().
Checkpoint open_checkpoint(const std::filesystem::path& path,
                           std::optional<kernels::Precision> precision = {},
                           const std::optional<PackedCache>& cache = {},
                           std::span<const AdapterRequest> adapters = {});

// The tokenizer in the metadata; null if there is none. Throws Error if it is damaged or has more tokens than
// the model.
TokenizerPtr tokenizer_of(const TensorFile& file, const std::string& where, const ModelConfig& config);

// The token that the model reads before every text unless told otherwise: the end-of-text token or none.
// The metadata says which (aviary.begin_token; tokenizer.ggml.add_bos_token of GGUF); without it, only models
// with the vocabulary of the World models begin so, as they were trained. Throws Error, beginning with
// `where`, for an unknown value.
std::optional<int32_t> begin_token_of(const std::map<std::string, std::string>& metadata,
                                      const Tokenizer& tokenizer, const std::string& where);

// The hash (hex) of the tokenizer that the model was trained with, so far as the file tells: from the
// metadata, or that of the tokenizer in the file (`own`, or null). Empty if it is not known.
std::string known_tokenizer_hash(const std::map<std::string, std::string>& metadata, const Tokenizer* own);

// The metadata of files written by Aviary: the config and, if there is one, the whole tokenizer.
std::map<std::string, std::string> metadata_of(const ModelConfig& config, const Tokenizer* tokenizer);

// Copies what remains true of a model whose numbers are written in another way: how long it was trained, what
// it reads before a text, its chat template.
void keep_metadata(const std::map<std::string, std::string>& from, std::map<std::string, std::string>& to);

// Writes atomically. Additional metadata entries are written unchanged.
void save_checkpoint(const std::filesystem::path& path, const Model& model, const Tokenizer* tokenizer,
                     const std::map<std::string, std::string>& metadata = {});

// The parameter that a whole tensor of an adapter replaces. Throws Error, beginning with `where`, if there is
// none or it has another shape.
Parameter& replaced_parameter(const std::string& where, const TensorEntry& tensor, Model& model);

// Reads an adapter and applies it to `model`, of the open file `base` at `path`, which must not be packed
// yet: its whole tensors replace parameters, its low-rank matrices are added. Throws the errors of
// read_adapter() and add_adapter(), and Error if a whole tensor is not a parameter of the model or has
// another shape, and if the adapter says that it was trained on another model (unless request.any_base).
AdapterFile apply_adapter(const AdapterRequest& request, const TensorFile& base,
                          const std::filesystem::path& path, Model& model);

// Copies the values in `file` to the parameters of `model`, like load_checkpoint.
void load_parameters(const TensorFile& file, const std::string& where, Model& model,
                     bool allow_broken = false);

}  // namespace aviary
