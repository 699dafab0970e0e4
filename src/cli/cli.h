// What several commands share.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>

#include "checkpoints/open_model.h"
#include "cli/command.h"
#include "models/family.h"
#include "models/run.h"

namespace aviary::cli {

constexpr const char* runs_folder = "runs";
// The model file of the run below runs/ that was written last.
std::optional<std::filesystem::path> newest_run();

// What model_file_at (checkpoints/open_model.h) finds at `path`; for "", the model file of the newest run
// below runs/. Throws Error that says what to do when there is none.
std::filesystem::path find_model(const std::string& path);

// A model ready to run, with its tokenizer: the one in the file, else the one that `--tokenizer` names.
struct LoadedModel {
  std::filesystem::path path;
  std::unique_ptr<Model> model;
  TokenizerPtr tokenizer;  // null when unknown
};
// The groups of options in a command's help; what has no group comes first and is what a newcomer needs.
constexpr const char* model_group = "Model";
// What --tokenizer takes, for its help.
constexpr const char* tokenizer_kinds =
    "bytes, or a file: World vocabulary, tokenizer.json, vocab.json, a model";
// Bounds of a whole number, which the help shows as "0 to 64" or "0 or more".
CLI::Validator bounds(int64_t least, int64_t most = int64_t{1} << 40);

struct ModelFlags {
  std::string path, tokenizer, precision;
  bool cache = false;
  bool quiet = false;  // nothing but errors on stderr
  void add_to(CLI::App& command);
  // The same without the model, for commands that name it themselves.
  void add_running_to(CLI::App& command);
  LoadedModel load() const;
  Checkpoint open(const std::filesystem::path& file) const;
  // --precision; nothing when it was not given.
  std::optional<kernels::Precision> asked_precision() const;
};
// Throws Error when the model came without a tokenizer.
const Tokenizer& require_tokenizer(const LoadedModel& loaded);
// "f32", "bf16", or "" for the fastest of this CPU.
kernels::Precision parse_precision(const std::string& name);

// --type NAME: how matrices are stored, one of the types that convert writes.
CLI::Option* add_type_option(CLI::App& command, std::string& type, const std::string& help);
// Empty for no type.
std::optional<Dtype> parse_type(const std::string& name);

// A tokenizer by its own file, or by a model that carries it or that it must fit.
struct TokenizerFlags {
  std::string tokenizer, model;
  void add_to(CLI::App& command);
  TokenizerPtr open() const;
};
// train_vocabulary (text/vocabulary_trainer.h) with a live line; empty when Ctrl-C stopped it.
std::string learn_vocabulary(std::string_view text, int32_t size);

// The registered versions, with parameters and states of models of these sizes.
enum class ListForm : uint8_t { text, markdown, json };
int list_versions(const FamilySizes& sizes, ListForm form);

// 16 hex digits that tell one text from another.
std::string hash_of(std::string_view text);
// The bytes of a file, or of standard input for "-".
std::string read_input(const std::string& path);

}  // namespace aviary::cli
