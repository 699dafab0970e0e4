// The keys of llama.cpp's GGUF files for RWKV-6 and RWKV-7: which are obeyed, which must agree with the
// tensors or with what this program computes, and which have no effect on RWKV.
#pragma once

#include <string>

#include "formats/tensor_table.h"

namespace aviary {

// Checks the keys "<architecture>.*" of a table whose tensors have the original names already. Adds a note
// for every key that is not known here. Throws Error, beginning with `where`, for a key that contradicts the
// tensors, or that asks for something else than what is computed.
void check_llama_keys(TensorTable& table, const std::string& architecture, const std::string& where);

}  // namespace aviary
