#include "serve/state_shelf.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "serve/router.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr const char* ending = ".safetensors";
constexpr int64_t largest_file = int64_t{1} << 40;

KeptState described(const StoredSnapshot& stored, std::string id, int64_t bytes) {
  return {.id = std::move(id),
          .name = stored.name,
          .model = stored.maker.base.name,
          .digest = stored.maker.base.hash,
          .version = stored.maker.base.version,
          .tokens = std::ssize(stored.tokens) + std::ssize(stored.pending),
          .pending = std::ssize(stored.pending),
          .bytes = bytes,
          .created = now_seconds()};
}

int64_t bytes_of(const StoredSnapshot& stored) {
  const auto tokens = static_cast<int64_t>(stored.tokens.size() + stored.pending.size());
  return stored.snapshot.bytes() + tokens * static_cast<int64_t>(sizeof(int32_t));
}

// A file in the folder for temporary files, removed at the end.
class TemporaryFile {
 public:
  ~TemporaryFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  const fs::path path_ = fs::temp_directory_path() / new_id("aviary-state-");
};

int64_t seconds_since_1970(fs::file_time_type time) {
  const auto ago = std::chrono::duration_cast<std::chrono::seconds>(fs::file_time_type::clock::now() - time);
  return now_seconds() - ago.count();
}

}  // namespace

TensorFile snapshot_of_bytes(const std::string& bytes) {
  require(!bytes.empty(), "the body is empty, expected the file of a state");
  const TemporaryFile file;
  write_file_atomically(file.path(), bytes);
  return open_snapshot(file.path());  // mapped, so it remains readable when the file is removed
}

StateShelf::StateShelf(ShelfOptions options) : options_(std::move(options)) {
  if (options_.folder.empty()) return;
  make_folders(options_.folder);
  remove_abandoned_files(options_.folder);
  restore();
}

fs::path StateShelf::path_of(const std::string& id) const { return options_.folder / (id + ending); }

void StateShelf::restore() {
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(options_.folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("state_") && name.ends_with(ending))
      files.emplace_back(entry.last_write_time(ignored), entry.path());
  }
  std::sort(files.rbegin(), files.rend());
  for (const auto& [time, path] : files) {
    try {
      const TensorFile file = open_snapshot(path);
      const StoredSnapshot stored = read_snapshot_info(file, path.string());
      Entry entry{.info = described(stored, path.stem().string(), file.file_bytes()), .space = stored.space};
      entry.info.created = seconds_since_1970(time);
      if (at(entry.space, entry.info.name) != entries_.end()) entry.info.name.clear();  // a newer one has it
      bytes_ += entry.info.bytes;
      entries_.push_back(std::move(entry));
    } catch (const Error& error) {
      if (options_.tell) options_.tell(error.what());
    }
  }
  make_room();
}

KeptState StateShelf::put(StoredSnapshot stored) {
  const int64_t bytes = bytes_of(stored);
  require(bytes <= options_.bytes, "the state has {} bytes, but all states together may have {}", bytes,
          options_.bytes);
  Entry entry{.info = described(stored, new_id("state_"), bytes), .space = stored.space};
  if (!options_.folder.empty()) write_snapshot(path_of(entry.info.id), stored);
  entry.stored = std::make_shared<const StoredSnapshot>(std::move(stored));
  const std::lock_guard lock(mutex_);
  for (Entry& other : entries_)
    if (!entry.info.name.empty() && other.space == entry.space && other.info.name == entry.info.name)
      other.info.name.clear();
  bytes_ += bytes;
  entries_.push_front(std::move(entry));
  const KeptState info = entries_.front().info;
  make_room();
  return info;
}

StateShelf::Entries::const_iterator StateShelf::at(const std::string& space, const std::string& state) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& one) {
    return one.space == space && one.info.id == state;
  });
  if (found != entries_.end() || state.empty()) return found;
  return std::find_if(entries_.begin(), entries_.end(),
                      [&](const Entry& one) { return one.space == space && one.info.name == state; });
}

StateShelf::Entry* StateShelf::use(const std::string& space, const std::string& state) {
  const auto found = at(space, state);
  if (found == entries_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found);
  return &entries_.front();
}

std::vector<KeptState> StateShelf::list(const std::string& space) const {
  const std::lock_guard lock(mutex_);
  std::vector<KeptState> all;
  for (const Entry& entry : entries_)
    if (entry.space == space) all.push_back(entry.info);
  return all;
}

std::optional<KeptState> StateShelf::find(const std::string& space, const std::string& state) const {
  const std::lock_guard lock(mutex_);
  const auto found = at(space, state);
  if (found == entries_.end()) return {};
  return found->info;
}

StoredSnapshotPtr StateShelf::load(const std::string& space, const std::string& state,
                                   const std::shared_ptr<const StateLayout>& layout,
                                   const SnapshotMaker& maker) {
  const std::lock_guard lock(mutex_);
  Entry* entry = use(space, state);
  if (!entry) return nullptr;
  if (entry->stored) {
    require_same_maker(entry->stored->maker, maker, state);
    return entry->stored;
  }
  const fs::path path = path_of(entry->info.id);
  entry->stored =
      std::make_shared<const StoredSnapshot>(read_snapshot(open_snapshot(path), state, layout, maker));
  return entry->stored;
}

std::optional<std::string> StateShelf::file(const std::string& space, const std::string& state) {
  StoredSnapshotPtr stored;
  std::optional<TensorFile> from;
  {
    const std::lock_guard lock(mutex_);
    const Entry* entry = use(space, state);
    if (!entry) return {};
    stored = entry->stored;
    if (!stored) from = open_snapshot(path_of(entry->info.id));
  }
  // An API key is not part of a file that is passed on.
  const TemporaryFile file;
  if (stored) {
    StoredSnapshot copy = *stored;
    copy.space.clear();
    write_snapshot(file.path(), copy);
  } else {
    copy_snapshot(*from, state, file.path());
  }
  return read_file(file.path(), largest_file);
}

bool StateShelf::erase(const std::string& space, const std::string& state) {
  const std::lock_guard lock(mutex_);
  const auto found = at(space, state);
  if (found == entries_.end()) return false;
  drop(found);
  return true;
}

void StateShelf::drop(Entries::const_iterator entry) {
  std::error_code ignored;
  if (!options_.folder.empty()) fs::remove(path_of(entry->info.id), ignored);
  bytes_ -= entry->info.bytes;
  entries_.erase(entry);
}

void StateShelf::make_room() {
  while (bytes_ > options_.bytes || std::ssize(entries_) > options_.states) {
    std::map<std::string, int64_t> sizes;
    for (const Entry& entry : entries_) sizes[entry.space] += entry.info.bytes;
    const auto largest = std::max_element(sizes.begin(), sizes.end(),
                                          [](const auto& a, const auto& b) { return a.second < b.second; });
    auto last = entries_.end();
    do --last;
    while (last->space != largest->first);
    drop(last);
  }
}

}  // namespace aviary
