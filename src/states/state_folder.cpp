#include "states/state_folder.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr const char* ending = ".state.safetensors";
constexpr size_t most_waiting = 64;

uint64_t hash_of(const std::string& text) { return XXH3_64bits(text.data(), text.size()); }

// The beginning of the names of this maker's files.
std::string prefix_of(const SnapshotMaker& maker) {
  return fmt::format("{:016x}-", hash_of(maker.base.hash + '\n' + maker.adapters + '\n' + maker.precision));
}

}  // namespace

StateFolder::StateFolder(fs::path folder, SnapshotMaker maker, std::shared_ptr<const StateLayout> layout,
                         int64_t bytes, std::function<void(const std::string&)> tell)
    : folder_(std::move(folder)),
      maker_(std::move(maker)),
      layout_(std::move(layout)),
      bytes_(bytes),
      tell_(std::move(tell)) {
  std::error_code error;
  fs::create_directories(folder_, error);
  require(fs::is_directory(folder_), "{}: cannot be created: {}", folder_.string(), error.message());
  thread_ = std::thread([this] { run(); });
}

StateFolder::~StateFolder() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  work_.notify_all();
  thread_.join();
}

void StateFolder::tell(const std::string& sentence) const {
  if (tell_) tell_(sentence);
}

std::vector<fs::path> StateFolder::files() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> found;
  const std::string prefix = prefix_of(maker_);
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || !name.ends_with(ending)) continue;
    found.emplace_back(entry.last_write_time(ignored), entry.path());
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<fs::path> paths;
  for (auto& [time, path] : found) paths.push_back(std::move(path));
  return paths;
}

void StateFolder::restore(StateCache& cache) {
  int64_t bytes = 0;
  for (const fs::path& path : files()) {
    if (bytes > cache.options().bytes) return;
    try {
      const TensorFile file = open_snapshot(path);
      StoredSnapshot stored = read_snapshot(file, path.string(), layout_, maker_);
      bytes += stored.snapshot.bytes();
      cache.insert(stored.space, stored.tokens, std::move(stored.snapshot), StateCache::Kind::end);
    } catch (const Error& error) {
      tell(fmt::format("{} (removed)", error.what()));
      std::error_code ignored;
      fs::remove(path, ignored);
    }
  }
}

void StateFolder::save(std::string space, std::vector<int32_t> tokens, SnapshotPtr snapshot) {
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= most_waiting) return;
    waiting_.push_back({std::move(space), std::move(tokens), std::move(snapshot)});
  }
  work_.notify_all();
}

void StateFolder::run() {
  prune();
  while (true) {
    Waiting waiting;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      waiting = std::move(waiting_.front());
      waiting_.pop_front();
    }
    write(std::move(waiting));
  }
}

void StateFolder::write(Waiting waiting) {
  std::string name = waiting.space + '\n';
  name.append(reinterpret_cast<const char*>(waiting.tokens.data()), waiting.tokens.size() * sizeof(int32_t));
  const fs::path path = folder_ / fmt::format("{}{:016x}{}", prefix_of(maker_), hash_of(name), ending);
  try {
    write_snapshot(path, {.snapshot = *waiting.snapshot,
                          .tokens = std::move(waiting.tokens),
                          .maker = maker_,
                          .space = std::move(waiting.space)});
  } catch (const Error& error) {
    return tell(error.what());
  }
  written_bytes_ += waiting.snapshot->bytes();
  if (written_bytes_ > bytes_ / 8) prune();
}

void StateFolder::prune() {
  written_bytes_ = 0;
  int64_t bytes = 0;
  for (const fs::path& path : files()) {
    std::error_code error;
    const auto size = static_cast<int64_t>(fs::file_size(path, error));
    if (!error) bytes += size;
    if (bytes > bytes_) fs::remove(path, error);
  }
}

}  // namespace aviary
