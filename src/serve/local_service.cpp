#include "serve/local_service.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "models/cost.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Seconds since 1970; 0 if there is no such file.
double written_at(const fs::path& file) {
  std::error_code error;
  const fs::file_time_type time = fs::last_write_time(file, error);
  if (error) return 0;
  return std::chrono::duration<double>(std::chrono::file_clock::to_sys(time).time_since_epoch()).count();
}

}  // namespace

struct LocalService::Entry {
  ServedModel served;
  mutable std::mutex mutex;  // guards the rest
  HostPtr host;
  double used = 0;
  ModelInfo info;
};

LocalService::LocalService(ServiceOptions options) : options_(std::move(options)), shelf_(options_.states) {
  require(!options_.models.empty(), "serve: no model to serve");
  require(options_.loaded_models > 0 && options_.waiting_tasks > 0 && options_.max_tokens > 0,
          "serve: {} loaded models, {} waiting requests, {} tokens; expected more than 0",
          options_.loaded_models, options_.waiting_tasks, options_.max_tokens);
  for (const ServedModel& served : options_.models) {
    for (const auto& other : entries_)
      require(other->served.name != served.name, "serve: two models have the name {}; name them with --alias",
              served.name);
    auto made = std::make_unique<Entry>();
    made->served = served;
    made->info.name = served.name;
    made->info.aliases = served.aliases;
    made->info.path = served.host.file.filename().string();
    made->info.created = written_at(served.host.file);
    entries_.push_back(std::move(made));
  }
  thread_ = std::thread([this] { run(); });
}

LocalService::~LocalService() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    for (const auto& [ticket, task] : tasks_) task->cancel();
  }
  work_.notify_all();
  thread_.join();
  for (const Order& order : orders_)
    refuse(order, {.kind = TaskError::Kind::unavailable, .message = "the server is ending"});
  {
    const std::lock_guard lock(mutex_);
    tasks_.clear();
  }
  for (const auto& one : entries_) {
    HostPtr host;
    {
      const std::lock_guard lock(one->mutex);
      host.swap(one->host);
    }
    release(std::move(host));
  }
}

