// An adapter of one kind of file, written as another.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoints/adapter_file.h"
#include "checkpoints/tuning_info.h"
#include "formats/tensor_file.h"

namespace aviary {

// An adapter whose scale is that of AdapterInfo: alpha / r of B A is added, never alpha / sqrt(r).
struct PlainAdapter {
  AdapterFile file;  // as it was read; owns the data of the whole tensors
  AdapterInfo info;
  std::vector<AdapterMatrix> matrices;
};

// Reads the adapter and brings weight, alpha and init of the request, and the scale of its kind, into its
// alpha, or into the numbers of B if the matrices have different factors. Throws the errors of read_adapter()
// and factor_of(), and Error if the matrices of `init` are others or nothing is added.
PlainAdapter plain_adapter(const AdapterRequest& request);

// Adds to what the adapter says what the model that it was trained on shows: its hash, type, version, and the
// widths of matrices of MiSS. Throws Error if the adapter does not fit the model, or says that it was trained
// on another one (unless `any`).
void add_base(PlainAdapter& adapter, const TensorFile& base, const std::filesystem::path& path, bool any);

enum class AdapterForm : uint8_t {
  aviary,  // .safetensors, .st: adapter_writer.h
  pth,     // .pth, .pt: P.lora_A [r, in], P.lora_B [out, r], for MiSS P.disha [r, out]. Does not say alpha
  gguf,    // .gguf: as llama.cpp reads it; MiSS as the LoRA that it is
  peft,    // a folder, or a name that ends in /: adapter_config.json and adapter_model.safetensors
};
AdapterForm adapter_form_of(const std::filesystem::path& path);
// The files that write_adapter_as() writes.
std::vector<std::filesystem::path> files_of_form(const std::filesystem::path& path);

// Writes the adapter in the form of the path; each file atomically. type: of all numbers, f32, f16 or bf16;
// none: f32 for the matrices, whole tensors as they are. Returns what a user should know of the file: a
// sentence each. Throws Error, beginning with the path, if it cannot be written, and if this kind of file
// cannot say a part of the adapter, which is named.
std::vector<std::string> write_adapter_as(const std::filesystem::path& path, const PlainAdapter& adapter,
                                          std::optional<Dtype> type = {});

}  // namespace aviary
