#include "eval/memory_tasks.h"

#include <algorithm>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

std::vector<int32_t> usable_tokens(const Tokenizer& tokenizer, int64_t model_tokens) {
  std::vector<int32_t> tokens;
  for (int32_t token = 0; token < std::min<int64_t>(tokenizer.vocab_size(), model_tokens); ++token)
    if (!tokenizer.bytes_of(token).empty() && token != tokenizer.end_of_text()) tokens.push_back(token);
  return tokens;
}

Continuation copy_of(const std::vector<int32_t>& tokens, int64_t length, Random& random) {
  Continuation result;
  for (int64_t i = 0; i < length; ++i)
    result.context.push_back(tokens[static_cast<size_t>(random.below(std::ssize(tokens)))]);
  result.target.assign(result.context.begin() + 1, result.context.end());
  result.context.push_back(result.context.front());
  return result;
}

Continuation recall_of(std::vector<int32_t> tokens, int64_t length, Random& random) {
  const int64_t pairs = length / 2;
  require(pairs <= std::ssize(tokens),
          "evaluate: recall of {} tokens needs {} different keys, the vocabulary has {}", length, pairs,
          tokens.size());
  Continuation result;
  for (int64_t i = 0; i < pairs; ++i) {
    const int64_t value = random.below(std::ssize(tokens));
    std::swap(tokens[static_cast<size_t>(i)],
              tokens[static_cast<size_t>(i + random.below(std::ssize(tokens) - i))]);
    result.context.push_back(tokens[static_cast<size_t>(i)]);
    result.context.push_back(tokens[static_cast<size_t>(value)]);
  }
  const auto asked = static_cast<size_t>(2 * random.below(pairs));
  result.target.push_back(result.context[asked + 1]);
  result.context.push_back(result.context[asked]);
  return result;
}

}  // namespace

std::vector<MemoryLength> remember(Runner& runner, const Tokenizer& tokenizer, MemoryTask task,
                                   int64_t longest, int64_t sequences, uint64_t seed,
                                   const std::function<bool(int64_t)>& progress) {
  const std::vector<int32_t> tokens = usable_tokens(tokenizer, runner.model().config().vocab_size);
  require(!tokens.empty(), "evaluate: the vocabulary has no tokens with bytes");
  std::vector<MemoryLength> result;
  int64_t done = 0;
  for (int64_t length = 8; length <= longest; length *= 2) {
    Random random = Random(seed).split(static_cast<uint64_t>(length));
    MemoryLength sum{.tokens = length};
    int64_t targets = 0;
    for (int64_t i = 0; i < sequences; ++i) {
      const Continuation one =
          task == MemoryTask::copy ? copy_of(tokens, length, random) : recall_of(tokens, length, random);
      const Score got = score(runner, std::span(&one, 1)).front();
      sum.accuracy += static_cast<double>(got.right);
      sum.loss -= got.log_likelihood;
      targets += got.tokens;
      if (progress && !progress(++done)) return result;
    }
    sum.accuracy /= static_cast<double>(targets);
    sum.loss /= static_cast<double>(targets);
    result.push_back(sum);
  }
  return result;
}

}  // namespace aviary
