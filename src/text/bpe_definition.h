// The content of a tokenizer.json (the format of Hugging Face's tokenizers) whose model is byte-level byte
// pair encoding, such as the GPT-NeoX 20B file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.h"
#include "text/byte_pair_encoder.h"
#include "text/splitter.h"

namespace aviary {

struct BpeDefinition {
  struct Token {
    int32_t id = 0;
    std::string spelling;  // in the byte alphabet (text/byte_alphabet.h), unless it is also an added token
  };
  std::vector<Token> tokens;  // by id
  std::vector<BytePairEncoder::Merge> merges;
  std::vector<AddedToken> added;  // by id
  std::vector<SplitRule> splits;
  bool nfc = false;            // texts are normalized to form C first
  bool ignore_merges = false;  // a word that is a token becomes that token, without applying merges
};

// Throws Error that names what is wrong, or which feature of the file is not supported: another model or
// normalizer, for example, or a space inserted before every text. Nothing is skipped silently except settings
// about offsets into the text. Ids reach up to max_vocabulary_id, tokens have at most max_token_bytes bytes
// (text/vocabulary.h).
BpeDefinition parse_bpe_definition(std::string_view json);

// Writes a tokenizer.json. Equal definitions give equal text.
std::string write_bpe_definition(const BpeDefinition& definition);

}  // namespace aviary
