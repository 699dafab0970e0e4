#include "infer/engine.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/error.h"
#include "base/human.h"
#include "base/threads.h"

namespace aviary {

// A request that the engine works on.
struct Engine::Text {
  Text(Ticket its_ticket, Request its_request, Writer its_writer, int64_t its_bytes)
      : ticket(its_ticket),
        request(std::move(its_request)),
        writer(std::move(its_writer)),
        lookahead(request.draft),
        bytes(its_bytes) {}

  bool reads() const { return read < request.tokens.size(); }
  // Whether a copy of the state is wanted when `count` tokens of the prompt are read: with logits, or alone.
  bool keeps_at(size_t count) const { return request.keep && has(request.keep_at, count); }
  bool keeps_state_at(size_t count) const { return request.keep && has(request.keep_states_at, count); }
  static bool has(const std::vector<int64_t>& places, size_t count) {
    return std::binary_search(places.begin(), places.end(), static_cast<int64_t>(count));
  }
  bool waits() const { return request.waits && request.waits(); }
  bool ready() const { return !request.ready || request.ready(); }
  // A text with a limit of 0 tokens has ended before its prompt is read.
  bool over() const {
    const TextEnd end = writer.end();
    return end == TextEnd::canceled || end == TextEnd::failed || (writer.ended() && !reads());
  }
  void fail(std::exception_ptr what) {
    error = std::move(what);
    writer.finish(TextEnd::failed);
  }

  const Ticket ticket;
  Request request;
  Writer writer;
  Lookahead lookahead;
  State state;
  const int64_t bytes;                // maximum bytes of the state
  bool admitted = false;              // counted in the memory limit
  size_t read = 0, reported = 0;      // tokens of the prompt
  int64_t kept = 0;                   // generated tokens when the state was last kept
  int64_t wanted = 0;                 // rows of logits wanted from the step
  std::vector<Writer::Piece> pieces;  // to be shown
  std::exception_ptr error;
  Clock::time_point started, prompt_read;
};

namespace {

constexpr size_t most_forced = 64;  // tokens of one text in a step, which must stay short

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Engine::Engine(Runner& runner, const Tokenizer& tokenizer, const EngineOptions& options)
    : runner_(runner),
      tokenizer_(tokenizer),
      options_(options),
      cost_(token_cost(runner.model())),
      vocabulary_(runner.model().config().vocab_size) {
  require(tokenizer.vocab_size() <= vocabulary_,
          "generate: the tokenizer has {} tokens, but the model only {}", tokenizer.vocab_size(),
          vocabulary_);
  require(
      options.texts > 0 && options.chunk > 0 && options.prompt_rows > 0 && options.state_bytes >= 0,
      "engine: {} texts, chunks of {} tokens, {} tokens of prompts in a step, {} bytes of states; expected "
      "more than 0, and 0 or more bytes",
      options.texts, options.chunk, options.prompt_rows, options.state_bytes);
}

Engine::~Engine() = default;

int64_t Engine::state_bytes(const Request& request) const {
  constexpr int64_t longest = int64_t{1} << 40;
  int64_t tokens = std::ssize(request.tokens) + std::min(request.writing.tokens, longest);
  if (request.start) tokens += request.start->position();
  if (cost_.context_limit > 0) tokens = std::min(tokens, cost_.context_limit);
  const auto capacity = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(tokens)));
  const int64_t bytes = cost_.state_bytes + (cost_.state_growth > 0 ? cost_.state_growth * capacity : 0);
  return request.draft > 0 ? 2 * bytes : bytes;  // including the copy from before the guesses
}

