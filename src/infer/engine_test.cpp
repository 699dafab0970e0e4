#include "infer/engine.h"

#include <algorithm>
#include <limits>
#include <map>
#include <thread>

#include "infer/generate.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

std::unique_ptr<Model> small_model(const std::string& version = "rwkv7") {
  return noisy_model({.version = version, .n_layer = 2, .n_embd = 32, .vocab_size = 256, .ctx_len = 48});
}

std::vector<int32_t> tokens_of(std::string_view text) { return {text.begin(), text.end()}; }

std::vector<int32_t> prompt_of(size_t length, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens(length);
  for (int32_t& token : tokens) token = static_cast<int32_t>('a' + random.below(26));
  return tokens;
}

// An engine with a small model, and the results of its requests.
struct Bench {
  explicit Bench(Model& model, const EngineOptions& options = {})
      : runner(model), engine(runner, *tokenizer, options) {}

  Engine::Ticket submit(const std::string& name, Request request) {
    request.show = [this, name](const Writer::Piece& piece) {
      texts[name] += piece.text;
      return true;
    };
    request.done = [this, name](Finished end) {
      order.push_back(name);
      ends[name] = std::move(end);
    };
    return engine.submit(std::move(request));
  }
  void finish() {
    while (engine.step()) {
    }
  }

  TokenizerPtr tokenizer = make_bytes_tokenizer();
  Runner runner;
  Engine engine;
  std::map<std::string, std::string> texts;
  std::map<std::string, Finished> ends;
  std::vector<std::string> order;
};

Request request_of(size_t prompt, int64_t tokens, uint64_t seed) {
  return {.tokens = prompt_of(prompt, seed),
          .writing = {.tokens = tokens, .sampling = {.temperature = 1.2, .top_p = 1, .seed = seed}}};
}

// The text of the request when it is the only one.
std::string alone(Model& model, Request request, const EngineOptions& options = {}) {
  Bench bench(model, options);
  bench.submit("alone", std::move(request));
  bench.finish();
  return bench.texts["alone"];
}

// Without logits a state is the same, and costs no row of the output matrix.
TEST(Engine, StatesAreKeptWithAndWithoutLogits) {
  const auto model = small_model();
  Bench bench(*model, {.chunk = 16});
  std::map<int64_t, std::pair<State, size_t>> kept;
  Request request = request_of(50, 5, 3);
  request.keep_at = {20, 50};
  request.keep_states_at = {7, 20, 33};
  request.keep = [&](int64_t read, const State& state, std::span<const float> logits) {
    kept[read] = {state, logits.size()};
  };
  bench.submit("text", std::move(request));
  bench.finish();
  ASSERT_EQ(kept.size(), 4u);
  for (const auto& [read, one] : kept) {
    EXPECT_EQ(one.second, read == 20 || read == 50 ? 256u : 0u) << read;
    State state = bench.runner.new_state();
    const std::vector<int32_t> tokens = prompt_of(50, 3);
    bench.runner.last_logits(std::span(tokens).first(static_cast<size_t>(read)), Sequences::uniform(1, read),
                             state);
    EXPECT_EQ(largest_difference(state, one.first), 0) << read;
  }
}

// A long prompt takes more steps beside texts, which therefore wait less for their tokens, and the same bits.
TEST(Engine, PromptsAreReadInSmallPartsBesideTexts) {
  const auto model = small_model();
  const std::string expected = alone(*model, request_of(200, 10, 4));
  Bench bench(*model);
  bench.submit("text", request_of(5, 60, 3));
  bench.engine.step();
  Request request = request_of(200, 10, 4);
  std::vector<int64_t> reads;
  request.progress = [&](int64_t read) { reads.push_back(read); };
  bench.submit("late", std::move(request));
  bench.finish();
  EXPECT_EQ(bench.texts["late"], expected);
  ASSERT_GE(reads.size(), 10u);
  EXPECT_EQ(reads.front(), 20) << "16 tokens and 4 for each text";
}

