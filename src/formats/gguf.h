// GGUF, the format of llama.cpp: keys with values, descriptions of the tensors, their data.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <string>

#include "formats/bytes.h"
#include "formats/tensor_table.h"
#include "text/tokenizer.h"

namespace aviary {

bool looks_like_gguf(Bytes bytes);

// Reads version 2 or 3, little-endian. Strict: keys and names must be unique; the data of every tensor must
// be aligned, inside the file and not overlapping. Scalars and strings become metadata under their own keys,
// numbers as text. Of the arrays only the vocabulary is kept: that of a "rwkv" tokenizer becomes
// aviary.tokenizer and aviary.vocabulary. Throws Error for violations and for tensors of an unsupported type.
TensorTable parse_gguf(Bytes bytes, const std::string& where);

}  // namespace aviary
