// Completes the requested settings to those of a run, so that `aviary train book.txt` needs no flags.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "train/config.h"

namespace aviary {

// The request of a user: values of settings (train/settings.h), and the names of those that were given.
struct Asked {
  TrainConfig values;
  std::set<std::string, std::less<>> given = {};
  bool quickstart = false;  // use the settings of ./quickstart (five novels, a fixed number of steps) for all
                            // that are not given

  bool has(std::string_view setting) const { return given.contains(setting); }
};

// The other facts on which the plan of a run depends.
struct Facts {
  struct Text {
    std::string path, hash;
    int64_t bytes = 0;
    WeightsByName files = {};  // of tokens, of which the text consists; `path` is one of them
  };
  // Known once the vocabulary has been read, or learned from the text.
  struct Vocabulary {
    std::string kind;  // Tokenizer::kind()
    int64_t size = 0;
    int64_t train_tokens = 0;  // of the text without its validation part
    bool chosen = false;       // named by the user, not learned
  };
  Text text;
  std::optional<Vocabulary> vocabulary = {};
  int64_t processes = 0;  // that mpirun or the like has started; 0: none did
  kernels::Precision fastest_precision = kernels::fastest_precision();  // of this machine
};

// The settings of a run: those given by the user; the others follow from the size of the text and the recipe
// of the version. A given setting is either used or rejected. Without the vocabulary the plan is preliminary:
// the size of the vocabulary is the one to be learned, and the number of steps may be unknown. complete()
// (models/registry.h) checks whether a model of the version can have the sizes. Throws Error naming the flag.
TrainConfig resolve(const Asked& asked, const Facts& facts);

// The facts on which the plan of a run that tunes a model depends.
struct TuningFacts {
  ModelConfig model;
  std::string base, base_hash, base_type, base_name;  // path, and as in BaseInfo
  bool quantized = false;                             // the base, in part
  int64_t parameters = 0;
  std::string tokenizer;                 // Tokenizer::kind()
  std::optional<Facts::Text> text = {};  // or
  WeightsByName documents = {};
  std::string chat_template = {};  // of conversations among them
  std::string data_hash = {};
  int64_t tokens = 0;             // that can be targets in an epoch
  double read_tokens = 0;         // of the documents of an epoch
  double sequences = 0;           // documents of an epoch
  int64_t longest = 0;            // document, in tokens
  bool carries_gradients = true;  // whether its state allows chunks
  int64_t free_memory = 0;        // bytes; 0: not known
  int64_t processes = 0;          // as in Facts
  kernels::Precision fastest_precision = kernels::fastest_precision();
};

// What is trained unless the user says: all weights where they and their moments fit into half of the free
// memory, the base is not quantized, and there is at least one token for 25 of them; otherwise a LoRA.
TuneMethod usual_method(const TuningFacts& facts);
// The settings of a run that tunes a model. A given setting is either used or rejected. Throws Error naming
// the flag.
TrainConfig resolve_tuning(const Asked& asked, const TuningFacts& facts);

// The number of workers of a run in so many processes that mpirun or the like has started, unless the user
// says.
int64_t usual_workers(const TrainConfig& config, int64_t processes);

// Applies the recipe of config.model: betas, epsilon, clipping, whether matrices have weight decay, and
// learning rates for its width.
void apply_recipe(TrainConfig& config);

}  // namespace aviary
