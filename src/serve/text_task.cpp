#include "serve/text_task.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "serve/service.h"

namespace aviary {

struct TextTask::Choice {
  int64_t number = 0;
  uint64_t seed = 0;
  std::unique_ptr<Reply> reply;
  std::vector<int32_t> tokens;
  double logprob = 0;  // of all tokens
  int64_t reasoning_tokens = 0;
  std::vector<Delta> hidden;  // with best_of
  ChoiceEnd end = {};
};

struct TextTask::PromptRun {
  const PromptTokens* prompt = nullptr;
  int64_t known = 0;                   // tokens of the prompt that are not read again
  std::vector<int64_t> expected = {};  // places of which the cache was told
  std::vector<std::unique_ptr<Choice>> choices;
  bool siblings_started = false;
  int64_t unfinished = 0;
  std::vector<TokenLogprob> scores = {};  // of the prompt
  SnapshotPtr end = {};                   // after the prompt, if states are returned
};

namespace {

TokenLogprob described_token(const Tokenizer& tokenizer, int32_t token, double logprob,
                             const std::vector<ScoredToken>& alternatives) {
  TokenLogprob result{.token = token, .bytes = std::string(tokenizer.bytes_of(token)), .logprob = logprob};
  for (const ScoredToken& other : alternatives)
    result.top.push_back({other.token, std::string(tokenizer.bytes_of(other.token)), other.logprob});
  return result;
}

}  // namespace

TextTask::TextTask(std::shared_ptr<ModelHost> host, Plan plan, std::shared_ptr<TaskSink> sink)
    : host_(std::move(host)), sink_(std::move(sink)), plan_(std::move(plan)), usage_(plan_.usage) {}

TextTask::~TextTask() = default;

void TextTask::start() try {
  started_ = std::chrono::steady_clock::now();
  const int64_t per_prompt = std::max(plan_.options.choices, plan_.options.best_of);
  int64_t number = 0;
  for (const PromptTokens& prompt : plan_.prompts) {
    auto run = std::make_unique<PromptRun>();
    run->prompt = &prompt;
    run->unfinished = per_prompt;
    for (int64_t i = 0; i < per_prompt; ++i) {
      auto choice = std::make_unique<Choice>();
      choice->number = number++;
      choice->seed = plan_.options.sampling.seed + static_cast<uint64_t>(i);
      choice->reply = plan_.reply();
      run->choices.push_back(std::move(choice));
    }
    usage_.prompt_tokens += std::ssize(prompt.tokens);
    unfinished_ += per_prompt;
    runs_.push_back(std::move(run));
  }
  if (!begin_all(false)) host_->begin_later([self = shared_from_this()] { return self->begin_all(true); });
} catch (...) {
  fail(std::current_exception());
}

bool TextTask::waits(bool on_engine) {
  if (sink_->abandoned()) cancel();
  if (on_engine && plan_.grammar.valid() &&
      plan_.grammar.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    if (canceled_) fail_task(TaskError::Kind::unavailable, "the request was canceled");
    return true;
  }
  if (canceled_ || !uses_cache() || runs_.size() != 1) return false;
  const PromptTokens& prompt = *runs_.front()->prompt;
  return host_->cache().expects_more(prompt.space, prompt.tokens);
}

bool TextTask::begin_all(bool on_engine) try {
  if (waits(on_engine)) return false;
  usage_.wait_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  std::vector<StateCache::Hit> hits;  // all are counted before the first request can end
  for (const auto& run : runs_) hits.push_back(find(*run));
  usage_at_begin_ = usage_;
  const bool echoes = !plan_.prompts.empty() && !plan_.prompts.front().echo.empty();
  if (plan_.grammar.valid() && echoes) plan_.grammar.get();
  if (!plan_.grammar.valid() || echoes) {
    const std::lock_guard lock(reporting_);
    announce();
  }
  if (!plan_.echo_scores)
    for (const auto& run : runs_) echo(*run);
  for (size_t i = 0; i < runs_.size(); ++i) begin(*runs_[i], hits[i]);
  return true;
} catch (...) {
  fail(std::current_exception());
  return true;
}

void TextTask::announce() {
  if (!std::exchange(announced_, true)) sink_->started(usage_at_begin_);
}

bool TextTask::ready() {
  if (!plan_.grammar.valid()) return true;
  if (plan_.grammar.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return false;
  try {
    plan_.grammar.get();
  } catch (...) {
    fail(std::current_exception());
    return false;
  }
  const std::lock_guard lock(reporting_);
  if (!ended_) announce();
  return true;
}

StateCache::Hit TextTask::find(PromptRun& run) {
  if (!uses_cache()) return {};
  StateCache::Hit hit = host_->cache().find(run.prompt->space, run.prompt->tokens);
  run.known = hit.tokens;
  usage_.cached_tokens += hit.tokens;
  return hit;
}

void TextTask::begin(PromptRun& run, const StateCache::Hit& hit) {
  const PromptTokens& prompt = *run.prompt;
  const SnapshotPtr from = hit.snapshot ? hit.snapshot : prompt.start;
  if (hit.tokens == std::ssize(prompt.tokens) && from) {
    // There is nothing to read while a grammar is compiled.
    if (plan_.grammar.valid()) plan_.grammar.get();
    ready();
    run.siblings_started = true;
    run.end = from;
    for (const auto& choice : run.choices) submit_from(run, *choice, *from);
    return;
  }
  Request request;
  request.tokens.assign(prompt.tokens.begin() + hit.tokens, prompt.tokens.end());
  if (from)
    request.start = from->state;
  else if (host_->start())
    request.start = *host_->start();
  const int64_t total = std::ssize(prompt.tokens);
  request.keep_at = {total - hit.tokens};
  // Logits are kept where a prompt may end: at ends of messages, not between.
  if (plan_.options.use_cache) {
    request.keep_at.clear();
    const StateCacheOptions& cache = host_->cache().options();
    for (const int64_t at : snapshot_positions(hit.tokens, total, prompt.ends, hit.known, cache)) {
      const bool is_end = at == total || at == hit.known ||
                          std::find(prompt.ends.begin(), prompt.ends.end(), at) != prompt.ends.end();
      (is_end ? request.keep_at : request.keep_states_at).push_back(at - hit.tokens);
      // The last token is not read before the grammar is compiled: nobody should wait for that.
      if (uses_cache() && !(at == total && plan_.grammar.valid())) run.expected.push_back(at);
    }
  }
  if (plan_.grammar.valid()) request.ready = [this] { return ready(); };
  if (plan_.options.progress)
    request.progress = [this, &run](int64_t read) {
      const std::lock_guard lock(reporting_);
      if (!announced_ || ended_) return;
      sink_->progress(run.known + read, run.known, std::ssize(run.prompt->tokens));
    };
  if (plan_.echo_scores)
    request.score = [this, &run](int64_t index, std::span<const float> logits) { score(run, index, logits); };
  try {
    host_->cache().expect(prompt.space, prompt.tokens, run.expected);
    submit(run, *run.choices.front(), std::move(request));
  } catch (...) {
    expect_no_more(run, total);
    throw;
  }
}

void TextTask::expect_no_more(PromptRun& run, int64_t read) {
  const auto passed = std::upper_bound(run.expected.begin(), run.expected.end(), read);
  if (passed == run.expected.begin()) return;
  host_->cache().expect_no_more(run.prompt->space, run.prompt->tokens, {run.expected.begin(), passed});
  run.expected.erase(run.expected.begin(), passed);
  host_->wake();
}

void TextTask::submit_from(PromptRun& run, Choice& choice, const Snapshot& snapshot) {
  Request request;
  request.start = snapshot.state;
  request.logits = snapshot.logits;
  submit(run, choice, std::move(request));
}

void TextTask::submit(PromptRun& run, Choice& choice, Request request) {
  request.writing = plan_.writing;
  request.writing.sampling.seed = choice.seed;
  if (request.writing.sampling.repeat_penalty != 1) {
    std::vector<int32_t> before = run.prompt->before;
    before.insert(before.end(), run.prompt->tokens.begin(), run.prompt->tokens.end());
    set_before(request.writing.sampling, before);
  }
  request.constraint = plan_.constraint();
  const auto self = shared_from_this();
  // Of a request that begins at the end of the prompt nothing of the prompt is left to be read.
  const int64_t before = std::ssize(run.prompt->tokens) - std::ssize(request.tokens);
  if (plan_.options.use_cache) request.keep_every = host_->cache().options().spacing;
  request.keep = [self, this, &run, &choice, before](int64_t read, const State& state,
                                                     std::span<const float> logits) {
    keep(run, &choice, before + read, state, logits);
  };
  request.waits = [self, this, &run] {
    if (sink_->abandoned()) cancel();
    return run.siblings_started && sink_->busy();  // others may wait until the prompt is read
  };
  request.show = [self, this, &choice](const Writer::Piece& piece) { return show(choice, piece); };
  request.done = [self, this, &run, &choice](Finished finished) { done(run, choice, std::move(finished)); };
  const Engine::Ticket ticket = host_->submit(std::move(request));
  const std::lock_guard lock(mutex_);
  tickets_.push_back(ticket);
  if (canceled_) host_->cancel(ticket);
}

void TextTask::cancel() {
  const std::lock_guard lock(mutex_);
  if (canceled_.exchange(true)) return;
  for (const Engine::Ticket ticket : tickets_) host_->cancel(ticket);
  host_->wake();
}

void TextTask::keep(PromptRun& run, Choice* choice, int64_t read, const State& state,
                    std::span<const float> logits) {
  const std::vector<int32_t>& prompt = run.prompt->tokens;
  const bool at_end = read == std::ssize(prompt);
  const bool in_prompt = read <= std::ssize(prompt);
  if (plan_.options.use_cache) {
    std::vector<int32_t> tokens(prompt.begin(), prompt.begin() + std::min(read, std::ssize(prompt)));
    if (!in_prompt) tokens.insert(tokens.end(), choice->tokens.begin(), choice->tokens.end());
    const bool is_end =
        at_end || std::find(run.prompt->ends.begin(), run.prompt->ends.end(), read) != run.prompt->ends.end();
    if (std::ssize(tokens) == read)
      host_->remember(run.prompt->space, std::move(tokens), {state, {logits.begin(), logits.end()}},
                      is_end ? StateCache::Kind::end : StateCache::Kind::between);
  }
  expect_no_more(run, read);
  if (!at_end || run.siblings_started) return;
  run.siblings_started = true;
  if (plan_.echo_scores) echo(run);
  if (run.choices.size() < 2 && !plan_.options.return_state) return;
  const auto snapshot = std::make_shared<const Snapshot>(Snapshot{state, {logits.begin(), logits.end()}});
  if (plan_.options.return_state) run.end = snapshot;
  for (size_t i = 1; i < run.choices.size(); ++i) submit_from(run, *run.choices[i], *snapshot);
}

void TextTask::score(PromptRun& run, int64_t index, std::span<const float> logits) {
  const std::vector<int32_t>& tokens = run.prompt->tokens;
  const auto describe = [&](int32_t token, double logprob, const std::vector<ScoredToken>& top) {
    run.scores.push_back(described_token(host_->tokenizer(), token, logprob, top));
  };
  if (index == 0) describe(tokens[0], std::numeric_limits<double>::quiet_NaN(), {});
  if (index + 1 >= std::ssize(tokens)) return;
  const int32_t next = tokens[static_cast<size_t>(index) + 1];
  describe(next, logprob_of(logits, next), most_probable(logits, plan_.options.top_logprobs));
}

void TextTask::echo(PromptRun& run) {
  if (run.prompt->echo.empty()) return;
  for (const auto& choice : run.choices) {
    Delta delta;
    delta.content = run.prompt->echo;
    delta.logprobs = run.scores;
    report(*choice, std::move(delta));
  }
}

bool TextTask::show(Choice& choice, const Writer::Piece& piece) {
  if (canceled_) return false;
  const bool ends = plan_.writing.stop_at_end_of_text && host_->tokenizer().end_of_text() == piece.token;
  std::vector<Delta> deltas = choice.reply->push(piece.text);
  if (!ends) {
    choice.tokens.push_back(piece.token);
    choice.logprob += piece.logprob;
    if (choice.reply->thinks()) ++choice.reasoning_tokens;
    if (plan_.options.logprobs) {
      if (deltas.empty()) deltas.emplace_back();
      deltas.front().logprobs.push_back(
          described_token(host_->tokenizer(), piece.token, piece.logprob, piece.alternatives));
    }
  }
  for (Delta& delta : deltas) report(choice, std::move(delta));
  return true;
}

void TextTask::report(Choice& choice, Delta delta) {
  delta.choice = choice.number;
  if (delta.content.empty() && delta.reasoning.empty() && !delta.call && delta.logprobs.empty()) return;
  if (plan_.options.best_of > 0) {
    choice.hidden.push_back(std::move(delta));
    return;
  }
  const std::lock_guard lock(reporting_);
  if (!ended_) sink_->delta(delta);
}

void TextTask::done(PromptRun& run, Choice& choice, Finished finished) {
  expect_no_more(run, std::ssize(run.prompt->tokens));
  if (finished.end == TextEnd::failed) return fail(finished.error);
  for (Delta& delta : choice.reply->finish()) report(choice, std::move(delta));
  choice.end = end_of(run, choice, finished);
  if (plan_.options.best_of == 0) {
    const std::lock_guard lock(reporting_);
    if (!ended_) {
      announce();
      sink_->choice_end(choice.end);
    }
  } else if (run.unfinished == 1) {
    report_best(run);
  }
  --run.unfinished;
  usage_.tokens += finished.tokens;
  usage_.reasoning_tokens += choice.reasoning_tokens;
  usage_.prompt_seconds = std::max(usage_.prompt_seconds, finished.prompt_seconds);
  usage_.seconds = std::max(usage_.seconds, finished.seconds);
  // A canceled prompt has choices that were never begun.
  if (!run.siblings_started) unfinished_ -= run.unfinished;
  if (--unfinished_ > 0 || ended_) return;
  plan_.ended(usage_, false);
  const std::lock_guard lock(reporting_);
  if (!ended_.exchange(true)) sink_->finished(usage_);
}

ChoiceEnd TextTask::end_of(PromptRun& run, Choice& choice, Finished& finished) {
  const PromptTokens& prompt = *run.prompt;
  std::vector<int32_t> tokens = prompt.tokens;
  tokens.insert(tokens.end(), choice.tokens.begin(), choice.tokens.end());
  const State* first = prompt.start ? &prompt.start->state : host_->start();
  const int64_t read = finished.state.position() - (first ? first->position() : 0);
  ChoiceEnd end{.choice = choice.number, .tokens = finished.tokens};
  if (plan_.options.use_cache && read > 0 && read <= std::ssize(tokens))
    host_->remember(prompt.space, {tokens.begin(), tokens.begin() + read}, {finished.state},
                    StateCache::Kind::end);
  if (plan_.options.return_state && plan_.keep_state && read >= 0 && read <= std::ssize(tokens))
    plan_.keep_state({.prompt = prompt.tokens,
                      .text = choice.tokens,
                      .stop = finished.stop,
                      .state = std::move(finished.state),
                      .read = read,
                      .prompt_end = run.end},
                     end);
  const std::vector<std::string>& stops = plan_.options.stop;
  if (std::find(stops.begin(), stops.end(), finished.stop) != stops.end()) end.stop_string = finished.stop;
  end.reason = finished.end == TextEnd::length     ? FinishReason::length
               : finished.end == TextEnd::canceled ? FinishReason::canceled
               : choice.reply->has_calls()         ? FinishReason::tool_calls
                                                   : FinishReason::stop;
  return end;
}

void TextTask::report_best(PromptRun& run) {
  std::vector<Choice*> order;
  for (const auto& choice : run.choices) order.push_back(choice.get());
  std::stable_sort(order.begin(), order.end(), [](const Choice* a, const Choice* b) {
    const auto mean = [](const Choice* choice) {
      return choice->tokens.empty() ? 0 : choice->logprob / static_cast<double>(choice->tokens.size());
    };
    return mean(a) > mean(b);
  });
  const int64_t first = (run.prompt - plan_.prompts.data()) * plan_.options.choices;
  const std::lock_guard lock(reporting_);
  for (int64_t i = 0; i < plan_.options.choices && !ended_; ++i) {
    Choice& choice = *order[static_cast<size_t>(i)];
    for (Delta& delta : choice.hidden) {
      delta.choice = first + i;
      sink_->delta(delta);
    }
    choice.end.choice = first + i;
    sink_->choice_end(choice.end);
  }
}

void TextTask::fail(const std::exception_ptr& error) {
  const TaskError what = task_error_of(error);
  {
    const std::lock_guard lock(reporting_);
    if (ended_.exchange(true)) return;
    sink_->failed(what);
  }
  plan_.ended(usage_, true);
  cancel();
}

}  // namespace aviary
