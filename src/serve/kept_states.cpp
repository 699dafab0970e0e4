// Stored states: how they are made, begun from, and kept.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "serve/local_service.h"
#include "states/compose.h"
#include "states/mix.h"

namespace aviary {
namespace {

[[noreturn]] void refuse_unknown_state(const std::string& state) {
  fail_task(TaskError::Kind::not_found,
            fmt::format("there is no state {}; it may have been removed to make room", in_quotes(state)),
            "state", "state_not_found");
}

// What `make` gives; its Error is the client's fault.
template <typename Make>
auto or_bad_request(const char* field, Make make) {
  try {
    return make();
  } catch (const Error& error) {
    fail_task(TaskError::Kind::bad_request, error.what(), field);
  }
}

std::shared_ptr<const StateLayout> layout_of(const ModelHost& host) {
  return std::make_shared<const StateLayout>(host.new_state().layout());
}

// Brings the text of `end` to where a conversation goes on, without the stop string. `turn_end` follows a
// reply; empty in other texts.
std::vector<int32_t> finished_text(const Tokenizer& tokenizer, const TextEndState& end,
                                   const std::string& turn_end, size_t& untouched) {
  std::vector<int32_t> tokens = end.text;
  const std::string text = tokenizer.decode(tokens);
  const size_t length = end.stop.empty() ? text.size() : std::min(text.find(end.stop), text.size());
  size_t bytes = 0;
  untouched = 0;
  while (untouched < tokens.size() && bytes + tokenizer.bytes_of(tokens[untouched]).size() <= length)
    bytes += tokenizer.bytes_of(tokens[untouched++]).size();
  tokens.resize(untouched);
  tokenizer.encode(text.substr(bytes, length - bytes), tokens);
  if (!end.text.empty()) tokenizer.encode(turn_end, tokens);
  return tokens;
}

// The snapshot at the end of a text. `base`: what the prompt follows; may be null.
StoredSnapshot snapshot_of(const Tokenizer& tokenizer, TextEndState end, const StoredSnapshot* base,
                           const std::string& turn_end) {
  StoredSnapshot stored;
  if (base) stored.tokens = base->tokens;
  size_t untouched = 0;
  const std::vector<int32_t> text = finished_text(tokenizer, end, turn_end, untouched);
  const auto prompt = std::ssize(end.prompt);
  // A stop string of several tokens may have been read in part; the text is then read again.
  const bool back = end.prompt_end && (text.empty() || end.read > prompt + static_cast<int64_t>(untouched));
  if (back)
    stored.snapshot = *end.prompt_end;
  else
    stored.snapshot.state = std::move(end.state);
  std::vector<int32_t> all = std::move(end.prompt);
  all.insert(all.end(), text.begin(), text.end());
  const auto read = all.begin() + (back ? prompt : end.read);
  stored.tokens.insert(stored.tokens.end(), all.begin(), read);
  stored.pending.assign(read, all.end());
  return stored;
}

StoredSnapshot composed_of(const ModelHost& host, const std::vector<MixPart>& parts) {
  require(parts.size() > 1, "a composition has two or more states, in the order of their texts; got one");
  Runner runner(host.model());
  const State start = host.start() ? *host.start() : runner.new_state();
  StoredSnapshot both = *parts.front().stored;
  for (size_t i = 1; i < parts.size(); ++i) both = composed(runner, start, both, *parts[i].stored);
  return both;
}

// Waits for the state of a task.
class StateSink : public TaskSink {
 public:
  StateSink(const LocalService& service, std::string key, Service::StateDone done)
      : service_(service), key_(std::move(key)), done_(std::move(done)) {}
  void started(const Usage&) override {}
  void progress(int64_t, int64_t, int64_t) override {}
  void delta(const Delta&) override {}
  void choice_end(const ChoiceEnd& end) override { id_ = end.state; }
  void finished(const Usage&) override {
    try {
      if (id_.empty()) fail_task(TaskError::Kind::internal, "the state could not be kept");
      done_(service_.state(key_, id_), {});
    } catch (const TaskFailure& failure) {
      done_({}, failure.error());
    }
  }
  void failed(const TaskError& error) override { done_({}, error); }
  bool abandoned() const override { return false; }

