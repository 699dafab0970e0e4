#include "serve/model_host.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/error.h"
#include "base/quotes.h"
#include "checkpoints/open_model.h"
#include "checkpoints/state_file.h"
#include "models/cost.h"

namespace aviary {
namespace {

std::string precision_name(kernels::Precision precision) {
  return precision == kernels::Precision::bf16 ? "bf16" : "f32";
}

constexpr size_t remembered_grammars = 32;

Checkpoint opened(const HostOptions& options) {
  Checkpoint checkpoint = options.open();
  require(checkpoint.tokenizer != nullptr,
          "{}: the model has no tokenizer of its own; give one with --tokenizer", options.file.string());
  return checkpoint;
}

StateCacheOptions cache_options(StateCacheOptions options, Model& model) {
  if (token_cost(model).state_growth > 0) options.growth = 0.25;
  return options;
}

const ChatTemplate* template_of(const HostOptions& options, const std::filesystem::path& file,
                                const Tokenizer& tokenizer, const TensorFile& tensors) {
  if (!options.chat_template.empty()) {
    const ChatTemplate* named = find_chat_template(options.chat_template);
    require(named != nullptr, "there is no chat template {}; there are: {}", in_quotes(options.chat_template),
            fmt::join(chat_template_names(), ", "));
    return named;
  }
  const auto stored = tensors.metadata().find("tokenizer.chat_template");
  return &detect_chat_template({.published_world = is_published_world(tokenizer),
                                .file_name = file.filename().string(),
                                .stored = stored == tensors.metadata().end() ? "" : stored->second});
}

}  // namespace

ModelHost::ModelHost(const HostOptions& options)
    : hashed_(std::async(
          std::launch::async,
          [file = model_file_at(options.file)] { return base_info_of(read_tensor_file(file), file); })),
      checkpoint_(opened(options)),
      runner_(*checkpoint_.model),
      cache_(cache_options(options.cache, *checkpoint_.model)),
      engine_(runner_, *checkpoint_.tokenizer, options.engine) {
  file_ = model_file_at(options.file);
  const TensorFile tensors = read_tensor_file(file_);
  file_bytes_ = tensors.file_bytes();
  if (!options.state.empty()) start_ = load_state(options.state, *checkpoint_.model, file_, options.any_base);
  maker_ = {
      .base = hashed_.get(), .adapters = options.adapters, .precision = precision_name(runner_.precision())};
  if (!options.states_folder.empty()) {
    folder_ = std::make_unique<StateFolder>(options.states_folder, maker_,
                                            std::make_shared<const StateLayout>(runner_.new_state().layout()),
                                            options.states_folder_bytes, options.tell);
    folder_->restore(cache_);
  }
  chat_template_ = template_of(options, file_, *checkpoint_.tokenizer, tensors);
  thread_ = std::thread([this] { run(); });
}

ModelHost::~ModelHost() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    for (const Engine::Ticket ticket : tickets_) engine_.cancel(ticket);
  }
  work_.notify_all();
  thread_.join();
}

void ModelHost::remember(const std::string& space, std::vector<int32_t> tokens, Snapshot snapshot,
                         StateCache::Kind kind) {
  const auto shared = std::make_shared<const Snapshot>(std::move(snapshot));
  cache_.insert(space, tokens, shared, kind);
  if (folder_ && kind == StateCache::Kind::end) folder_->save(space, std::move(tokens), shared);
}

Embedder& ModelHost::embedder() {
  const std::lock_guard lock(mutex_);
  if (!embedder_) {
    EmbeddingOptions options = usual_embedding(model());
    options.begin_token = checkpoint_.begin_token;
    embedder_ = std::make_unique<Embedder>(model(), tokenizer(), options);
  }
  return *embedder_;
}

std::shared_ptr<TokenMasks> ModelHost::known_masks(const std::string& name) {
  const std::lock_guard lock(masks_mutex_);
  for (auto known = masks_.begin(); known != masks_.end(); ++known) {
    if (known->first != name) continue;
    masks_.splice(masks_.begin(), masks_, known);
    return masks_.front().second;
  }
  return nullptr;
}

std::shared_ptr<TokenMasks> ModelHost::masks(const std::string& name,
                                             const std::function<Grammar::Ptr()>& make) {
  if (std::shared_ptr<TokenMasks> known = known_masks(name)) return known;
  TokenTrie::Ptr trie;
  {
    const std::lock_guard lock(masks_mutex_);
    if (!trie_) trie_ = std::make_shared<TokenTrie>(tokenizer());
    trie = trie_;
  }
  auto made = std::make_shared<TokenMasks>(make(), std::move(trie));
  const std::lock_guard lock(masks_mutex_);
  masks_.emplace_front(name, made);
  if (masks_.size() > remembered_grammars) masks_.pop_back();
  return made;
}

Engine::Ticket ModelHost::submit(Request request) {
  // The ticket is known only after submit(), and the request may be done before that.
  const auto ticket = std::make_shared<Engine::Ticket>(0);
  request.done = [this, ticket, done = std::move(request.done)](Finished finished) {
    {
      const std::lock_guard lock(mutex_);
      tickets_.erase(*ticket);
    }
    if (done) done(std::move(finished));
  };
  const std::lock_guard lock(mutex_);
  require(!ending_, "the model is being unloaded");
  *ticket = engine_.submit(std::move(request));
  tickets_.insert(*ticket);
  news_ = true;
  work_.notify_all();
  return *ticket;
}

void ModelHost::cancel(Engine::Ticket ticket) {
  engine_.cancel(ticket);
  wake();
}

void ModelHost::begin_later(std::function<bool()> begin) {
  const std::lock_guard lock(mutex_);
  waiting_.push_back(std::move(begin));
  news_ = true;
  work_.notify_all();
}

void ModelHost::begin_waiting() {
  // Few, because the texts that are being written wait meanwhile.
  constexpr int64_t most_asked = 64, most_begun = 8;
  int64_t left = 0;
  {
    const std::lock_guard lock(mutex_);
    left = std::min(std::ssize(waiting_), most_asked);
  }
  for (int64_t begun = 0; left > 0 && begun < most_begun; --left) {
    std::list<std::function<bool()>> one;
    {
      const std::lock_guard lock(mutex_);
      one.splice(one.begin(), waiting_, waiting_.begin());
      being_asked_ = true;
    }
    const bool has_begun = one.front()();
    if (has_begun) one.clear();
    begun += has_begun ? 1 : 0;
    const std::lock_guard lock(mutex_);
    being_asked_ = false;
    waiting_.splice(waiting_.end(), one);
  }
}

int64_t ModelHost::unfinished() const {
  const std::lock_guard lock(mutex_);
  return engine_.unfinished() + std::ssize(waiting_) + (being_asked_ ? 1 : 0);
}

void ModelHost::wake() {
  const std::lock_guard lock(mutex_);
  news_ = true;
  work_.notify_all();
}

void ModelHost::run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      const bool unfinished = engine_.unfinished() > 0 || !waiting_.empty();
      if (ending_ && !unfinished) return;
      const auto has_news = [this] { return news_ || ending_; };
      if (!unfinished)
        work_.wait(lock, has_news);
      else if (engine_.idle() || engine_.unfinished() == 0)  // all wait, for what does not always call wake()
        work_.wait_for(lock, std::chrono::milliseconds(5), has_news);
      news_ = false;
    }
    begin_waiting();
    if (engine_.unfinished() > 0) engine_.step();
  }
}

}  // namespace aviary
