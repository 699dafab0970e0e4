// What `aviary train` reads: a text, or files of tokens that aviary data build has made.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "train/plan.h"
#include "train/training_data.h"

namespace aviary::cli {

// Whether the arguments name files of tokens (data/token_file.h), each as FILE.bin or FILE.bin,weight=W.
// Throws Error for several texts, for texts beside tokens, and for one file of a pair without the other.
bool name_tokens(const std::vector<std::string>& texts);

// Such files, checked and split. Throws the errors of TokenCorpus, and Error for a file that is named twice.
std::shared_ptr<const TokenData> read_tokens(const std::vector<std::string>& texts,
                                             const Tokenizer& tokenizer, int64_t validation_bytes);
// The facts of a new run on them.
Facts::Text facts_of(const TokenData& data);

// The settings of a run whose files of tokens are now where the arguments say. Throws the errors of
// with_data_at.
TrainConfig with_tokens_at(const TrainConfig& config, const std::vector<std::string>& texts);
// The files of a run that goes on. `moved`: the user has said where they are now. Throws Error if they are
// not the same.
std::shared_ptr<const TokenData> read_tokens_of_run(const TrainConfig& config, const Tokenizer& tokenizer,
                                                    bool moved);

}  // namespace aviary::cli
