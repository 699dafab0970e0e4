// Files of tokens (data/token_file.h) as training data: checked against a tokenizer, and split.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/documents.h"
#include "data/token_file.h"
#include "text/tokenizer.h"

namespace aviary {

// The files as they lie on the disk; only the validation parts are copied into memory.
//
// The end of every file is kept for validation: `validation_bytes` of all files together, by their sizes, or,
// if negative, a tenth but at most 200,000 bytes, as of a text (data/corpus.h). The split is moved forward,
// by at most half of the part, to the next document, or else paragraph, line or word.
class TokenCorpus {
 public:
  struct Part {
    TokenFile file;
    double weight = 1;
    std::string hash = {};  // of both files
    int64_t bytes = 0;      // of its tokens
    int64_t train_tokens = 0, train_bytes = 0, validation_bytes = 0;
    std::vector<int32_t> validation = {};
    int64_t repeated = 0;  // validation documents that are in the training part, too

    TokenSpan train() const { return file.flat().part(0, train_tokens); }
  };

  // Throws the errors of TokenFile, and Error for a file whose documents are not the whole .bin, one without
  // a training part, and tokens that the tokenizer does not have.
  TokenCorpus(std::span<const DataRequest> files, const Tokenizer& tokenizer, int64_t validation_bytes = -1);

  // In the order of their hashes, so that a run reads the same wherever its files are.
  const std::vector<Part>& parts() const { return parts_; }
  std::string hash() const;  // of all files and their weights
  // Of all training parts; with_weights: each as often as it is read in an epoch.
  int64_t train_tokens(bool with_weights) const;
  int64_t train_bytes(bool with_weights) const;
  int64_t validation_bytes() const;
  int64_t repeated() const;

 private:
  std::vector<Part> parts_;
};

}  // namespace aviary