Engine::Ticket Engine::submit(Request request) {
  require(!request.tokens.empty() || (request.start && std::ssize(request.logits) == vocabulary_),
          "engine: a request without tokens to read, and without a state and logits to go on from");
  require(std::is_sorted(request.keep_at.begin(), request.keep_at.end()) &&
              std::is_sorted(request.keep_states_at.begin(), request.keep_states_at.end()),
          "engine: the numbers of tokens after which the state is kept do not increase");
  for (size_t i = 0; i < request.tokens.size(); ++i)
    require(request.tokens[i] >= 0 && request.tokens[i] < vocabulary_,
            "engine: token {} at position {} of the prompt is outside the vocabulary of {}",
            request.tokens[i], i, vocabulary_);
  require(!request.tokens.empty() || !request.ready, "engine: a request without tokens that is not ready");
  require(request.draft >= 0, "engine: {} tokens to guess ahead, expected 0 or more", request.draft);
  if (request.start)
    require(runner_.takes(*request.start),
            "engine: the start state is of no model, or of one of another version or other sizes");
  const int64_t bytes = state_bytes(request);
  require(options_.state_bytes == 0 || bytes <= options_.state_bytes,
          "engine: the state of this text may take {}, more than the limit of {}; ask for fewer tokens",
          human_bytes(bytes), human_bytes(options_.state_bytes));
  Writer writer(tokenizer_, request.writing, std::move(request.constraint));
  const std::lock_guard lock(mutex_);
  const Ticket ticket = ++last_ticket_;
  submitted_.push_back(std::make_unique<Text>(ticket, std::move(request), std::move(writer), bytes));
  ++unfinished_;
  return ticket;
}

void Engine::cancel(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  canceled_.push_back(ticket);
}

int64_t Engine::unfinished() const {
  const std::lock_guard lock(mutex_);
  return unfinished_;
}

bool Engine::step() {
  take_orders();
  admit();
  plan();
  if (!parts_.empty()) run();
  deliver();
  return unfinished() > 0;
}

void Engine::take_orders() {
  const std::lock_guard lock(mutex_);
  for (std::unique_ptr<Text>& text : submitted_) waiting_.push_back(std::move(text));
  submitted_.clear();
  for (const Ticket ticket : canceled_) {
    const auto is_it = [ticket](const std::unique_ptr<Text>& text) { return text->ticket == ticket; };
    auto found = std::find_if(texts_.begin(), texts_.end(), is_it);
    if (found == texts_.end()) {
      const auto waiting = std::find_if(waiting_.begin(), waiting_.end(), is_it);
      if (waiting == waiting_.end()) continue;  // finished
      texts_.push_back(std::move(*waiting));
      waiting_.erase(waiting);
      found = texts_.end() - 1;
    }
    (*found)->writer.finish(TextEnd::canceled);
  }
  canceled_.clear();
}

void Engine::admit() {
  while (!waiting_.empty() && std::ssize(texts_) < options_.texts &&
         (options_.state_bytes == 0 || bytes_ + waiting_.front()->bytes <= options_.state_bytes)) {
    texts_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    Text& text = *texts_.back();
    text.admitted = true;
    bytes_ += text.bytes;
    text.started = text.prompt_read = Clock::now();
    try {
      text.state = text.request.start ? std::move(*text.request.start) : runner_.new_state();
      if (text.reads())
        readers_.push_back(&text);
      else if (!text.over())
        write(text, text.request.logits);
    } catch (...) {
      text.fail(std::current_exception());
    }
  }
}