// The last callbacks of its texts, on its own thread, must not be what destroys a host.
void LocalService::release(HostPtr host) {
  while (host && host.use_count() > 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

LocalService::Entry& LocalService::entry(const std::string& name) const {
  for (const auto& one : entries_) {
    const std::vector<std::string>& aliases = one->served.aliases;
    if (one->served.name == name || std::find(aliases.begin(), aliases.end(), name) != aliases.end())
      return *one;
  }
  // ollama's clients ask for the tag, as "name:latest".
  if (const size_t colon = name.rfind(':'); colon != std::string::npos && name.substr(colon) == ":latest")
    return entry(name.substr(0, colon));
  if (entries_.size() == 1) return *entries_.front();
  std::string names;
  for (const auto& one : entries_) names += (names.empty() ? "" : ", ") + one->served.name;
  fail_task(TaskError::Kind::not_found, fmt::format("there is no model \"{}\"; served are: {}", name, names),
            "model", "model_not_found");
}

LocalService::HostPtr LocalService::host(Entry& entry) {
  {
    const std::lock_guard lock(entry.mutex);
    entry.used = steady_seconds();
    if (entry.host) return entry.host;
  }
  make_room();
  auto host = std::make_shared<ModelHost>(entry.served.host);
  const std::lock_guard lock(entry.mutex);
  entry.host = host;
  ModelInfo& info = entry.info;
  const ModelConfig& config = host->model().config();
  info.bytes = host->file_bytes();
  info.digest = host->base().hash;
  info.type = host->base().type;
  info.version = config.version;
  info.parameters = host->model().parameters().count();
  info.context = token_cost(host->model()).context_limit;
  info.chat_template = host->chat_template()->name;
  info.layers = config.n_layer;
  info.width = config.n_embd;
  info.vocabulary = config.vocab_size;
  return host;
}

void LocalService::make_room() {
  while (true) {
    int64_t loaded = 0;
    Entry* oldest = nullptr;
    for (const auto& one : entries_) {
      const std::lock_guard lock(one->mutex);
      if (!one->host) continue;
      ++loaded;
      if (one->host->unfinished() == 0 && (!oldest || one->used < oldest->used)) oldest = one.get();
    }
    if (loaded < options_.loaded_models) return;
    if (!oldest)
      fail_task(TaskError::Kind::overloaded,
                "all loaded models are in use, and no more may be loaded (--loaded-models)");
    unload(*oldest);
  }
}

void LocalService::unload(Entry& entry) {
  HostPtr gone;
  {
    const std::lock_guard lock(entry.mutex);
    gone.swap(entry.host);
  }
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(tasks_, [](const auto& one) { return one.second->ended(); });
  }
  release(std::move(gone));
}

LocalService::HostPtr LocalService::loaded(const std::string& model) {
  Entry& one = entry(model);
  const std::lock_guard lock(loading_);
  try {
    return host(one);
  } catch (const Error& e) {
    fail_task(TaskError::Kind::internal, e.what());
  }
}

ModelInfo LocalService::info(const Entry& entry) const {
  const std::lock_guard lock(entry.mutex);
  ModelInfo info = entry.info;
  info.loaded = entry.host != nullptr;
  return info;
}

std::vector<ModelInfo> LocalService::models() const {
  std::vector<ModelInfo> all;
  for (const auto& one : entries_) all.push_back(info(*one));
  return all;
}

ModelInfo LocalService::model(const std::string& name) const { return info(entry(name)); }

TaskOptions LocalService::default_options(const std::string&) const {
  TaskOptions options;
  options.sampling = options_.sampling;
  options.sampling.seed = std::random_device{}();
  return options;
}

Service::Ticket LocalService::enqueue(Order order) {
  order.asked = steady_seconds();
  TaskError error;
  {
    const std::lock_guard lock(mutex_);
    order.ticket = ++last_ticket_;
    ++figures_.requests;
    std::erase_if(tasks_, [](const auto& one) { return one.second->ended(); });
    const int64_t unfinished = std::ssize(orders_) + std::ssize(tasks_) + (beginning_ ? 1 : 0);
    if (!ending_ && unfinished < options_.waiting_tasks) {
      orders_.push_back(std::move(order));
      work_.notify_all();
      return last_ticket_;
    }
    error = ending_ ? TaskError{.kind = TaskError::Kind::unavailable, .message = "the server is ending"}
                    : TaskError{.kind = TaskError::Kind::overloaded,
                                .message = fmt::format("{} requests are waiting already; try again later",
                                                       unfinished),
                                .code = "rate_limit_exceeded"};
  }
  refuse(order, error);
  return order.ticket;
}

void LocalService::refuse(const Order& order, const TaskError& error) {
  if (order.sink) order.sink->failed(error);
  const std::lock_guard lock(mutex_);
  ++figures_.failed;
}

void LocalService::count(const Usage& usage, bool failed) {
  const std::lock_guard lock(mutex_);
  figures_.failed += failed ? 1 : 0;
  figures_.prompt_tokens += usage.prompt_tokens;
  figures_.cached_tokens += usage.cached_tokens;
  figures_.tokens += usage.tokens;
  figures_.prompt_seconds += usage.prompt_seconds;
  figures_.seconds += usage.seconds;
}

Service::Ticket LocalService::chat(ChatTask task, std::shared_ptr<TaskSink> sink) {
  return enqueue(
      {.sink = std::move(sink), .prepare = [this, task = std::move(task)] { return prepare(task); }});
}

Service::Ticket LocalService::complete(CompletionTask task, std::shared_ptr<TaskSink> sink) {
  return enqueue(
      {.sink = std::move(sink), .prepare = [this, task = std::move(task)] { return prepare(task); }});
}

void LocalService::cancel(Ticket ticket) {
  Order order;
  {
    const std::lock_guard lock(mutex_);
    if (const auto task = tasks_.find(ticket); task != tasks_.end()) task->second->cancel();
    if (beginning_ == ticket) drop_beginning_ = true;
    const auto waiting = std::find_if(orders_.begin(), orders_.end(),
                                      [ticket](const Order& one) { return one.ticket == ticket; });
    if (waiting == orders_.end()) return;
    order = std::move(*waiting);
    orders_.erase(waiting);
  }
  refuse(order, {.kind = TaskError::Kind::unavailable, .message = "the request was canceled"});
}

void LocalService::run() {
  while (true) {
    Order order;
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [this] { return ending_ || !orders_.empty(); });
      if (ending_) return;
      order = std::move(orders_.front());
      orders_.pop_front();
      beginning_ = order.ticket;
      drop_beginning_ = false;
    }
    begin(order);
  }
}