// What is not ready is read up to its last token, and then gives the same text; others go on meanwhile.
TEST(Engine, ATextThatIsNotReadyIsReadMeanwhile) {
  const auto model = small_model();
  const EngineOptions options{.chunk = 16, .prompt_rows = 40};
  const std::string expected = alone(*model, request_of(50, 20, 3), options);
  Bench bench(*model, options);
  bool ready = false;
  int64_t read = 0;
  Request request = request_of(50, 20, 3);
  request.ready = [&] { return ready; };
  request.progress = [&](int64_t count) { read = count; };
  bench.submit("late", std::move(request));
  bench.submit("other", request_of(20, 30, 4));
  for (int i = 0; i < 40; ++i) bench.engine.step();
  EXPECT_EQ(read, 49);
  EXPECT_EQ(bench.texts["late"], "");
  EXPECT_EQ(bench.order, std::vector<std::string>{"other"});
  EXPECT_TRUE(bench.engine.idle());
  ready = true;
  bench.finish();
  EXPECT_EQ(bench.texts["late"], expected);
}

class EngineOf : public testing::TestWithParam<std::string> {};

// Prompts of one to five chunks, texts with and without guesses, at most four at once.
TEST_P(EngineOf, ATextDoesNotDependOnWhatJoinsAndLeaves) {
  const auto model = small_model(GetParam());
  const EngineOptions options{.texts = 4, .chunk = 16, .prompt_rows = 40};
  Random random(5);
  Bench bench(*model, options);
  std::map<std::string, std::string> expected;
  std::vector<Engine::Ticket> strangers;
  for (uint64_t i = 0; i < 10; ++i) {
    const auto prompt = static_cast<size_t>(1 + random.below(70));
    const int64_t tokens = 1 + random.below(20), draft = i % 3 == 0 ? 4 : 0;
    auto request = [&] {
      Request made = request_of(prompt, tokens, i);
      made.draft = draft;
      return made;
    };
    const std::string name = std::to_string(i);
    expected[name] = alone(*model, request(), options);
    bench.submit(name, request());
    strangers.push_back(bench.engine.submit(request_of(30, 1000, 100 + i)));
    for (int64_t steps = random.below(5); steps > 0; --steps) bench.engine.step();
    if (i > 0) bench.engine.cancel(strangers[i - 1]);
  }
  for (const Engine::Ticket stranger : strangers) bench.engine.cancel(stranger);
  bench.finish();
  EXPECT_EQ(bench.texts, expected);
  EXPECT_EQ(bench.engine.unfinished(), 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, EngineOf, testing::ValuesIn(version_names()), test_name);

TEST(Engine, WritesWhatTheLoopOfTokensGives) {
  const auto model = small_model();
  Runner runner(*model);
  State state = runner.new_state();
  const std::vector<int32_t> prompt = prompt_of(600, 1);
  std::vector<float> logits = read_tokens(runner, prompt, state);
  Sampler sampler({.seed = 3});
  std::vector<int32_t> expected;
  while (expected.size() < 30) {
    expected.push_back(sampler.sample(logits));
    sampler.accept(expected.back());
    logits = read_tokens(runner, {&expected.back(), 1}, state);
  }
  Bench bench(*model);
  std::vector<int32_t> written;
  Request request{.tokens = prompt, .writing = {.tokens = 30, .sampling = {.seed = 3}}};
  request.show = [&](const Writer::Piece& piece) {
    written.push_back(piece.token);
    return true;
  };
  bench.engine.submit(std::move(request));
  bench.finish();
  EXPECT_EQ(written, expected);
}

TEST(Engine, ShortPromptsBesideALongOneFinishFirst) {
  const auto model = small_model();
  Bench bench(*model, {.chunk = 32, .prompt_rows = 32});
  bench.submit("long", request_of(1000, 5, 1));
  bench.submit("short", request_of(10, 5, 2));
  bench.submit("brief", request_of(20, 3, 3));
  int64_t steps = 0;
  for (; bench.order.size() < 2; ++steps) bench.engine.step();
  EXPECT_EQ(bench.order, (std::vector<std::string>{"brief", "short"}));
  EXPECT_LT(steps, 10);
  EXPECT_EQ(bench.texts.count("long"), 0U);
  bench.finish();
  EXPECT_EQ(bench.order.back(), "long");
}

// Two long prompts share the steps; no step exceeds the limit.
TEST(Engine, LongPromptsTakeTurns) {
  const auto model = small_model();
  Bench bench(*model, {.chunk = 32, .prompt_rows = 32});
  bench.submit("first", request_of(320, 1, 1));
  bench.submit("second", request_of(160, 1, 2));
  for (int step = 0; step < 9; ++step) EXPECT_TRUE(bench.engine.step());
  EXPECT_TRUE(bench.order.empty());
  bench.engine.step();
  EXPECT_EQ(bench.order, std::vector<std::string>{"second"}) << "five chunks, every other step";
  bench.finish();
}

TEST(Engine, ACanceledRequestEndsBetweenTheChunksOfItsPrompt) {
  const auto model = small_model();
  Bench bench(*model, {.texts = 2, .chunk = 32});
  const Engine::Ticket reading = bench.submit("reading", request_of(1000, 5, 1));
  const Engine::Ticket writing = bench.submit("writing", request_of(5, 1000, 2));
  const Engine::Ticket waiting = bench.submit("waiting", request_of(5, 1000, 3));
  for (int i = 0; i < 4; ++i) bench.engine.step();
  for (const Engine::Ticket ticket : {reading, writing, waiting}) bench.engine.cancel(ticket);
  EXPECT_FALSE(bench.engine.step());
  for (const char* name : {"reading", "writing", "waiting"})
    EXPECT_EQ(bench.ends[name].end, TextEnd::canceled) << name;
  constexpr int64_t read = 32 + 3 * 20;  // a chunk, then smaller parts beside the text that is written
  EXPECT_EQ(bench.ends["reading"].prompt_tokens, read);
  EXPECT_EQ(bench.ends["reading"].state.position(), read);
  EXPECT_EQ(bench.ends["writing"].tokens, 4);
  EXPECT_EQ(bench.ends["waiting"].prompt_tokens, 0);
  bench.engine.cancel(reading);  // is already finished
  EXPECT_FALSE(bench.engine.step());
}

TEST(Engine, AReaderWhoWantsNoMoreEndsItsTextAlone) {
  const auto model = small_model();
  Bench bench(*model);
  Request request = request_of(5, 100, 1);
  int64_t shown = 0;
  TextEnd end = TextEnd::none;
  request.show = [&](const Writer::Piece&) { return ++shown < 3; };
  request.done = [&](const Finished& what) { end = what.end; };
  bench.engine.submit(std::move(request));
  bench.submit("other", request_of(5, 10, 2));
  bench.finish();
  EXPECT_EQ(shown, 3);
  EXPECT_EQ(end, TextEnd::canceled);
  EXPECT_EQ(bench.texts["other"], alone(*model, request_of(5, 10, 2)));
}

TEST(Engine, StopStringsAcrossTokensEndTheirTextAlone) {
  const auto model = small_model();
  const std::string whole = alone(*model, request_of(5, 60, 1)), other = alone(*model, request_of(5, 60, 2));
  Bench bench(*model);
  Request request = request_of(5, 60, 1);
  const std::string stop = whole.substr(20, 3);
  request.writing.stop = {"this is not in it", stop};
  bench.submit("stopped", std::move(request));
  bench.submit("other", request_of(5, 60, 2));
  bench.finish();
  EXPECT_EQ(bench.ends["stopped"].end, TextEnd::stop);
  EXPECT_EQ(bench.texts["stopped"], whole.substr(0, whole.find(stop)));
  EXPECT_EQ(bench.texts["other"], other);
}

class Digits : public Constraint {
 public:
  void allow(std::span<float> logits) override {
    for (size_t token = 0; token < logits.size(); ++token)
      if (token < '0' || token > '9') logits[token] = -std::numeric_limits<float>::infinity();
  }
  void accept(int32_t) override {}
};

TEST(Engine, AConstraintRulesItsTextAlone) {
  const auto model = small_model();
  Bench bench(*model);
  for (const int64_t draft : {0, 4}) {
    Request request = request_of(5, 40, 1);
    request.constraint = std::make_unique<Digits>();
    request.draft = draft;
    bench.submit("digits" + std::to_string(draft), std::move(request));
  }
  bench.submit("other", request_of(5, 40, 2));
  bench.finish();
  EXPECT_EQ(bench.texts["digits0"].size(), 40U);
  EXPECT_EQ(bench.texts["digits0"].find_first_not_of("0123456789"), std::string::npos);
  EXPECT_EQ(bench.texts["digits4"], bench.texts["digits0"]);
  EXPECT_EQ(bench.texts["other"], alone(*model, request_of(5, 40, 2)));
}

// The text "for ever and ever, x" and a letter, over and over; forced() tells what is certain, or nothing.
class Refrain : public Constraint {
 public:
  explicit Refrain(bool tells) : tells_(tells) {}
  void allow(std::span<float> logits) override {
    for (size_t token = 0; token < logits.size(); ++token)
      if (at_ < line_.size() ? token != static_cast<size_t>(line_[at_]) : token < 'a' || token > 'z')
        logits[token] = -std::numeric_limits<float>::infinity();
  }
  void accept(int32_t) override { at_ = at_ == line_.size() ? 0 : at_ + 1; }
  std::span<const int32_t> forced() override {
    return tells_ ? std::span(line_).subspan(at_) : std::span(line_).first(0);
  }
  bool complete() override { return false; }

 private:
  const bool tells_;
  const std::vector<int32_t> line_ = tokens_of("for ever and ever, x");
  size_t at_ = 0;
};

TEST(Engine, ForcedTokensAreReadInOneStepAndChangeNothing) {
  const auto model = small_model();
  Bench bench(*model);
  std::map<std::string, int64_t> steps;
  for (const int64_t draft : {0, 4})
    for (const bool tells : {false, true})
      for (const int64_t tokens : {5, 21, 100}) {
        Request request = request_of(10, tokens, 3);
        request.constraint = std::make_unique<Refrain>(tells);
        request.draft = draft;
        const std::string name = fmt::format("{} {} {}", draft, tells, tokens);
        bench.submit(name, std::move(request));
        while (bench.engine.step()) ++steps[name];
      }
  for (const std::string tokens : {"5", "21", "100"})
    for (const std::string name : {"0 true ", "4 false ", "4 true "}) {
      EXPECT_EQ(bench.texts[name + tokens], bench.texts["0 false " + tokens]) << name << tokens;
      EXPECT_EQ(bench.ends[name + tokens].tokens, std::stoi(tokens));
    }
  EXPECT_EQ(bench.texts["0 true 100"].substr(0, 20), "for ever and ever, x");
  EXPECT_LE(steps["0 true 100"], 15);
  EXPECT_GE(steps["0 false 100"], 99);
}

class NothingAfterThree : public Constraint {
 public:
  void allow(std::span<float> logits) override {
    if (tokens_ == 3) std::ranges::fill(logits, -std::numeric_limits<float>::infinity());
  }
  void accept(int32_t) override { ++tokens_; }

 private:
  int64_t tokens_ = 0;
};

TEST(Engine, AnErrorInOneRequestEndsThatRequestAlone) {
  const auto model = small_model();
  Bench bench(*model);
  Request failing = request_of(5, 20, 1), throwing = request_of(5, 20, 1);
  failing.constraint = std::make_unique<NothingAfterThree>();
  TextEnd thrown = TextEnd::none;
  throwing.show = [](const Writer::Piece&) -> bool { throw std::runtime_error("the line is cut"); };
  throwing.done = [&](const Finished& what) { thrown = what.end; };
  bench.submit("failing", std::move(failing));
  bench.engine.submit(std::move(throwing));
  bench.submit("other", request_of(5, 20, 2));
  bench.finish();
  EXPECT_EQ(bench.ends["failing"].end, TextEnd::failed);
  EXPECT_EQ(bench.ends["failing"].tokens, 3);
  EXPECT_THROW(std::rethrow_exception(bench.ends["failing"].error), Error);
  EXPECT_EQ(thrown, TextEnd::failed);
  EXPECT_EQ(bench.texts["other"], alone(*model, request_of(5, 20, 2)));
}

TEST(Generate, CanBeStoppedWhileThePromptIsRead) {
  const auto model = small_model();
  const TokenizerPtr tokenizer = make_bytes_tokenizer();
  Runner runner(*model);
  GenerateOptions options;
  int asked = 0;
  options.go_on = [&] { return ++asked < 3; };
  const Generation result = generate(runner, *tokenizer, std::string(1000, 'a'), options);
  EXPECT_EQ(result.end, TextEnd::canceled);
  EXPECT_EQ(result.prompt_tokens, 2 * 256);
  EXPECT_EQ(result.text, "");
}

// The basis of a state cache: read a prompt once, continue from it many times.
TEST(Engine, TheStateOfARequestGoesOnInAnother) {
  const auto model = small_model();
  const std::vector<int32_t> prompt = prompt_of(64, 1), rest = prompt_of(20, 2);
  std::vector<int32_t> whole = prompt;
  whole.insert(whole.end(), rest.begin(), rest.end());
  const EngineOptions options{.chunk = 32};
  const WriterOptions writing{.tokens = 20, .sampling = {.seed = 9}};
  Bench bench(*model, options);
  bench.submit("prefix", {.tokens = prompt, .writing = {.tokens = 0}});
  bench.finish();
  EXPECT_EQ(bench.ends["prefix"].state.position(), 64);
  for (const char* name : {"first", "second"})
    bench.submit(name, {.tokens = rest, .start = bench.ends["prefix"].state, .writing = writing});
  bench.finish();
  const std::string expected = alone(*model, {.tokens = whole, .writing = writing}, options);
  EXPECT_EQ(bench.texts["first"], expected);
  EXPECT_EQ(bench.texts["second"], expected);
  EXPECT_EQ(bench.ends["first"].state.position(), 64 + 20 + 19) << "all but the last token";
}

TEST(Engine, TheStateHasReadNoGuessThatIsNotInTheText) {
  const auto model = small_model();
  Request request{.tokens = tokens_of("over the hills and over the hills and over the"),
                  .writing = {.tokens = 30, .sampling = {.temperature = 0}},
                  .draft = 8};
  std::vector<int32_t> text = request.tokens;
  Bench bench(*model);
  Finished end;
  request.show = [&](const Writer::Piece& piece) {
    text.push_back(piece.token);
    return text.size() < 60;
  };
  request.done = [&](Finished what) { end = std::move(what); };
  bench.engine.submit(std::move(request));
  bench.finish();
  const auto read = static_cast<size_t>(end.state.position());
  ASSERT_LT(read, text.size());
  State expected = bench.runner.new_state();
  read_tokens(bench.runner, std::span(text).first(read), expected);
  EXPECT_LT(largest_difference(end.state, expected), 1e-3);
}

TEST(Engine, WorksOnNoMoreTextsAndStatesThanItMay) {
  const auto model = small_model();
  const int64_t bytes = Runner(*model).new_state().bytes();
  for (const EngineOptions options : {EngineOptions{.texts = 2}, EngineOptions{.state_bytes = 2 * bytes}}) {
    Bench bench(*model, options);
    for (const char* name : {"a", "b", "c"}) bench.submit(name, request_of(5, 10, 1));
    for (int i = 0; i < 9; ++i) bench.engine.step();
    EXPECT_EQ(bench.texts.size(), 2U);
    EXPECT_EQ(bench.engine.unfinished(), 3);
    bench.finish();
    EXPECT_EQ(bench.order, (std::vector<std::string>{"a", "b", "c"}));
    EXPECT_EQ(bench.texts["c"], bench.texts["a"]);
  }
}

TEST(Engine, RefusesARequestThatCannotBe) {
  const auto model = small_model();
  Bench bench(*model, {.state_bytes = Runner(*model).new_state().bytes()});
  auto submit = [&](Request request) { bench.submit("bad", std::move(request)); };
  EXPECT_THROW(submit({.tokens = {}}), Error);
  EXPECT_THROW(submit({.tokens = {1, 256}}), Error);
  EXPECT_THROW(submit({.tokens = {-1}}), Error);
  EXPECT_THROW(submit({.tokens = {1}, .draft = -1}), Error);
  EXPECT_THROW(submit({.tokens = {1}, .draft = 1}), Error) << "two states are more than the limit";
  EXPECT_THROW(submit({.tokens = {1}, .writing = {.tokens = -1}}), Error);
  EXPECT_THROW(submit({.tokens = {1}, .start = State()}), Error);
  EXPECT_FALSE(bench.engine.step());
  EXPECT_TRUE(bench.ends.empty());
  EXPECT_THROW(Engine(bench.runner, *bench.tokenizer, {.chunk = 0}), Error);
}

TEST(Engine, RequestsComeFromOtherThreadsAndFromCallbacks) {
  const auto model = small_model();
  Bench bench(*model);
  const std::string expected = alone(*model, request_of(5, 10, 1));
  std::vector<std::string> texts(6);
  std::atomic<int> done{0};
  auto request = [&](size_t i) {
    Request made = request_of(5, 10, 1);
    made.show = [&, i](const Writer::Piece& piece) {
      texts[i] += piece.text;
      return true;
    };
    return made;
  };
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < 3; ++i)
    threads.emplace_back([&, i] {
      Request made = request(i);
      made.done = [&, i](const Finished&) {
        Request next = request(i + 3);
        next.done = [&](const Finished&) { ++done; };
        bench.engine.submit(std::move(next));
      };
      bench.engine.submit(std::move(made));
      bench.engine.cancel(bench.engine.submit(request_of(500, 10, 7)));
    });
  while (done < 3)
    if (!bench.engine.step()) std::this_thread::yield();
  threads.clear();
  bench.finish();
  for (const std::string& text : texts) EXPECT_EQ(text, expected);
}

}  // namespace
}  // namespace aviary
