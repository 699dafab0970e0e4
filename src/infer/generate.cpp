#include "infer/generate.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/error.h"
#include "infer/engine.h"

namespace aviary {
namespace {

// What is read before the first token of a text without a prompt.
std::vector<int32_t> beginning(const Tokenizer& tokenizer) {
  if (tokenizer.end_of_text()) return {*tokenizer.end_of_text()};
  try {
    return tokenizer.encode("\n");
  } catch (const Error&) {  // a vocabulary of characters may have no line break
    int32_t token = 0;
    while (token + 1 < tokenizer.vocab_size() && tokenizer.bytes_of(token).empty()) ++token;
    return {token};
  }
}

std::vector<int32_t> prompt_tokens(const Tokenizer& tokenizer, std::string_view prompt,
                                   const GenerateOptions& options) {
  std::vector<int32_t> tokens = options.before;
  if (options.begin) tokens.push_back(*options.begin);
  tokenizer.encode(prompt, tokens);
  return tokens.empty() && options.logits.empty() ? beginning(tokenizer) : tokens;
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
                    const GenerateOptions& options, const std::function<bool(std::string_view)>& show,
                    std::unique_ptr<Constraint> constraint) {
  Generation result;
  Finished finished;
  Request request{.tokens = prompt_tokens(tokenizer, prompt, options),
                  .writing = {.tokens = options.tokens,
                              .sampling = options.sampling,
                              .stop = options.stop,
                              .stop_at_end_of_text = options.stop_at_end_of_text,
                              .exact_bytes = options.exact_bytes},
                  .constraint = std::move(constraint),
                  .draft = options.draft};
  std::vector<int32_t> earlier = options.read;
  earlier.insert(earlier.end(), request.tokens.begin(), request.tokens.end());
  set_before(request.writing.sampling, earlier);
  if (options.start) request.start = *options.start;
  if (request.tokens.empty()) request.logits = options.logits;
  request.show = [&](const Writer::Piece& piece) {
    result.text += piece.text;
    return piece.text.empty() || !show || show(piece.text);
  };
  request.done = [&](Finished what) { finished = std::move(what); };
  Engine engine(runner, tokenizer);
  const Engine::Ticket ticket = engine.submit(std::move(request));
  do {
    if (options.go_on && !options.go_on()) engine.cancel(ticket);
  } while (engine.step());
  if (finished.error) std::rethrow_exception(finished.error);
  result.prompt_tokens = finished.prompt_tokens;
  result.tokens = finished.tokens;
  result.guessed = finished.guessed;
  result.guessed_right = finished.guessed_right;
  result.prompt_seconds = finished.prompt_seconds;
  result.seconds = finished.seconds;
  result.end = finished.end;
  return result;
}

}  // namespace aviary