void Engine::plan() {
  parts_.clear();
  tokens_.clear();
  wanted_.clear();
  sequences_ = {};
  for (const std::unique_ptr<Text>& text : texts_)
    if (!text->over() && !text->reads() && !text->waits())
      add(*text, text->lookahead.step(), text->lookahead.first_row());
  int64_t rows = 0;
  const int64_t most = prompt_rows_beside(std::ssize(parts_));
  for (size_t turns = readers_.size(); turns > 0; --turns) {
    Text& text = *readers_.front();
    if (text.over() || text.waits()) {
      readers_.pop_front();
      if (!text.over()) readers_.push_back(&text);
      continue;
    }
    std::span<const int32_t> chunk = next_chunk(text, most);
    if (text.read + chunk.size() == text.request.tokens.size() && !text.ready())
      chunk = chunk.first(chunk.size() - 1);
    if (chunk.empty()) {
      readers_.pop_front();
      readers_.push_back(&text);
      continue;
    }
    rows += std::ssize(chunk);
    if (rows > std::ssize(chunk) && rows > most) break;
    readers_.pop_front();
    const size_t end = text.read + chunk.size();
    const bool last = end == text.request.tokens.size();
    const bool wanted = (last && !text.writer.ended()) || text.keeps_at(end);
    add(text, chunk, text.request.score ? 0 : wanted ? chunk.size() - 1 : chunk.size());
    if (!last) readers_.push_back(&text);
  }
}

int64_t Engine::prompt_rows_beside(int64_t texts) const {
  // A step of n texts reads all weights once, and takes as long as reading about 16 + 4 n tokens of a prompt:
  // 0.19B in bf16 on two cores with AVX-512, n from 1 to 32.
  const bool any_cut = cost_.state_growth == 0;  // the bits do not depend on where a prompt is cut
  return texts > 0 && any_cut ? std::min(options_.prompt_rows, 16 + 4 * texts) : options_.prompt_rows;
}

std::span<const int32_t> Engine::next_chunk(const Text& text, int64_t most) const {
  const std::span<const int32_t> rest = std::span(text.request.tokens).subspan(text.read);
  size_t size = std::min(rest.size(), static_cast<size_t>(options_.chunk));
  if (most < options_.chunk && cost_.state_growth == 0) size = std::min(size, static_cast<size_t>(most));
  for (const std::vector<int64_t>* places : {&text.request.keep_at, &text.request.keep_states_at}) {
    const auto keep = std::upper_bound(places->begin(), places->end(), static_cast<int64_t>(text.read));
    if (text.request.keep && keep != places->end())
      size = std::min(size, static_cast<size_t>(*keep) - text.read);
  }
  return rest.first(size);
}

void Engine::add(Text& text, std::span<const int32_t> tokens, size_t first_row) {
  const int64_t begin = sequences_.rows();
  parts_.push_back(&text);
  tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
  sequences_.append(std::ssize(tokens));
  text.wanted = 0;
  for (size_t row = first_row; row < tokens.size(); ++row, ++text.wanted)
    wanted_.push_back(begin + static_cast<int64_t>(row));
}

Tensor Engine::read() {
  states_.clear();
  for (Text* text : parts_) states_.push_back(&text->state);
  return runner_.logits(tokens_, sequences_, states_, wanted_);
}

void Engine::run() {
  Tensor logits;
  try {
    logits = read();
  } catch (...) {
    for (Text* text : parts_) text->fail(std::current_exception());
    return;
  }
  writers_.clear();
  float* row = wanted_.empty() ? nullptr : logits.as<float>();
  for (size_t i = 0; i < parts_.size(); ++i) {
    Text& text = *parts_[i];
    int64_t prompt_rows = 0;
    if (text.reads()) {
      prompt_rows = sequences_.length(static_cast<int64_t>(i));
      text.read += static_cast<size_t>(prompt_rows);
      text.prompt_read = Clock::now();
      if (!text.reads()) text.lookahead.has_read(text.request.tokens);
    }
    const int64_t numbers = text.wanted * vocabulary_;
    const std::span<float> rows(row, static_cast<size_t>(numbers));
    const bool writes = text.wanted > 0 && handle(text, rows, prompt_rows);
    if (prompt_rows > 0 && text.keeps_state_at(text.read) && !text.keeps_at(text.read)) keep_state(text);
    if (writes && !text.over())
      writers_.emplace_back(&text, prompt_rows > 0 ? rows.last(static_cast<size_t>(vocabulary_)) : rows);
    row += numbers;
  }
  parallel_for(std::ssize(writers_), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const auto& [text, rows] = writers_[static_cast<size_t>(i)];
      write(*text, rows);
    }
  });
}

