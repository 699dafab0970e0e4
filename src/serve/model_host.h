// A model that is being served: its weights, its thread, and the states that it remembers.
#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "chat/chat_template.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/tuning_info.h"
#include "embed/embedder.h"
#include "grammar/token_mask.h"
#include "infer/engine.h"
#include "states/state_folder.h"

namespace aviary {

struct HostOptions {
  std::filesystem::path file = {};
  std::function<Checkpoint()> open = {};  // opens the model of `file`
  std::string chat_template = {};         // name; empty: as the model shows
  std::filesystem::path state = {};       // a tuned state that every text begins with; empty: none
  EngineOptions engine = {};
  StateCacheOptions cache = {};
  std::string adapters = {};                 // identifies the adapters and the tuned state: SnapshotMaker
  std::filesystem::path states_folder = {};  // keeps states across restarts; empty: nowhere
  int64_t states_folder_bytes = int64_t{4} << 30;
  std::function<void(const std::string&)> tell = {};  // what went wrong with the folder, a sentence
  bool any_base = false;                              // also adapters and states of another base
};

// Loads a model and runs its engine on a thread of its own.
class ModelHost {
 public:
  // Throws Error if the model cannot be opened or has no tokenizer, and what options.open() throws.
  explicit ModelHost(const HostOptions& options);
  // Cancels what is unfinished.
  ~ModelHost();
  ModelHost(const ModelHost&) = delete;
  ModelHost& operator=(const ModelHost&) = delete;

  Model& model() const { return *checkpoint_.model; }
  const Tokenizer& tokenizer() const { return *checkpoint_.tokenizer; }
  TokenizerPtr shared_tokenizer() const { return checkpoint_.tokenizer; }
  const Checkpoint& checkpoint() const { return checkpoint_; }
  const BaseInfo& base() const { return maker_.base; }
  const ChatTemplate* chat_template() const { return chat_template_; }
  const std::filesystem::path& file() const { return file_; }
  int64_t file_bytes() const { return file_bytes_; }
  StateCache& cache() { return cache_; }
  // Inserts the state into the cache; one of an end also into the folder, if there is one.
  void remember(const std::string& space, std::vector<int32_t> tokens, Snapshot snapshot,
                StateCache::Kind kind);
  const SnapshotMaker& maker() const { return maker_; }
  // The state that texts begin with; null: the model's own.
  const State* start() const { return start_ ? &*start_ : nullptr; }
  State new_state() const { return runner_.new_state(); }
  bool takes(const State& state) const { return runner_.takes(state); }
  kernels::Precision precision() const { return runner_.precision(); }

  // Made when it is first asked for; to be used by one thread. Throws Error if this version has no vectors.
  Embedder& embedder();

  // The masks of a grammar for this vocabulary, shared by all that have the same `name`; thread-safe. Null if
  // they are not known; with `make`, it is called then, and what it throws is passed on.
  std::shared_ptr<TokenMasks> known_masks(const std::string& name);
  std::shared_ptr<TokenMasks> masks(const std::string& name, const std::function<Grammar::Ptr()>& make);

  // Thread-safe; see Engine.
  Engine::Ticket submit(Request request);
  void cancel(Engine::Ticket ticket);
  // Calls `begin` on the engine's thread, before each step, until it returns true.
  void begin_later(std::function<bool()> begin);
  // Lets the engine ask its requests again whether they are ready, and those that begin later.
  void wake();
  // Requests, and those that begin later.
  int64_t unfinished() const;

 private:
  void run();
  void begin_waiting();

  std::future<BaseInfo>
      hashed_;  // while the model is opened: what one thread reads, the other finds in memory
  Checkpoint checkpoint_;
  std::filesystem::path file_;
  int64_t file_bytes_ = 0;
  const ChatTemplate* chat_template_ = nullptr;
  Runner runner_;
  std::optional<State> start_;
  SnapshotMaker maker_;
  StateCache cache_;
  std::unique_ptr<StateFolder> folder_;
  Engine engine_;
  std::unique_ptr<Embedder> embedder_;
  std::mutex masks_mutex_;  // guards these two
  TokenTrie::Ptr trie_;
  std::list<std::pair<std::string, std::shared_ptr<TokenMasks>>> masks_;  // the last used ones first

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable work_;
  bool ending_ = false, news_ = false;
  std::list<std::function<bool()>> waiting_;  // that begin later
  bool being_asked_ = false;                  // one that is out of the list
  std::set<Engine::Ticket> tickets_;
  std::thread thread_;
};

}  // namespace aviary
