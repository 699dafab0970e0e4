// What a run trains on, and what it validates with.
#pragma once

#include <memory>

#include "data/batch_source.h"
#include "data/corpus.h"
#include "data/documents.h"
#include "data/token_corpus.h"
#include "eval/evaluate.h"
#include "models/run.h"
#include "train/config.h"

namespace aviary {

class TrainingData {
 public:
  virtual ~TrainingData() = default;
  // The batches of a run; the data must outlive the source.
  virtual std::unique_ptr<BatchSource> source(const TrainConfig& config) const = 0;
  // Tokens that can be targets of an epoch, and their bytes.
  virtual int64_t tokens() const = 0;
  virtual int64_t bytes() const = 0;
  // Tokens that an optimizer step reads, on average.
  virtual int64_t tokens_per_step(const TrainConfig& config) const = 0;
  // Bytes that are kept for validation.
  virtual int64_t validation_bytes() const = 0;
  // How well the model predicts the part that is kept for it. start: the state before each text; tokens: at
  // most about so many (0: all); window: for models whose state grows (EvaluateOptions). No tokens if no part
  // is kept.
  virtual Evaluation validate(Runner& runner, const Tokenizer& tokenizer, const State& start, int64_t tokens,
                              int64_t window) const = 0;

  double bytes_per_token() const { return static_cast<double>(bytes()) / static_cast<double>(tokens()); }
};

// A text, read in windows, or as one with a carried state.
class TextData : public TrainingData {
 public:
  explicit TextData(Corpus corpus) : corpus_(std::move(corpus)) {}
  std::unique_ptr<BatchSource> source(const TrainConfig& config) const override;
  int64_t tokens() const override { return std::ssize(corpus_.train); }
  int64_t bytes() const override { return corpus_.train_bytes; }
  int64_t validation_bytes() const override { return corpus_.validation_bytes; }
  int64_t tokens_per_step(const TrainConfig& config) const override { return config.tokens_per_step(); }
  Evaluation validate(Runner& runner, const Tokenizer& tokenizer, const State& start, int64_t tokens,
                      int64_t window) const override;
  const Corpus& corpus() const { return corpus_; }

 private:
  Corpus corpus_;
};

// Files of tokens, read as a text each.
class TokenData : public TrainingData {
 public:
  explicit TokenData(TokenCorpus corpus) : corpus_(std::move(corpus)) {}
  std::unique_ptr<BatchSource> source(const TrainConfig& config) const override;
  int64_t tokens() const override { return corpus_.train_tokens(true); }
  int64_t bytes() const override { return corpus_.train_bytes(true); }
  int64_t validation_bytes() const override { return corpus_.validation_bytes(); }
  int64_t tokens_per_step(const TrainConfig& config) const override { return config.tokens_per_step(); }
  Evaluation validate(Runner& runner, const Tokenizer& tokenizer, const State& start, int64_t tokens,
                      int64_t window) const override;
  const TokenCorpus& corpus() const { return corpus_; }

 private:
  TokenCorpus corpus_;
};

// Documents, each read as a whole, of which parts are trained on.
class DocumentData : public TrainingData {
 public:
  explicit DocumentData(Documents documents);
  std::unique_ptr<BatchSource> source(const TrainConfig& config) const override;
  int64_t tokens() const override { return tokens_; }
  int64_t bytes() const override { return bytes_; }
  int64_t validation_bytes() const override;
  int64_t tokens_per_step(const TrainConfig& config) const override;
  Evaluation validate(Runner& runner, const Tokenizer& tokenizer, const State& start, int64_t tokens,
                      int64_t window) const override;
  const Documents& documents() const { return documents_; }

 private:
  Documents documents_;
  int64_t tokens_ = 0, bytes_ = 0, rows_ = 0;
};

// The loss of the trained part of a document, begun with the state `start`.
Evaluation evaluate(Runner& runner, const Document& document, const Tokenizer& tokenizer, const State& start);

}  // namespace aviary
