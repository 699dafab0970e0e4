// The settings of a training run on the command line: one flag for every line of the table in
// train/settings.h.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>

#include "text/tokenizer.h"
#include "train/plan.h"
#include "train/settings.h"

namespace aviary::cli {

// Adds the flags of `commands` (train or all), under the headings of the table. When the command runs,
// `asked` contains the values from the command line; it must exist until then.
void add_settings(CLI::App& command, SettingFlag commands, Asked& asked);

// Path, hash and size of a text to train on. Throws Error when its name is not UTF-8.
Facts::Text text_facts(const std::string& path, std::string_view text);
// The tokens of the training part of the text.
Facts::Vocabulary vocabulary_facts(const Tokenizer& tokenizer, int64_t train_tokens, bool chosen);

}  // namespace aviary::cli
