#include "train/training_data.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "data/document_source.h"

namespace aviary {
namespace {

constexpr int64_t chunk = 512;  // tokens of a document that are evaluated at once

}  // namespace

namespace {

std::unique_ptr<BatchSource> windows_of(std::vector<TokenSpan> texts,
                                        const std::vector<WindowOrder::Text>& sizes,
                                        const TrainConfig& config) {
  const auto kind = config.cubic_order ? WindowOrder::Kind::cubic : WindowOrder::Kind::shuffled;
  return std::make_unique<WindowSource>(
      std::move(texts), WindowOrder(sizes, config.context, config.seed, kind), config.context, config.batch);
}

// Of the first `tokens` of a text; 0: all.
Evaluation evaluate_beginning(Runner& runner, std::span<const int32_t> text, const Tokenizer& tokenizer,
                              const State& start, int64_t tokens, int64_t window) {
  if (tokens > 0 && tokens < std::ssize(text)) text = text.first(static_cast<size_t>(tokens));
  if (text.size() < 2) return {};
  return evaluate(runner, text, tokenizer, {.window = window, .start = &start});
}

void add(const Evaluation& one, Evaluation& sum) {
  sum.tokens += one.tokens;
  sum.bytes += one.bytes;
  sum.nats += one.nats;
}

}  // namespace

std::unique_ptr<BatchSource> TextData::source(const TrainConfig& config) const {
  if (config.carry_state) return std::make_unique<CarriedSource>(corpus_.train, config.context, config.batch);
  return windows_of({corpus_.train}, {{std::ssize(corpus_.train)}}, config);
}

Evaluation TextData::validate(Runner& runner, const Tokenizer& tokenizer, const State& start, int64_t tokens,
                              int64_t window) const {
  return evaluate_beginning(runner, corpus_.validation, tokenizer, start, tokens, window);
}

std::unique_ptr<BatchSource> TokenData::source(const TrainConfig& config) const {
  const std::vector<TokenCorpus::Part>& parts = corpus_.parts();
  if (config.carry_state) {
    require(parts.size() == 1, "--carry-state reads one file from its beginning to its end, but there are {}",
            parts.size());
    return std::make_unique<CarriedSource>(parts[0].train(), config.context, config.batch);
  }
  std::vector<TokenSpan> texts;
  std::vector<WindowOrder::Text> sizes;
  for (const TokenCorpus::Part& part : parts) {
    require(
        part.train_tokens > config.context,
        "{}: has {} tokens to train on, but a sequence needs {}; take a longer file or a shorter --context",
        part.file.name(), part.train_tokens, config.context + 1);
    texts.push_back(part.train());
    sizes.push_back({part.train_tokens, part.weight});
  }
  return windows_of(std::move(texts), sizes, config);
}

Evaluation TokenData::validate(Runner& runner, const Tokenizer& tokenizer, const State& start, int64_t tokens,
                               int64_t window) const {
  Evaluation sum;
  const auto parts = static_cast<int64_t>(corpus_.parts().size());
  for (const TokenCorpus::Part& part : corpus_.parts())
    add(evaluate_beginning(runner, part.validation, tokenizer, start, (tokens + parts - 1) / parts, window),
        sum);
  return sum;
}

DocumentData::DocumentData(Documents documents) : documents_(std::move(documents)) {
  for (const Document& document : documents_.train) {
    tokens_ += document.trained_tokens();
    bytes_ += document.trained_bytes;
    rows_ += std::ssize(document.tokens) - 1;
  }
}

int64_t DocumentData::validation_bytes() const {
  int64_t sum = 0;
  for (const Document& document : documents_.validation) sum += document.trained_bytes;
  return sum;
}

int64_t DocumentData::tokens_per_step(const TrainConfig& config) const {
  return std::max<int64_t>(1, rows_ * config.batch * config.accumulate / std::ssize(documents_.train));
}

std::unique_ptr<BatchSource> DocumentData::source(const TrainConfig& config) const {
  return std::make_unique<DocumentSource>(documents_.train, config.batch, config.seed);
}

Evaluation DocumentData::validate(Runner& runner, const Tokenizer& tokenizer, const State& start,
                                  int64_t tokens, int64_t) const {
  Evaluation sum;
  for (const Document& document : documents_.validation) {
    if (tokens > 0 && sum.tokens >= tokens) break;
    add(evaluate(runner, document, tokenizer, start), sum);
  }
  return sum;
}

Evaluation evaluate(Runner& runner, const Document& document, const Tokenizer& tokenizer,
                    const State& start) {
  Evaluation result;
  State state = start;
  const std::span<const int32_t> tokens = document.tokens;
  for (int64_t begin = 0, last = std::ssize(tokens) - 1; begin < last; begin += chunk) {
    const int64_t count = std::min(chunk, last - begin);
    std::vector<int32_t> targets;
    for (int64_t i = begin + 1; i <= begin + count; ++i)
      targets.push_back(document.trained[static_cast<size_t>(i)] ? tokens[static_cast<size_t>(i)] : -1);
    const auto rows = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
    const Sequences one = Sequences::uniform(1, count);
    if (!has_targets(targets)) {
      runner.logits(rows, one, state, {});
      continue;
    }
    std::vector<double> losses(targets.size());
    runner.loss(rows, targets, one, state, losses);
    for (size_t i = 0; i < targets.size(); ++i) {
      if (targets[i] < 0) continue;
      ++result.tokens;
      result.bytes += std::ssize(tokenizer.bytes_of(targets[i]));
      result.nats += losses[i];
    }
  }
  return result;
}

}  // namespace aviary