void LocalService::begin(Order& order) {
  try {
    if (order.sink->abandoned()) fail_task(TaskError::Kind::unavailable, "the client has left");
    const double begun = steady_seconds();
    Prepared prepared = order.prepare();
    prepared.plan.usage.wait_seconds = begun - order.asked;
    prepared.plan.ended = [this](const Usage& usage, bool failed) { count(usage, failed); };
    const auto task =
        std::make_shared<TextTask>(prepared.host, std::move(prepared.plan), std::move(order.sink));
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(tasks_, [](const auto& one) { return one.second->ended(); });
      tasks_[order.ticket] = task;
      beginning_.reset();
      if (drop_beginning_ || ending_) task->cancel();
    }
    task->start();
  } catch (...) {
    {
      const std::lock_guard lock(mutex_);
      beginning_.reset();
    }
    if (order.sink) refuse(order, task_error_of(std::current_exception()));
  }
}

void LocalService::embed(EmbeddingTask task,
                         std::function<void(const Embeddings&, const std::optional<TaskError>&)> done) {
  embeddings_.add([this, task = std::move(task), done = std::move(done)] {
    Embeddings result;
    std::optional<TaskError> error;
    try {
      result = embeddings(task);
    } catch (...) {
      error = task_error_of(std::current_exception());
    }
    done(result, error);
  });
}

std::vector<int32_t> LocalService::tokenize(const std::string& model, const std::string& text) {
  return loaded(model)->tokenizer().encode(text);
}

std::string LocalService::detokenize(const std::string& model, const std::vector<int32_t>& tokens) {
  const HostPtr host = loaded(model);
  for (const int32_t token : tokens)
    if (token < 0)
      fail_task(TaskError::Kind::bad_request, fmt::format("token {} is negative", token), "tokens");
  return host->tokenizer().decode(tokens);
}

void LocalService::load(const std::string& model) { loaded(model); }

void LocalService::unload(const std::string& model) {
  Entry& one = entry(model);
  const std::lock_guard loading(loading_);
  {
    const std::lock_guard lock(one.mutex);
    if (one.host && one.host->unfinished() > 0)
      fail_task(TaskError::Kind::overloaded, fmt::format("the model \"{}\" is in use", one.served.name),
                "model");
  }
  unload(one);
}

ServiceFigures LocalService::figures() const {
  ServiceFigures figures;
  {
    const std::lock_guard lock(mutex_);
    figures = figures_;
    figures.waiting = std::ssize(orders_);
    for (const auto& [ticket, task] : tasks_) figures.running += task->ended() ? 0 : 1;
  }
  for (const auto& one : entries_) {
    const std::lock_guard lock(one->mutex);
    if (!one->host) continue;
    const StateCache::Figures cache = one->host->cache().figures();
    figures.cache_bytes += cache.bytes;
    figures.cache_states += cache.snapshots;
    figures.cache_evictions += cache.evictions;
  }
  return figures;
}

}  // namespace aviary
