// Keeps responses for later requests, which go on from one of them (previous_response_id) or ask for it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace aviary {

// An item of the conversation, as JSON text. Responses that follow each other share those of the past.
struct StoredItem {
  std::string id;
  std::string json;
};
using StoredItems = std::vector<std::shared_ptr<const StoredItem>>;

// Ends a task for which no client waits.
struct BackgroundTask {
  std::atomic<bool> stopped = false;
  std::atomic<uint64_t> ticket = 0;  // of the service; 0: not known yet
};

struct StoredResponse {
  std::string id = {};
  std::string json = {};   // the response object
  StoredItems input = {};  // what the model was given but for instructions: also the past of the conversation
  StoredItems output = {};                    // what it wrote
  std::shared_ptr<BackgroundTask> task = {};  // that is still writing it in the background
};

// Thread-safe. A response belongs to the API key with which it was made; for all others it does not exist.
// When the limits are exceeded, the least recently used responses are forgotten, whosever they are. A
// response that is forgotten or erased while it is being written is stopped.
class ResponseStore {
 public:
  struct Limits {
    int64_t bytes = int64_t{256} << 20;  // of all texts, those that responses share counted once
    size_t count = 10000;                // of responses
  };
  explicit ResponseStore(Limits limits);
  ~ResponseStore();

  // An item whose bytes count while anything holds it.
  std::shared_ptr<const StoredItem> item(std::string id, std::string json);

  // Keeps the response, in the place of one with the same id.
  void put(const std::string& key, StoredResponse response);
  // The same in the place of one that is still being written. Returns whether there was such a one: it may
  // have been erased, forgotten, or ended by somebody else.
  bool update(const std::string& key, StoredResponse response);
  // nullptr if there is none.
  std::shared_ptr<const StoredResponse> find(const std::string& key, const std::string& id);
  bool erase(const std::string& key, const std::string& id);

  int64_t bytes() const;
  size_t count() const;

 private:
  struct Entry {
    std::string name;  // key and id
    std::shared_ptr<const StoredResponse> response;
  };
  using Entries = std::list<Entry>;  // the most recently used first

  void keep(const std::string& name, StoredResponse response);
  void remove(Entries::iterator entry);

  const Limits limits_;
  const std::shared_ptr<std::atomic<int64_t>> bytes_;
  mutable std::mutex mutex_;
  Entries entries_;
  std::unordered_map<std::string_view, Entries::iterator> places_;  // by Entry::name
};

}  // namespace aviary
