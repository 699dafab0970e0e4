// Files of states that were kept after a text (states/snapshot_file.h), on the command line.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "states/snapshot_file.h"

namespace aviary::cli {

// Identifies what adapters and a tuned first state make of a model, for SnapshotMaker; empty for neither.
std::string identity_of_tuning(const std::vector<std::string>& adapters, const std::string& state);
// The chat template of the conversations that the first of them was trained on which was trained on any;
// empty for none, and for one that this program does not know.
std::string chat_template_of_tuning(const std::vector<std::string>& adapters, const std::string& state);
// What a state that this model makes says of its maker.
SnapshotMaker maker_of(const LoadedModel& loaded);

// The file, if it is one of a state that was kept after a text; nothing if it is anything else.
std::optional<TensorFile> find_snapshot(const std::string& path);
// Its content for this model; of another one only with `any_model`, if the sizes are the same.
StoredSnapshot load_snapshot(const TensorFile& file, const std::string& path, const LoadedModel& loaded,
                             bool any_model);

// The tokens that the state of --state has read; none for "". Throws Error for a tuned state.
std::vector<int32_t> tokens_before(const std::string& state);

}  // namespace aviary::cli
