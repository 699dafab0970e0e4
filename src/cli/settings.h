// The settings of a training run on the command line: one flag for every line of the table in
// train/settings.h.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "data/text_file.h"
#include "text/tokenizer.h"
#include "train/plan.h"
#include "train/settings.h"

namespace aviary::cli {

// Adds the flags of a command (one of setting_flags), under the headings of the table. When the command runs,
// `asked` contains the values from the command line; it must exist until then.
void add_settings(CLI::App& command, SettingFlags command_bit, Asked& asked);

// Adds the flags of the options of all versions, which set `values`.
void add_model_options(CLI::App& command, Options& values);

// Where a run finds a file again. Throws Error when its name is not UTF-8.
std::string absolute_path(const std::filesystem::path& path);
// Path, hash and size of a text to train on. Throws Error when its name is not UTF-8.
Facts::Text text_facts(const TextFile& file);
// The name of a run for this text, if none is given.
std::string usual_name(const TextFile& file);
// Where a run in `folder` finds its text again: in the file, or, for a text from the standard input or a
// pipe, in folder/text.txt, which keep_text writes. Throws Error if there is another text in that place.
std::string place_of_text(const TextFile& file, const std::filesystem::path& folder);
void keep_text(const TextFile& file, const std::string& place);
// The tokens of the training part of the text.
Facts::Vocabulary vocabulary_facts(const Tokenizer& tokenizer, int64_t train_tokens, bool chosen);

}  // namespace aviary::cli
