// What files of tuning (adapters, tuned states) say of themselves and of the model that they were trained on,
// their base: JSON in one metadata entry of a .safetensors file.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "formats/tensor_file.h"

namespace aviary {

// The model that was tuned, which did not change.
struct BaseInfo {
  std::string hash = {};     // base_hash_of() its file
  std::string type = {};     // of most of its numbers: "q8_0"
  std::string name = {};     // of its file: "rwkv7-0.4b.safetensors"
  std::string version = {};  // "rwkv7"
};

// 16 hex digits that identify the numbers of a model: XXH3 of the names, types, shapes and all bytes of its
// tensors. Files in different formats that hold the same numbers in the same types have the same hash. Reads
// the whole file, a gigabyte in about 0.1 s if the system has it in memory.
std::string base_hash_of(const TensorFile& file);
// `path`: of the file. Throws Error if the version of the model is not recognized.
BaseInfo base_info_of(const TensorFile& file, const std::filesystem::path& path);

// Throws Error, beginning with `where`, if a file of tuning says that its base is another one than `base`,
// the file at `path`, unless `any` will do. A file that says nothing of its base passes.
// The hash is computed only where it is compared.
void require_base(const BaseInfo& said, const std::string& where, const TensorFile& base,
                  const std::filesystem::path& path, bool any);
// The same for a base whose hash is known.
void require_same_base(const BaseInfo& said, const std::string& where, const BaseInfo& found);

// Throws Error, beginning with `where`, unless the tensor can be stored as `type`, which must be f32, f16 or
// bf16: if a number is NaN, infinite or beyond the range of the type.
void require_storable(const TensorEntry& tensor, Dtype type, const std::string& where);

// Metadata entries.
inline constexpr const char *adapter_info_key = "aviary.adapter", *state_info_key = "aviary.state";

struct AdapterInfo {
  std::string method = "lora";   // one of adapter_methods
  double alpha = 1;              // of a matrix of rank r, alpha / r of B A is added,
  bool rank_stabilized = false;  // or alpha / sqrt(r) of it
  BaseInfo base = {};
  std::string trained_on = {};     // free text, one line
  std::string chat_template = {};  // of the conversations that it was trained on; empty: there were none
};
// pissa: a LoRA that began with the largest singular vectors of the matrices; miss: with a fixed matrix A;
// parts: whole parameters and no matrices B A.
inline constexpr const char* adapter_methods[] = {"lora", "pissa", "miss", "parts"};

struct StateInfo {
  BaseInfo base = {};
  std::string trained_on = {};  // free text, one line
  std::string chat_template = {};
};

// The values of the entries. Control characters and what is not UTF-8 become \x... in texts. inputs: the
// widths `in` of the matrices W [out, in] by their names, for MiSS, whose tensors do not show them.
std::string to_json(const AdapterInfo& info, int64_t rank, const std::map<std::string, int64_t>& inputs = {});
std::string to_json(const StateInfo& info);

struct StoredAdapterInfo {
  AdapterInfo info;
  std::map<std::string, int64_t> inputs;
};
// Nothing if the metadata has no such entry. Throws Error, beginning with `where`, for an invalid one and for
// one of a newer format.
std::optional<StoredAdapterInfo> adapter_info_in(const std::map<std::string, std::string>& metadata,
                                                 const std::string& where);
std::optional<StateInfo> state_info_in(const std::map<std::string, std::string>& metadata,
                                       const std::string& where);

}  // namespace aviary
