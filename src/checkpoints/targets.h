// The kinds of files that can be written, and what each can say of a model. A file that says less than the
// whole model would be opened as another one, so what cannot be said is known before anything is written.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "models/config.h"
#include "models/shape_map.h"

namespace aviary {

enum class Target : uint8_t {
  safetensors,  // has the whole config in its metadata
  pth,          // has only tensors: says what can be recognized from their names and shapes
  gguf,         // says what llama.cpp reads; for versions that llama.cpp does not have, the whole config
};

// By the ending of the name: .safetensors or .st, .pth or .pt, .gguf, in letters of any case. Throws Error
// for another one.
Target target_of(const std::filesystem::path& path);

// The settings of a model that such a file cannot say, by name and value, as in `token_shift "4,2,1"`; none
// for a file that says all. `shapes`: of the tensors that are to be written.
std::vector<std::string> unsaid(Target target, const ModelConfig& config, const ShapeMap& shapes);

// Throws Error that names what such a file cannot say, if there is something.
void require_said(const std::filesystem::path& path, const ModelConfig& config, const ShapeMap& shapes);

// Whether write_gguf() writes the model with the architecture and names of llama.cpp: llama.cpp has the
// version, and there is nothing that it cannot say.
bool is_of_llama(const ModelConfig& config);

// Limits of the programs that read such a file, which do not keep it from being written: a sentence each.
std::vector<std::string> limits(Target target, const ModelConfig& config);

}  // namespace aviary
