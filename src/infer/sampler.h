// Chooses the next token from the logits, like the RWKV pip package (rwkv/utils.py, sample_logits and
// PIPELINE.generate), with the additional filters top-a and top-p-x proposed in the README files of RWKV-LM.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <vector>

#include "base/random.h"

namespace aviary {

// A constant added to the logit of one token; -infinity bans the token.
struct TokenBias {
  int32_t token = 0;
  float bias = 0;
};

// The defaults are those of the pip package's generate().
struct SamplerOptions {
  // Applied last, as p^(1/temperature), to the tokens kept by the filters. 0: only the most probable token
  // (all of them if several are equal), regardless of top_p, top_a and top_p_x.
  double temperature = 1.0;
  // Keep at most this many tokens, the most probable ones; of equal ones those with smaller ids. 0: no limit.
  int64_t top_k = 0;
  // In (0, 1]. Keep the most probable tokens until their sum reaches top_p, and all tokens equal to the last
  // of them.
  double top_p = 0.85;
  // Keep a token only if p >= top_a * (largest p)^top_a_power. 0: off. RWKV-LM suggests 0.2 and 2.
  double top_a = 0.0;
  double top_a_power = 2.0;
  // In addition to the tokens kept by top_p, keep every token with p >= top_p_x. 0: off. RWKV-LM suggests
  // 0.01.
  double top_p_x = 0.0;
  // Keep a token only if p >= min_p * (largest p), like top_a with the power 1. 0: off.
  double min_p = 0.0;

  // A token that was accepted n times has presence + n * frequency subtracted from its logit; n decays by the
  // factor penalty_decay (1: no decay) with every accepted token, the presence penalty does not.
  double presence_penalty = 0.2;
  double frequency_penalty = 0.2;
  double penalty_decay = 0.996;
  // The logit of a token among the last repeat_last_n ones, of the text and of what precedes it, is divided
  // by repeat_penalty if it is above 0, and else multiplied by it (Keskar et al. 2019, arXiv 1909.05858, and
  // llama.cpp), before the other penalties. 1: off. repeat_last_n below 0: all tokens.
  double repeat_penalty = 1.0;
  int64_t repeat_last_n = 64;
  // The tokens that precede the text, as far as they are among the last repeat_last_n.
  std::vector<int32_t> before = {};
  // Tokens that get only the presence penalty (in the pip package those made of " \t0123456789").
  std::vector<int32_t> uncounted = {};

  std::vector<TokenBias> bias = {};
  uint64_t seed = 0;
};

// Throws Error, naming the option, its value and what is expected.
void check(const SamplerOptions& options);

// Sets `before` to those of `tokens` that the repeat penalty looks at; to none if it is off.
void set_before(SamplerOptions& options, std::span<const int32_t> tokens);

struct Candidate {
  int32_t token = 0;
  float probability = 0;
};

// The tokens that can be drawn, by increasing id, with their probabilities (sum 1).
//
// Order of the pip package: softmax of the logits without temperature; top_p, top_p_x, top_a and top_k are
// each applied to these probabilities, and a token must pass all of them; then p^(1/temperature) of the
// remaining tokens, normalized. The original differs in two cases that depend on float32 rounding or on the
// sorting routine: with top_p = 1 it may keep only the best token (here: all), and of tokens that tie at the
// limit of top_k it keeps arbitrary ones (here: the first). The samplers of RWKV-v1 (temperature first, ties
// cut by position) and of the RWKV-7 demo (the last token of top_p keeps only a part of its probability) are
// different functions and not offered.
//
// logits: one per token of the vocabulary; -infinity means "never", and so does a probability of less than
// e^-87 of the largest one (the limit of float32). The penalties, the bias and the seed of the options are
// not used. Throws Error if the options are invalid, a logit is NaN or +infinity, or none is finite.
std::vector<Candidate> candidates(std::span<const float> logits, const SamplerOptions& options);

// The state of a sampler, sufficient to continue bit for bit.
struct SamplerState {
  struct Count {
    int32_t token = 0;
    double count = 0;
    bool operator==(const Count&) const = default;
  };
  uint64_t seed = 0;
  uint64_t counter = 0;         // random numbers drawn so far: one per sample()
  std::vector<Count> counts;    // accepted tokens in the order of their first appearance
  std::vector<int32_t> recent;  // those that the repeat penalty looks at, the last one last
  bool operator==(const SamplerState&) const = default;
};

namespace detail {

// The arrays of one selection, kept so that memory is allocated only for the first token.
struct Selection {
  std::vector<float> weights;     // e^(logit - largest logit)
  std::vector<float> pool;        // the larger weights, and room for as many
  std::vector<Candidate> places;  // for the tokens that are kept
};

}  // namespace detail

// One sampler per generated sequence. Not thread-safe.
class Sampler {
 public:
  // Throws Error if check() does.
  explicit Sampler(SamplerOptions options = {});

  // Draws a token, with penalties for the tokens accepted so far. The drawn token is not accepted
  // automatically, since the caller may choose another one. Throws the errors of candidates(), and Error if a
  // biased or accepted token is outside the vocabulary.
  int32_t sample(std::span<const float> logits);

  // Draws the random number of a sample() whose result is known, because one token alone is permitted.
  void pass() { random_.uniform(); }
  // Whether the bias bans the token.
  bool bans(int32_t token) const;

  // The tokens the next sample() draws from: candidates() after bias and penalties. Valid until the next
  // call.
  std::span<const Candidate> candidates(std::span<const float> logits);

  // Counts a token of the output for the penalties.
  void accept(int32_t token);

  SamplerState state() const;
  // Throws Error unless `state` could have come from state().
  void restore(const SamplerState& state);

  const SamplerOptions& options() const { return options_; }

 private:
  void note_recent(int32_t token);

  SamplerOptions options_;
  Random random_;
  std::vector<SamplerState::Count> counts_;
  std::deque<int32_t> recent_;           // for the repeat penalty
  std::map<int32_t, int64_t> recently_;  // how often each of them is there
  std::vector<float> adjusted_;          // logits after bias and penalties
  detail::Selection selection_;
};

}  // namespace aviary
