// The public Model and State: checks of the arguments, and calls into the rooms below.
#include "api/inside.h"
// After it, because of the names:
#include <aviary/aviary.hpp>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <utility>

namespace aviary {
inline namespace v0 {
namespace {

constexpr int64_t chunk = 256;  // tokens read at a time
constexpr int64_t largest_position = int64_t{1} << 48;
constexpr char state_magic[] = {'A', 'V', 'S', 'T', 'A', 'T', 'E', '1'};

// The header before the numbers of a state.
struct StateHeader {
  char magic[8];
  uint64_t kind;
  int64_t position, capacity;
};

StateHeader header_of(uint64_t kind, const inside::NetworkState& values) {
  StateHeader header{{}, kind, values.position(), values.capacity()};
  std::memcpy(header.magic, state_magic, sizeof(state_magic));
  return header;
}

// A hash of everything that determines the meaning of a state: models with the same value may exchange
// states. It is part of saved states, so it must remain FNV-1a, which the xxHash library does not provide.
uint64_t kind_of(const inside::Network& network) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  auto add = [&](const std::string& text) {
    for (char c : text + '\n') hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  };
  add(network.config().version);
  for (const StateSpec& spec : network.state_specs()) add(spec.name + to_string(spec.shape));
  return hash;
}

// Nothing for the default.
std::optional<kernels::Precision> chosen(Precision precision) {
  if (precision == Precision::automatic) return {};
  if (precision == Precision::fastest) return kernels::fastest_precision();
  return precision == Precision::bf16 ? kernels::Precision::bf16 : kernels::Precision::f32;
}

inside::Request request_of(const GenerateOptions& options) {
  const SamplingOptions& from = options.sampling;
  inside::Request request{.tokens = options.tokens, .stop = options.stop};
  SamplerOptions& to = request.sampling;
  to.temperature = from.temperature;
  to.top_k = from.top_k;
  to.top_p = from.top_p;
  to.top_a = from.top_a;
  to.top_p_x = from.top_p_x;
  to.presence_penalty = from.presence_penalty;
  to.frequency_penalty = from.frequency_penalty;
  to.penalty_decay = from.penalty_decay;
  to.seed = from.seed;
  return request;
}

Generation::End public_end(TextEnd end) {
  switch (end) {
    case TextEnd::stop:
      return Generation::End::stop;
    case TextEnd::end_of_text:
      return Generation::End::end_of_text;
    case TextEnd::canceled:
      return Generation::End::interrupted;
    default:
      return Generation::End::length;
  }
}

}  // namespace

// ---- State

struct State::Implementation {
  uint64_t kind = 0;  // kind_of the models that it belongs to
  inside::NetworkState values;
};

State::State() = default;
State::State(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}
State::State(const State& other)
    : implementation_(other.empty() ? nullptr : std::make_unique<Implementation>(*other.implementation_)) {}
State& State::operator=(const State& other) {
  if (this != &other) *this = State(other);
  return *this;
}
State::State(State&&) noexcept = default;
State& State::operator=(State&&) noexcept = default;
State::~State() = default;

bool State::empty() const { return !implementation_; }

double State::max_difference(const State& other) const {
  require(!empty() && !other.empty() && implementation_->kind == other.implementation_->kind,
          "State::max_difference: the states are of models of different versions or sizes, or empty");
  return largest_difference(implementation_->values, other.implementation_->values);
}

std::vector<std::byte> State::to_bytes() const {
  require(!empty(), "State::to_bytes: the state is of no model; make one with Model::new_state()");
  const inside::NetworkState& values = implementation_->values;
  const StateHeader header = header_of(implementation_->kind, values);
  std::vector<std::byte> bytes(sizeof(header) + static_cast<size_t>(values.bytes()));
  std::byte* to = bytes.data();
  auto append = [&](const void* from, size_t count) {
    std::memcpy(to, from, count);
    to += count;
  };
  append(&header, sizeof(header));
  for (size_t i = 0; i < values.size(); ++i) append(values[i].data(), static_cast<size_t>(values[i].bytes()));
  return bytes;
}

// ---- Model

namespace {

// One runner for each call that is computing now. Runners are kept for later calls, which can reuse their
// memory; their number is the largest number of calls at the same time.
class RunnerPool {
 public:
  explicit RunnerPool(inside::Network& network) : network_(network) {}

