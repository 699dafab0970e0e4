// Shared by several commands.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>

#include "base/interrupt.h"
#include "base/progress.h"
#include "checkpoints/open_model.h"
#include "cli/command.h"
#include "data/text_file.h"
#include "models/family.h"
#include "models/run.h"

namespace aviary::cli {

constexpr const char* runs_folder = "runs";
// The model file of the most recently written run below runs/.
std::optional<std::filesystem::path> newest_run();

// The model file that model_file_at (checkpoints/open_model.h) finds for `path`; for "", that of the newest
// run below runs/. Throws Error that says what to do if there is none.
std::filesystem::path find_model(const std::string& path);

// A model ready to run, with its tokenizer: the one in the file, or the one given by `--tokenizer`.
struct LoadedModel {
  std::filesystem::path path;
  std::unique_ptr<Model> model;
  TokenizerPtr tokenizer;              // null if unknown
  std::optional<int32_t> begin_token;  // Checkpoint::begin_token
  std::vector<std::string> adapters;   // as given
};
// The groups of options in the help of a command; options without a group come first and are those that a
// newcomer needs.
constexpr const char* model_group = "Model";
// The values of --tokenizer, for its help.
constexpr const char* tokenizer_kinds =
    "bytes, or a file: World vocabulary, tokenizer.json, vocab.json, a model, the folder of a run";
// Bounds of a whole number, shown in the help as "0 to 64" or "0 or more".
CLI::Validator bounds(int64_t least, int64_t most = int64_t{1} << 40);
// Bounds of any number, inclusive, shown in the help and in messages as `shown`.
CLI::Validator number_bounds(double least, double most, const std::string& shown);

// Throws Error if the option `given` was given together with one of `others`, which would have no effect.
void refuse_beside(const CLI::App& command, const std::string& given,
                   std::initializer_list<const char*> others);

struct ModelFlags {
  std::string path, tokenizer, precision;
  std::vector<std::string> adapters;
  bool cache = false;
  bool force = false;  // also a tokenizer, adapters and a state of another model
  bool quiet = false;  // only errors on stderr
  void add_to(CLI::App& command);
  // The same without the model, for commands with their own option for it.
  void add_running_to(CLI::App& command);
  // Throws Error if `given` was given together with one of the flags of a model file, which it makes useless.
  static void refuse_beside(const CLI::App& command, const std::string& given);
  // The files and folders that load() reads: for require_apart (cli/outputs.h).
  std::vector<std::filesystem::path> inputs() const;
  LoadedModel load() const;
  Checkpoint open(const std::filesystem::path& file) const;
  // --precision; nothing if it was not given.
  std::optional<kernels::Precision> asked_precision() const;
};
// A line of progress, in `line`, for a file that is written; throws Interrupted after Ctrl-C. Both must
// outlive it.
WriteProgress write_progress(std::optional<Progress>& line, const InterruptGuard& guard);
// What a user should know about a model file, on stderr.
void print_notes(const std::vector<std::string>& notes);
// Throws Error if the model has no tokenizer.
const Tokenizer& require_tokenizer(const LoadedModel& loaded);
// "f32", "bf16", or "" for the fastest of this CPU.
kernels::Precision parse_precision(const std::string& name);

// --type NAME: how matrices are stored, one of the types that convert writes.
CLI::Option* add_type_option(CLI::App& command, std::string& type, const std::string& help);
// Empty for no type.
std::optional<Dtype> parse_type(const std::string& name);

// A tokenizer given by its own file, or by a model that contains it or that it must match.
struct TokenizerFlags {
  std::string tokenizer, model;
  bool force = false;  // also one that is not the model's
  void add_to(CLI::App& command);
  TokenizerPtr open() const;
};
// A text for a command, through the one door (data/text_file.h); its notes go to stderr unless `quiet`.
TextFile open_text(const std::string& path, bool quiet = false);
// The same for a text to learn from, which has words; also tells if it holds rows, which become text.
TextFile open_text_to_learn(const std::string& path);
void tell_rows(const TextFile& file);

struct Escapes;  // cli/texts.h

// --prompt TEXT or --file FILE: a text to go on from.
struct PromptFlags {
  std::string text, file;
  // `help` says what the text is.
  void add_to(CLI::App& command, const std::string& help);
  // Of --file and of "-", the standard input, through open_text; of the command line with `escapes`; "" if
  // nothing was given.
  std::string read(const Escapes& escapes, bool quiet = false) const;
};

// What a model has read before a text begins: --state FILE, and --begin-token or --no-begin-token.
struct BeginFlags {
  std::string state;
  std::optional<bool> begin_token;  // nothing: as the model says, and not after a state
  void add_to(CLI::App& command);
  // Throws Error if the tokenizer has no end of text, but is to begin with it.
  std::optional<int32_t> token(const LoadedModel& loaded) const;
  // Of a state that was kept after a text: tokens of that text that are still to be read.
  std::vector<int32_t> pending() const;
  // The logits [V] after such a state, if it has any and nothing is to be read before the text; else none.
  std::vector<float> logits(const LoadedModel& loaded, bool any_base) const;
  // The tokens of a text, after these tokens.
  std::vector<int32_t> encode(const LoadedModel& loaded, std::string_view text) const;
  // The state before the first token; nothing: the model's own. any_base: also one that was trained on
  // another model.
  std::optional<State> start(const LoadedModel& loaded, bool any_base) const;
};

// train_vocabulary (text/vocabulary_trainer.h) with a status line; empty if stopped by Ctrl-C.
std::string learn_vocabulary(std::string_view text, int32_t size);

// Prints the registered versions, with parameters and states of models of these sizes.
enum class ListForm : uint8_t { text, markdown, json };
int list_versions(const FamilySizes& sizes, ListForm form);

// Writes what was printed on stdout and is still buffered. Throws Error if that fails, as on a full disk.
void flush_output();

// A hash of a text, 16 hex digits.
std::string hash_of(std::string_view text);

}  // namespace aviary::cli
