// Snapshots in files: what a model knows after some tokens, so that it can be gone on from in another
// process.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoints/tuning_info.h"
#include "formats/tensor_file.h"
#include "models/run.h"
#include "states/state_cache.h"

namespace aviary {

// What made a snapshot. A snapshot is used only by a model that says the same of itself, because any other
// would give other numbers.
struct SnapshotMaker {
  BaseInfo base = {};
  std::string adapters = {};   // identifies adapters and a tuned first state; empty: none
  std::string precision = {};  // of products, "bf16"
};

// Throws Error, beginning with `where`, if a state that was made by `said` is nothing for a model that is
// `maker`.
void require_same_maker(const SnapshotMaker& said, const SnapshotMaker& maker, const std::string& where);

struct StoredSnapshot {
  Snapshot snapshot = {};
  std::vector<int32_t> tokens = {};   // that were read, since the first one
  std::vector<int32_t> pending = {};  // tokens that belong to the text, but were not read yet
  SnapshotMaker maker = {};
  std::string name = {};   // free text
  std::string space = {};  // the key space that it belongs to
};

// A .safetensors file: the parts of the state by their names (of a history, the rows in use), `logits` if
// there are any, `tokens`, `pending`, and metadata with a checksum of all of it. Atomic.
void write_snapshot(const std::filesystem::path& path, const StoredSnapshot& stored);

// Writes a copy without the key space, which may be a secret.
void copy_snapshot(const TensorFile& file, const std::string& where, const std::filesystem::path& to);

// Opens such a file, whose names are never those of another program. Throws Error if it is not one.
TensorFile open_snapshot(const std::filesystem::path& path);
// Whether a file is a snapshot; false for other files of tensors.
bool is_snapshot(const TensorFile& file);
// All but the state and the logits.
StoredSnapshot read_snapshot_info(const TensorFile& file, const std::string& where);
// Reads a snapshot for a model whose states have this layout. Throws Error, beginning with `where`, if the
// file is damaged, not a snapshot, of a newer format, or if its maker is another one than `maker`.
StoredSnapshot read_snapshot(const TensorFile& file, const std::string& where,
                             const std::shared_ptr<const StateLayout>& layout, const SnapshotMaker& maker);

}  // namespace aviary
