// The config.json of a folder of Hugging Face: which of its keys are obeyed, which must agree with the
// tensors or with what this program computes, and which have no effect. And its tokenizer_config.json, which
// says whether texts begin with a token.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "formats/tensor_table.h"
#include "text/tokenizer.h"

namespace aviary {

// Applies the config, a JSON object, to a table whose tensors have the original names already: shared
// embeddings. Adds a note about the keys that are not known here. Throws Error, beginning with `where`, for a
// key that contradicts the tensors, or that asks for something else than what is computed.
void obey_config(const nlohmann::json& config, const std::string& where, TensorTable& table);

// Obeys add_bos_token of a tokenizer_config.json, a JSON object, if the token before a text is the end of
// text of `tokenizer` (null: not known): sets the metadata entry aviary.begin_token. Adds a note where a
// token is asked for that is not read.
void obey_tokenizer_config(const nlohmann::json& config, const std::string& where, const Tokenizer* tokenizer,
                           TensorTable& table);

}  // namespace aviary