void Engine::keep_state(Text& text) {
  try {
    text.request.keep(static_cast<int64_t>(text.read), text.state, {});
  } catch (...) {
    text.fail(std::current_exception());
  }
}

bool Engine::handle(Text& text, std::span<const float> logits, int64_t prompt_rows) {
  const auto size = static_cast<size_t>(vocabulary_);
  const std::span<const float> last = logits.last(size);
  const Request& request = text.request;
  try {
    if (request.score && prompt_rows > 0)
      for (size_t i = 0; i * size < logits.size(); ++i)
        request.score(static_cast<int64_t>(text.read) - prompt_rows + static_cast<int64_t>(i),
                      logits.subspan(i * size, size));
    const int64_t written = text.writer.tokens();
    const bool every = prompt_rows == 0 && request.keep_every > 0 && request.draft == 0 &&
                       written - text.kept >= request.keep_every;
    if (every) text.kept = written;
    if (request.keep && (every || (prompt_rows > 0 && text.keeps_at(text.read))))
      request.keep(static_cast<int64_t>(text.read) + written, text.state, last);
  } catch (...) {
    text.fail(std::current_exception());
    return false;
  }
  return !text.reads() && !text.writer.ended();
}

void Engine::write(Text& text, std::span<float> logits) {
  const auto size = static_cast<size_t>(vocabulary_);
  try {
    std::vector<int32_t> tokens;
    do {
      const size_t row = text.lookahead.row() - text.lookahead.first_row();
      text.pieces.push_back(text.writer.push(logits.subspan(row * size, size)));
      tokens.assign(1, text.pieces.back().token);
      for (; tokens.size() < most_forced && text.writer.is_forced();
           tokens.push_back(text.pieces.back().token))
        text.pieces.push_back(text.writer.push_forced());
    } while (!text.writer.ended() && text.lookahead.follow(tokens, text.state));
  } catch (...) {
    text.fail(std::current_exception());
  }
}

void Engine::deliver() {
  for (size_t i = 0; i < texts_.size();) {
    Text& text = *texts_[i];
    show(text);
    if (!text.over()) {
      ++i;
      continue;
    }
    const std::unique_ptr<Text> held = std::move(texts_[i]);
    texts_.erase(texts_.begin() + static_cast<ptrdiff_t>(i));
    std::erase(readers_, held.get());
    finish(*held);
  }
}

void Engine::show(Text& text) {
  try {
    if (text.reported != text.read && text.request.progress)
      text.request.progress(static_cast<int64_t>(text.read));
    text.reported = text.read;
    for (size_t i = 0; i < text.pieces.size() && text.request.show; ++i) {
      if (text.request.show(text.pieces[i])) continue;
      if (i + 1 < text.pieces.size() || !text.writer.ended()) text.writer.finish(TextEnd::canceled);
      break;
    }
  } catch (...) {
    text.fail(std::current_exception());
  }
  text.pieces.clear();
}

void Engine::finish(Text& text) {
  if (text.admitted) bytes_ -= text.bytes;
  {
    const std::lock_guard lock(mutex_);
    --unfinished_;
  }
  if (!text.request.done) return;
  text.lookahead.drop_guesses(text.state);
  text.request.done({.end = text.writer.end(),
                     .stop = std::string(text.writer.matched_stop()),
                     .error = text.error,
                     .state = std::move(text.state),
                     .prompt_tokens = static_cast<int64_t>(text.read),
                     .tokens = text.writer.tokens(),
                     .guessed = text.lookahead.guessed(),
                     .guessed_right = text.lookahead.guessed_right(),
                     .prompt_seconds = seconds_between(text.started, text.prompt_read),
                     .seconds = seconds_between(text.prompt_read, Clock::now())});
}

}  // namespace aviary
