#include "infer/generate.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "infer/draft.h"
#include "infer/stop_matcher.h"
#include "text/utf8.h"

namespace aviary {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<int32_t> prompt_tokens(const Tokenizer& tokenizer, std::string_view prompt) {
  std::vector<int32_t> tokens = tokenizer.encode(prompt);
  if (tokens.empty())
    tokens = tokenizer.end_of_text() ? std::vector{*tokenizer.end_of_text()} : tokenizer.encode("\n");
  return tokens;
}

}  // namespace

std::vector<float> read_tokens(Runner& runner, std::span<const int32_t> tokens, State& state, int64_t chunk) {
  require(!tokens.empty(), "generate: no tokens to read");
  Tensor logits;
  for (size_t begin = 0; begin < tokens.size(); begin += static_cast<size_t>(chunk)) {
    const auto part = tokens.subspan(begin, std::min(tokens.size() - begin, static_cast<size_t>(chunk)));
    const int64_t last = std::ssize(part) - 1;
    const bool wanted = begin + part.size() == tokens.size();
    logits = runner.logits(part, Sequences::uniform(1, std::ssize(part)), state, {&last, wanted ? 1u : 0u});
  }
  return {logits.as<float>(), logits.as<float>() + logits.count()};
}

Generation generate(Runner& runner, const Tokenizer& tokenizer, std::string_view prompt,
                    const GenerateOptions& options, const std::function<bool(std::string_view)>& show) {
  using Clock = std::chrono::steady_clock;
  require(tokenizer.vocab_size() <= runner.model().config().vocab_size,
          "generate: the tokenizer has {} tokens, but the model only {}", tokenizer.vocab_size(),
          runner.model().config().vocab_size);
  Generation result;
  Sampler sampler(options.sampling);
  StopMatcher matcher(options.stop);
  Utf8Stream characters;
  auto emit = [&](const std::string& text) {
    result.text += text;
    return text.empty() || !show || show(text);
  };

  const std::vector<int32_t> start = prompt_tokens(tokenizer, prompt);
  State state = options.start ? *options.start : runner.new_state();
  auto clock = Clock::now();
  std::vector<float> logits = read_tokens(runner, start, state);
  result.prompt_tokens = static_cast<int64_t>(start.size());
  result.prompt_seconds = seconds_since(clock);

  clock = Clock::now();
  Decoder decoder(runner, state, options.draft);
  decoder.has_read(start);
  while (result.tokens < options.tokens) {
    const int32_t token = sampler.sample(logits);
    if (options.stop_at_end_of_text && tokenizer.end_of_text() == token) {
      result.end = Generation::End::end_of_text;
      break;
    }
    sampler.accept(token);
    ++result.tokens;
    if (!emit(matcher.push(characters.push(tokenizer.bytes_of(token))))) {
      result.end = Generation::End::interrupted;
      break;
    }
    if (matcher.matched()) {
      result.end = Generation::End::stop;
      break;
    }
    if (result.tokens == options.tokens) break;
    std::ranges::copy(decoder.after(token), logits.begin());
  }
  result.seconds = seconds_since(clock);
  result.guessed = decoder.guessed();
  result.guessed_right = decoder.guessed_right();
  if (result.end != Generation::End::stop) {
    emit(matcher.push(characters.flush()));
    emit(matcher.flush());
  }
  return result;
}

}  // namespace aviary