  struct GiveBack {
    RunnerPool* pool = nullptr;
    void operator()(Runner* runner) const {
      std::lock_guard lock(pool->mutex_);
      pool->idle_.emplace_back(runner);
    }
  };
  using Lease = std::unique_ptr<Runner, GiveBack>;

  Lease take() {
    std::lock_guard lock(mutex_);
    if (idle_.empty()) return Lease(new Runner(network_), {this});
    Lease runner(idle_.back().release(), {this});
    idle_.pop_back();
    return runner;
  }

 private:
  inside::Network& network_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Runner>> idle_;
};

}  // namespace

struct Model::Implementation {
  Implementation(Checkpoint checkpoint, std::filesystem::path file, bool any)
      : path(std::move(file)),
        any_base(any),
        network(std::move(checkpoint.model)),
        tokenizer(std::move(checkpoint.tokenizer)),
        runners(*network),
        kind(kind_of(*network)) {
    const ModelConfig& config = network->config();
    info = {.version = config.version,
            .layers = config.n_layer,
            .width = config.n_embd,
            .vocab_size = config.vocab_size,
            .context = config.ctx_len,
            .begin_token = checkpoint.begin_token.value_or(-1),
            .parameters = network->parameters().count(),
            .precision = network->parameters().packed_for() == kernels::Precision::bf16 ? Precision::bf16
                                                                                        : Precision::f32};
  }

  const Tokenizer& require_tokenizer(const char* function) const {
    require(tokenizer != nullptr,
            "Model::{}: the model came without a tokenizer; name its vocabulary in LoadOptions::tokenizer",
            function);
    return *tokenizer;
  }

  // The numbers of `state`, after all checks required for a forward pass.
  inside::NetworkState& check(const char* function, std::span<const int32_t> tokens, State& state) const {
    require(!tokens.empty(), "Model::{}: no tokens to read", function);
    for (size_t i = 0; i < tokens.size(); ++i)
      require(tokens[i] >= 0 && tokens[i] < info.vocab_size,
              "Model::{}: token {} at position {} is outside the vocabulary of {}", function, tokens[i], i,
              info.vocab_size);
    require(!state.empty() && state.implementation_->kind == kind,
            "Model::{}: the state is of {}; make one with new_state()", function,
            state.empty() ? "no model" : "a model of another version or other sizes");
    return state.implementation_->values;
  }