 private:
  const LocalService& service_;
  const std::string key_;
  const Service::StateDone done_;
  std::string id_;
};

}  // namespace

void LocalService::with_states(const ModelHost& host, TextTask::Plan& plan, const std::string& turn_end,
                               const std::string& name) {
  const TaskOptions& options = plan.options;
  StoredSnapshotPtr base;
  if (!options.state.empty()) {
    base = or_bad_request(
        "state", [&] { return shelf_.load(options.key, options.state, layout_of(host), host.maker()); });
    if (!base) refuse_unknown_state(options.state);
    const std::string space = options.key + "\nstate " + state(options.key, options.state).id;
    for (PromptTokens& prompt : plan.prompts) {
      const std::vector<int32_t>& pending = base->pending;
      prompt.tokens.insert(prompt.tokens.begin(), pending.begin(), pending.end());
      for (int64_t& end : prompt.ends) end += std::ssize(pending);
      prompt.start = SnapshotPtr(base, &base->snapshot);
      prompt.before = base->tokens;
      prompt.space = space;
      if (prompt.tokens.empty() && base->snapshot.logits.empty())
        fail_task(TaskError::Kind::bad_request,
                  "the prompt is empty, and this state needs at least one token to go on with", "prompt");
    }
  }
  if (!options.return_state) return;
  plan.keep_state = [this, base, &tokenizer = host.tokenizer(), maker = host.maker(), key = options.key,
                     with_file = options.return_state_file, turn_end, name,
                     tell = options_.states.tell](TextEndState end, ChoiceEnd& told) {
    try {
      StoredSnapshot stored = snapshot_of(tokenizer, std::move(end), base.get(), turn_end);
      stored.maker = maker;
      stored.space = key;
      stored.name = name;
      told.state = shelf_.put(std::move(stored)).id;
      if (with_file) told.state_file = shelf_.file(key, told.state).value_or("");
    } catch (const std::exception& error) {
      if (tell) tell(error.what());
    }
  };
}

LocalService::Prepared LocalService::prepare(const StateTask& task) {
  TaskOptions options;
  options.max_tokens = 0;
  options.state = task.state;
  options.return_state = true;
  options.key = task.key;
  PromptTokens prompt;
  HostPtr host;
  const bool begins = task.state.empty();
  if (task.input) {
    host = loaded(task.model);
    if (const auto* text = std::get_if<std::string>(&*task.input)) {
      if (begins && host->checkpoint().begin_token) prompt.tokens.push_back(*host->checkpoint().begin_token);
      host->tokenizer().encode(*text, prompt.tokens);
    } else {
      prompt.tokens = std::get<std::vector<int32_t>>(*task.input);
    }
    check_tokens(prompt.tokens, *host, "input");
  } else {
    ChatTask chat;
    chat.model = task.model;
    chat.messages = task.messages;
    chat.chat_template = task.chat_template;
    const RenderedTask rendered = render(chat, false);
    host = rendered.host;
    prompt = tokens_of(*host, rendered.chat, begins);
    prompt.tokens.resize(static_cast<size_t>(prompt.ends.back()));
  }
  if (prompt.tokens.empty())
    fail_task(TaskError::Kind::bad_request, "the text is empty, expected one to make a state of", "input");
  prompt.space = task.key;
  Prepared prepared{.host = host, .plan = plan(*host, options)};
  prepared.plan.prompts.push_back(std::move(prompt));
  with_states(*host, prepared.plan, "", task.name);
  return prepared;
}

void LocalService::make_state(StateTask task, StateDone done) {
  auto sink = std::make_shared<StateSink>(*this, task.key, std::move(done));
  enqueue({.sink = std::move(sink), .prepare = [this, task = std::move(task)] { return prepare(task); }});
}

std::vector<KeptState> LocalService::states(const std::string& key) const { return shelf_.list(key); }

KeptState LocalService::state(const std::string& key, const std::string& state) const {
  const std::optional<KeptState> found = shelf_.find(key, state);
  if (!found) refuse_unknown_state(state);
  return *found;
}

std::string LocalService::state_file(const std::string& key, const std::string& state) {
  const std::optional<std::string> bytes = shelf_.file(key, state);
  if (!bytes) refuse_unknown_state(state);
  return *bytes;
}

KeptState LocalService::put_state_file(const std::string& key, const std::string& model,
                                       const std::string& name, const std::string& bytes) {
  const HostPtr host = loaded(model);
  return or_bad_request("body", [&] {
    StoredSnapshot stored =
        read_snapshot(snapshot_of_bytes(bytes), "the file", layout_of(*host), host->maker());
    check_tokens(stored.tokens, *host, "tokens");
    check_tokens(stored.pending, *host, "pending");
    const std::vector<float>& logits = stored.snapshot.logits;
    require(logits.empty() || std::ssize(logits) == host->model().config().vocab_size,
            "the file has {} logits, but the model has {} tokens", logits.size(),
            host->model().config().vocab_size);
    stored.name = name;
    stored.space = key;
    return shelf_.put(std::move(stored));
  });
}

LocalService::HostPtr LocalService::host_of(const KeptState& state) {
  for (const auto& one : entries_) {
    const ModelInfo model = info(*one);
    // The model of a run is known with its folder, "austen/model.safetensors".
    if (model.path != std::filesystem::path(state.model).filename()) continue;
    if (!model.digest.empty() && model.digest != state.digest) continue;
    HostPtr host = loaded(model.name);
    if (host->base().hash == state.digest) return host;
  }
  fail_task(TaskError::Kind::bad_request,
            fmt::format("the state {} was made with {}, which is not served", in_quotes(state.id),
                        in_quotes(state.model)),
            "state");
}

KeptState LocalService::mixed_state(const StateMix& mix) {
  if (mix.parts.empty()) fail_task(TaskError::Kind::bad_request, "parts is empty, expected states", "parts");
  const HostPtr host = host_of(state(mix.key, mix.parts.front().state));
  return or_bad_request("parts", [&] {
    std::vector<StoredSnapshotPtr> loaded;
    std::vector<MixPart> parts;
    for (const StateMix::Part& part : mix.parts) {
      loaded.push_back(shelf_.load(mix.key, part.state, layout_of(*host), host->maker()));
      if (!loaded.back()) refuse_unknown_state(part.state);
      parts.push_back({loaded.back().get(), part.weight});
    }
    StoredSnapshot made = mix.method == StateMix::Method::compose
                              ? composed_of(*host, parts)
                              : mixed(parts, mix.method == StateMix::Method::mean);
    made.name = mix.name;
    made.space = mix.key;
    return shelf_.put(std::move(made));
  });
}

void LocalService::mix_states(StateMix mix, StateDone done) {
  mixes_.add([this, mix = std::move(mix), done = std::move(done)] {
    KeptState made;
    std::optional<TaskError> error;
    try {
      made = mixed_state(mix);
    } catch (...) {
      error = task_error_of(std::current_exception());
    }
    done(made, error);
  });
}

void LocalService::erase_state(const std::string& key, const std::string& state) {
  if (!shelf_.erase(key, state)) refuse_unknown_state(state);
}

}  // namespace aviary
