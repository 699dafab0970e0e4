// Adapters: files of trainers that change a model. Whatever their kind, they become low-rank matrices that
// are added to matrices of the model (ops/weight.h), and whole tensors that replace some of its own.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "checkpoints/tuning_info.h"
#include "formats/tensor_file.h"
#include "models/model.h"

namespace aviary {

// What is asked for on a command line: FILE, or FILE,weight=W,alpha=A,init=FILE2.
struct AdapterRequest {
  std::filesystem::path path;
  double weight = 1;                 // factor of all that the adapter adds
  std::optional<double> alpha = {};  // for files that do not say it
  bool any_base = false;             // also where the file says that it was trained on another model
  std::filesystem::path init =
      {};  // PiSSA: the file of the matrices from which training started, which are subtracted
};
// Throws Error for text in another form.
AdapterRequest adapter_request(const std::string& text);
// All files that are read for it, whether they exist or not.
std::vector<std::filesystem::path> files_of_adapter(const AdapterRequest& request);
// Those that exist: what it consists of.
std::vector<std::filesystem::path> present_files_of_adapter(const AdapterRequest& request);
// Throws Error if an adapter is asked for twice, under this name or another one (links, the folder of a run).
void require_distinct(std::span<const AdapterRequest> requests);

// How much of B A is added: all of it, alpha / r, or alpha / sqrt(r) of it.
enum class AdapterScale : uint8_t { one, alpha_by_rank, alpha_by_root };

// W + scale B A for a matrix W [out, in] of the model.
struct AdapterMatrix {
  std::string name;  // of the parameter: "blocks.0.att.key.weight"
  int64_t rank = 0;  // r
  // [r, in]; empty for MiSS, whose A is fixed: A[j, k] = 1 if k mod r == j, otherwise 0.
  std::vector<float> a = {};
  std::vector<float> b = {};  // [out, r]
  int64_t in = 0;             // needed for MiSS only; 0: the file does not say it
};

struct AdapterFile {
  std::string where;  // the path
  std::string kind;   // "a LoRA of Hugging Face PEFT"
  AdapterScale scale = AdapterScale::one;
  std::optional<double> alpha;      // in the file
  std::optional<AdapterInfo> info;  // in files of Aviary
  std::vector<AdapterMatrix> matrices;
  std::vector<TensorEntry> whole;  // named like parameters; the data is valid as long as `files` and `table`
  std::vector<MappedFile> files;
  TensorTable table;
};

// A of MiSS.
std::vector<float> fixed_matrix(int64_t rank, int64_t in);

// Reads an adapter in one of these dialects, recognized by container and content (docs/formats.md):
//   files of Aviary (adapter_writer.h) and folders of its runs, LoRA or PiSSA of RWKV trainers (.pth with
//   P.lora_A, P.lora_B), Bone, DiSHA and MiSS (P.bone, P.disha, [r, out]), folders of Hugging Face PEFT
//   (LoRA, MiSS), folders with adapter.json and adapter.pth (P.weight.D), .lora of web-rwkv (P.lora.0,
//   P.lora.1), and GGUF adapters of llama.cpp.
// Throws Error if it is none of them, or incomplete.
AdapterFile read_adapter(const std::filesystem::path& path);

// Whether the file or folder is an adapter by its content: read_adapter() will read it, or say what is wrong.
bool looks_like_adapter(const std::filesystem::path& path);
// The same for a file that has been opened as a model.
bool holds_adapter(const TensorFile& file);

// "a LoRA of Hugging Face PEFT, 12 matrices of rank 8, 2 whole tensors"
std::string describe(const AdapterFile& adapter);

// The factor of B A for `matrix`. Throws Error if it needs an alpha that neither the file nor the request
// says, and if the request says one that has no meaning.
double factor_of(const AdapterFile& adapter, const AdapterRequest& request, const AdapterMatrix& matrix);

// Throws Error if the request says what has no effect on this adapter.
void require_effect(const AdapterFile& adapter, const AdapterRequest& request);

// The parameter of `model` that the matrix changes. Throws Error, beginning with `where`, if there is none,
// if it is not a matrix inside a block, or if it has other sizes.
Parameter& adapted_parameter(const std::string& where, const AdapterMatrix& matrix, Model& model);

// Adds the low-rank matrices to weights of the model, which must not be packed yet. Throws Error if a name or
// a size is not of this model. Whole tensors are not applied.
void add_adapter(const AdapterFile& adapter, const AdapterRequest& request, Model& model);

}  // namespace aviary