  const std::filesystem::path path;  // of the file
  const bool any_base;
  std::unique_ptr<inside::Network> network;
  TokenizerPtr tokenizer;  // null: none
  RunnerPool runners;
  const uint64_t kind;
  ModelInfo info;
};

Model::Model(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Model Model::load(const std::filesystem::path& path, const LoadOptions& options) {
  OpenOptions open{.tokenizer = options.tokenizer,
                   .any_tokenizer = options.any_tokenizer,
                   .precision = chosen(options.precision)};
  if (options.cache) open.cache.emplace();
  try {
    for (const std::string& adapter : options.adapters) {
      open.adapters.push_back(adapter_request(adapter));
      open.adapters.back().any_base = options.any_base;
    }
    return Model(
        std::make_unique<Implementation>(open_model(path, open), model_file_at(path), options.any_base));
  } catch (const std::filesystem::filesystem_error& error) {
    fail("{}", sentence_of(error));
  }
}

const ModelInfo& Model::info() const { return implementation_->info; }

State Model::new_state() const {
  return State(std::make_unique<State::Implementation>(
      State::Implementation{implementation_->kind, implementation_->runners.take()->new_state()}));
}

State Model::tuned_state(const std::filesystem::path& path) const {
  const Implementation& model = *implementation_;
  return State(std::make_unique<State::Implementation>(
      State::Implementation{model.kind, load_state(path, *model.network, model.path, model.any_base)}));
}

State Model::state_from_bytes(std::span<const std::byte> bytes) const {
  State state = new_state();
  inside::NetworkState& values = state.implementation_->values;
  StateHeader header;
  require(bytes.size() >= sizeof(header) && std::memcmp(bytes.data(), state_magic, sizeof(state_magic)) == 0,
          "Model::state_from_bytes: these {} bytes are not a state", bytes.size());
  std::memcpy(&header, bytes.data(), sizeof(header));
  require(header.kind == implementation_->kind,
          "Model::state_from_bytes: the state is of a model of another version or other sizes");
  require(header.position >= 0 && header.position <= largest_position && header.capacity >= 0 &&
              header.capacity <= static_cast<int64_t>(bytes.size()) &&
              (values.capacity() == 0 || header.position <= header.capacity ||
               implementation_->network->context_limit() > 0),
          "Model::state_from_bytes: the state tells of {} tokens and room for {}; it is damaged",
          header.position, header.capacity);
  values.reserve(header.capacity);
  values.set_position(header.position);
  require(bytes.size() == sizeof(header) + static_cast<size_t>(values.bytes()) &&
              values.capacity() == header.capacity,
          "Model::state_from_bytes: the state has {} bytes, expected {}; it is cut short or damaged",
          bytes.size(), sizeof(header) + static_cast<size_t>(values.bytes()));
  const std::byte* from = bytes.data() + sizeof(header);
  for (size_t i = 0; i < values.size(); from += values[i].bytes(), ++i)
    std::memcpy(values[i].data(), from, static_cast<size_t>(values[i].bytes()));
  return state;
}

std::vector<float> Model::forward(std::span<const int32_t> tokens, State& state) {
  inside::NetworkState& values = implementation_->check("forward", tokens, state);
  return read_tokens(*implementation_->runners.take(), tokens, values, chunk);
}

std::vector<float> Model::forward_all(std::span<const int32_t> tokens, State& state) {
  inside::NetworkState& values = implementation_->check("forward_all", tokens, state);
  const RunnerPool::Lease runner = implementation_->runners.take();
  std::vector<float> logits;
  logits.reserve(tokens.size() * static_cast<size_t>(vocab_size()));
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const auto part = tokens.subspan(begin, std::min<size_t>(tokens.size() - begin, chunk));
    const Tensor rows =
        runner->all_logits(part, Sequences::uniform(1, static_cast<int64_t>(part.size())), values);
    logits.insert(logits.end(), rows.as<float>(), rows.as<float>() + rows.count());
  }
  return logits;
}

std::vector<float> Model::forward_batch(std::span<const int32_t> tokens, std::span<State* const> states) {
  require(tokens.size() == states.size(), "Model::forward_batch: {} tokens for {} states", tokens.size(),
          states.size());
  const int64_t count = std::ssize(tokens);
  for (size_t i = 0; i < tokens.size(); ++i) {
    implementation_->check("forward_batch", tokens.subspan(i, 1), *states[i]);
    require(std::find(states.begin(), states.begin() + static_cast<int64_t>(i), states[i]) ==
                states.begin() + static_cast<int64_t>(i),
            "Model::forward_batch: state {} is there twice", i);
  }
  require(count > 0, "Model::forward_batch: no tokens to read");
  std::vector<inside::NetworkState*> own;
  for (State* state : states) own.push_back(&state->implementation_->values);
  const RunnerPool::Lease runner = implementation_->runners.take();
  const Tensor logits = runner->last_logits(tokens, Sequences::uniform(count, 1), own);
  return {logits.as<float>(), logits.as<float>() + logits.count()};
}

bool Model::has_tokenizer() const { return implementation_->tokenizer != nullptr; }

std::vector<int32_t> Model::encode(std::string_view text) const {
  return implementation_->require_tokenizer("encode").encode(text);
}

std::string Model::decode(std::span<const int32_t> tokens) const {
  return implementation_->require_tokenizer("decode").decode(tokens);
}

Generation Model::generate(std::string_view prompt, const GenerateOptions& options,
                           const std::function<bool(std::string_view)>& show) {
  const Tokenizer& tokenizer = implementation_->require_tokenizer("generate");
  require(options.tokens >= 0, "Model::generate: tokens is {}, expected at least 0", options.tokens);
  inside::Request request = request_of(options);
  const int32_t begin = implementation_->info.begin_token;
  if (options.begin_token && begin >= 0) request.begin = begin;
  inside::Generated from =
      aviary::generate(*implementation_->runners.take(), tokenizer, prompt, request, show);
  return {.text = std::move(from.text),
          .prompt_tokens = from.prompt_tokens,
          .tokens = from.tokens,
          .prompt_seconds = from.prompt_seconds,
          .seconds = from.seconds,
          .end = public_end(from.end)};
}

}  // namespace v0
}  // namespace aviary
