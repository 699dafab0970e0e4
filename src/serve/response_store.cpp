#include "serve/response_store.h"

#include <utility>

namespace aviary {

namespace {

// An id has no zero byte, so this is unique.
std::string place_name(const std::string& key, const std::string& id) { return id + '\0' + key; }

// Moves a value to where its bytes count until nothing holds it any longer.
template <typename T>
std::shared_ptr<const T> counted(T value, int64_t size, const std::shared_ptr<std::atomic<int64_t>>& bytes) {
  *bytes += size;
  return {new T(std::move(value)), [size, bytes](const T* held) {
            *bytes -= size;
            delete held;
          }};
}

}  // namespace

ResponseStore::ResponseStore(Limits limits)
    : limits_(limits), bytes_(std::make_shared<std::atomic<int64_t>>(0)) {}

ResponseStore::~ResponseStore() = default;

std::shared_ptr<const StoredItem> ResponseStore::item(std::string id, std::string json) {
  const auto size = static_cast<int64_t>(sizeof(StoredItem) + id.size() + json.size());
  return counted(StoredItem{std::move(id), std::move(json)}, size, bytes_);
}

void ResponseStore::put(const std::string& key, StoredResponse response) {
  const std::lock_guard lock(mutex_);
  const std::string name = place_name(key, response.id);
  keep(name, std::move(response));
}

bool ResponseStore::update(const std::string& key, StoredResponse response) {
  const std::lock_guard lock(mutex_);
  const std::string name = place_name(key, response.id);
  const auto place = places_.find(name);
  if (place == places_.end() || place->second->response->task == nullptr) return false;
  keep(name, std::move(response));
  return true;
}

void ResponseStore::keep(const std::string& name, StoredResponse response) {
  const size_t pointers = response.input.size() + response.output.size();
  const auto size = static_cast<int64_t>(sizeof(StoredResponse) + response.json.size() + name.size() +
                                         pointers * sizeof(StoredItems::value_type));
  const auto old = places_.find(name);
  if (old == places_.end()) {
    entries_.push_front({name, nullptr});
    places_.emplace(entries_.front().name, entries_.begin());
  } else {
    entries_.splice(entries_.begin(), entries_, old->second);
  }
  entries_.front().response = counted(std::move(response), size, bytes_);
  while (!entries_.empty() && (entries_.size() > limits_.count || *bytes_ > limits_.bytes))
    remove(std::prev(entries_.end()));
}

void ResponseStore::remove(Entries::iterator entry) {
  if (entry->response->task) entry->response->task->stopped = true;
  places_.erase(entry->name);
  entries_.erase(entry);
}

std::shared_ptr<const StoredResponse> ResponseStore::find(const std::string& key, const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto place = places_.find(place_name(key, id));
  if (place == places_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, place->second);
  return place->second->response;
}

bool ResponseStore::erase(const std::string& key, const std::string& id) {
  const std::lock_guard lock(mutex_);
  const auto place = places_.find(place_name(key, id));
  if (place == places_.end()) return false;
  remove(place->second);
  return true;
}

int64_t ResponseStore::bytes() const { return *bytes_; }

size_t ResponseStore::count() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

}  // namespace aviary
