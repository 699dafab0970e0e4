// From what was asked for to the settings of a run, so that `aviary train book.txt` needs no flags.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "train/config.h"

namespace aviary {

// What a user asked for: values of settings (train/settings.h), and the names of those that were given.
struct Asked {
  TrainConfig values;
  std::set<std::string, std::less<>> given = {};
  bool quickstart =
      false;  // the settings of ./quickstart (five novels, a fixed number of steps) where nothing is given

  bool has(std::string_view setting) const { return given.contains(setting); }
};

// What the plan of a run depends on besides.
struct Facts {
  struct Text {
    std::string path, hash;
    int64_t bytes = 0;
  };
  // Known once it has been read, or learned from the text.
  struct Vocabulary {
    std::string kind;  // Tokenizer::kind()
    int64_t size = 0;
    int64_t train_tokens = 0;  // of the text without its validation part
    bool chosen = false;       // named by the user, not learned
  };
  Text text;
  std::optional<Vocabulary> vocabulary = {};
  kernels::Precision fastest_precision = kernels::fastest_precision();  // of this machine
};

// The settings of a run: what was given, and the rest by the size of the text and the version's recipe. A
// setting that was given is obeyed or refused. Without the vocabulary the plan is preliminary: the size of
// the vocabulary is the one to learn, and the steps may not be known. Whether a model of the version can have
// the sizes is for complete() to say (models/model.h). Throws Error that names the flag.
TrainConfig resolve(const Asked& asked, const Facts& facts);

// Sets what the recipe of config.model says: betas, epsilon, clipping, whether matrices decay, and learning
// rates for its width.
void apply_recipe(TrainConfig& config);

}  // namespace aviary
