// What a tokenizer.json (the format of Hugging Face's tokenizers) says, when its model is byte-level byte
// pair encoding: the GPT-NeoX 20B file and those of its kind.
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
    std::string spelling;  // in the byte alphabet (text/byte_alphabet.h), unless it is an added token too
  };
  std::vector<Token> tokens;  // by id
  std::vector<BytePairEncoder::Merge> merges;
  std::vector<AddedToken> added;  // by id
  std::vector<SplitRule> splits;
  bool nfc = false;            // texts are normalized to form C first
  bool ignore_merges = false;  // a word that is a token is that token, whatever the merges would make of it
};

// Throws Error with a sentence that names what is wrong, or what this program cannot do as the file wants it:
// another model or normalizer, for example, or a space put before every text. Nothing is skipped silently but
// what concerns offsets into the text. Ids reach up to max_vocabulary_id, tokens have at most max_token_bytes
// bytes (text/vocabulary.h).
BpeDefinition parse_bpe_definition(std::string_view json);

// A tokenizer.json again. Files that say the same give the same text.
std::string write_bpe_definition(const BpeDefinition& definition);

}  // namespace aviary
