// What `aviary tune` reads: the model that is tuned and the data.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoints/open_model.h"
#include "checkpoints/tuning_info.h"
#include "train/plan.h"
#include "train/trainer.h"

namespace aviary::cli {

// The model that is tuned, as far as it is known from its file before its numbers are read.
struct Base {
  std::filesystem::path path;
  ModelConfig config;
  std::map<std::string, std::string> metadata;
  BaseInfo info;
  bool quantized = false;
  int64_t parameters = 0;
  TokenizerPtr tokenizer = nullptr;
  std::optional<int32_t> begin_token = {};

  // Texts that begin with a tuned state have no begin token, as other commands read them.
  void set_tokenizer(TokenizerPtr of_base, TuneMethod method);
};
// `tokenizer`: for open_tokenizer_for; empty: the base's own. Throws Error if the file is no model, or has no
// tokenizer and none is given.
Base read_base(const std::filesystem::path& path, const std::string& tokenizer, bool any_tokenizer,
               TuneMethod method);
// The base of a run that goes on, with the tokenizer of the run.
Base read_base_of_run(const std::filesystem::path& path, TokenizerPtr tokenizer, TuneMethod method);

// The data of a run: one text, or files of rows.
struct Data {
  std::shared_ptr<const TextData> text = {};  // or
  std::shared_ptr<const DocumentData> documents = {};
  std::optional<Facts::Text> facts = {};  // of the text
  WeightsByName files = {};               // of rows
  std::string hash = {};                  // of the text, or of all files of rows

  std::shared_ptr<const TrainingData> any() const {
    if (text) return text;
    return documents;
  }
};
// Each request is FILE or FILE,weight=W; the settings of the data are those of `asked`. Throws Error for a
// file that cannot be read again, and the errors of read_documents and TextFile.
Data read_data(const std::vector<std::string>& requests, const Asked& asked, const Base& base);
// The settings of a run whose files of data have moved to those of the requests: of several files of rows
// each takes the place, and the weight, of the one of the same name. Throws Error if there is not one such
// file for each, and for a weight; `flag` is where they were given.
TrainConfig with_data_at(TrainConfig config, const std::vector<std::string>& requests,
                         std::string_view flag = "--data");
// The data of a run that goes on. `moved`: the user has said where it is now. Throws Error if it is not the
// same.
Data read_data_of_run(const TrainConfig& config, const Base& base, bool moved);

TuningFacts facts_of(const Base& base, const Data& data);

// A trainer of the base with the settings of a run: float32 numbers where all of it is trained, otherwise as
// it is stored.
std::unique_ptr<Trainer> make_trainer(const TrainConfig& config, const Base& base, const Data& data,
                                      Ranks& ranks);

// A note on stderr, of one process only.
void tell(const std::string& note);

}  // namespace aviary::cli
