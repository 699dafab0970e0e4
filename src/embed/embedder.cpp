#include "embed/embedder.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "base/error.h"
#include "base/threads.h"
#include "embed/state_features.h"
#include "models/registry.h"

namespace aviary {
namespace {

// Tokens of one text in a step: texts are cut by their own length alone, so their bits do not depend on what
// else is read.
constexpr int64_t longest_piece = 256;
// Tokens of all texts in a step. More would not be faster, but take more memory.
constexpr int64_t step_tokens = 1024;

bool is_of_rows(Feature feature) { return feature == Feature::last || feature == Feature::mean; }

void add_row(const Tensor& rows, int64_t row, double* sums) {
  const int64_t C = rows.cols();
  if (rows.dtype() == Dtype::f64) {
    for (int64_t c = 0; c < C; ++c) sums[c] += rows.as<double>()[row * C + c];
  } else {
    for (int64_t c = 0; c < C; ++c) sums[c] += static_cast<double>(rows.as<float>()[row * C + c]);
  }
}

}  // namespace

void shorten(std::vector<float>& vector, int64_t dimensions, bool unit_length) {
  if (dimensions > 0 && dimensions < std::ssize(vector)) vector.resize(static_cast<size_t>(dimensions));
  if (!unit_length) return;
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  if (!(squares > 0)) return;
  for (float& x : vector) x = static_cast<float>(static_cast<double>(x) / std::sqrt(squares));
}

// A text that is being read.
struct Embedder::Reading {
  std::span<const int32_t> tokens;
  int64_t done = 0;
  State state{};
  std::vector<double> sums{};  // of rows, one layer after another
  std::vector<float> vector{};

  int64_t left() const { return std::ssize(tokens) - done; }
};

Embedder::Embedder(Model& model, const Tokenizer& tokenizer, EmbeddingOptions options,
                   std::optional<Statistics> statistics)
    : model_(model),
      tokenizer_(tokenizer),
      options_(std::move(options)),
      statistics_(std::move(statistics)),
      runner_(model) {
  require_feature(model, options_);
  // A state is complete after the block it belongs to.
  places_ = is_of_rows(options_.feature) ? options_.layers : std::vector<int64_t>{options_.layers.back()};
  require(options_.scaling == Scaling::raw || statistics_.has_value(),
          "the scaling {} needs statistics of this model; aviary embed --collect makes them",
          name_of(options_.scaling));
  const int64_t width = raw_width();
  require(options_.scaling == Scaling::raw || statistics_->width() == width,
          "the statistics are of vectors of {} numbers, but these have {}; collect them again",
          statistics_ ? statistics_->width() : 0, width);
  require(options_.scaling != Scaling::whitened || !statistics_->whitening.empty(),
          "the statistics have no directions for whitening; collect them again");
  const int64_t full = options_.scaling == Scaling::raw ? width : statistics_->width(options_.scaling);
  require(0 <= options_.dimensions && options_.dimensions <= full,
          "{} dimensions are asked for, expected 1 to {}, the length of these vectors", options_.dimensions,
          full);
}

int64_t Embedder::raw_width() const {
  if (is_of_rows(options_.feature)) return std::ssize(options_.layers) * model_.config().n_embd;
  return std::ssize(state_features(runner_.new_state(), options_.feature, options_.layers));
}

int64_t Embedder::dimensions() const {
  if (options_.dimensions > 0) return options_.dimensions;
  return options_.scaling == Scaling::raw ? raw_width() : statistics_->width(options_.scaling);
}

std::vector<int32_t> Embedder::encode(std::string_view text) const {
  std::vector<int32_t> tokens;
  if (options_.begin_token) tokens.push_back(*options_.begin_token);
  tokenizer_.encode(text, tokens);
  return tokens;
}

std::vector<std::vector<float>> Embedder::embed(std::span<const std::string> texts) {
  std::vector<std::vector<int32_t>> tokens;
  for (const std::string& text : texts) tokens.push_back(encode(text));
  return embed_tokens(tokens);
}

std::vector<std::vector<float>> Embedder::embed_tokens(std::span<const std::vector<int32_t>> texts) {
  std::vector<Reading> readings;
  for (size_t i = 0; i < texts.size(); ++i) {
    require(!texts[i].empty(), "text {} is empty; leave it out", i + 1);
    readings.push_back({.tokens = texts[i]});
  }
  read(readings);
  std::vector<std::vector<float>> vectors;
  for (Reading& reading : readings) vectors.push_back(std::move(reading.vector));
  return vectors;
}

int64_t Embedder::piece(const Reading& reading) const {
  const int64_t limit = model_.context_limit();
  const int64_t to_window_end = limit > 0 ? limit - reading.done % limit : longest_piece;
  return std::min({reading.left(), longest_piece - reading.done % longest_piece, to_window_end});
}

void Embedder::start(Reading& reading) {
  if (free_states_.empty()) {
    reading.state = runner_.new_state();
  } else {
    reading.state = std::move(free_states_.back());
    free_states_.pop_back();
    reading.state.reset();
  }
  if (is_of_rows(options_.feature)) reading.sums.assign(static_cast<size_t>(raw_width()), 0);
}

// Texts are begun in order. Each step reads the next piece of every text that is being read, and of so many
// new ones as there is room for.
void Embedder::read(std::vector<Reading>& readings) {
  const int64_t limit = model_.context_limit();
  std::deque<Reading*> open;
  size_t next = 0;
  while (next < readings.size() || !open.empty()) {
    std::vector<Reading*> step;
    std::vector<State*> states;
    std::vector<int32_t> tokens;
    Sequences sequences;
    auto add = [&](Reading& reading) {
      const int64_t count = piece(reading);
      if (!step.empty() && sequences.rows() + count > step_tokens) return false;
      const auto part = reading.tokens.subspan(static_cast<size_t>(reading.done), static_cast<size_t>(count));
      tokens.insert(tokens.end(), part.begin(), part.end());
      sequences.append(count);
      step.push_back(&reading);
      return true;
    };
    while (!open.empty() && add(*open.front())) open.pop_front();
    for (; next < readings.size() && open.empty() && add(readings[next]); ++next) start(readings[next]);
    for (Reading* reading : step) {
      if (limit > 0 && reading->done % limit == 0) reading->state.reset();
      states.push_back(&reading->state);
    }
    size_t at = 0;
    runner_.read_rows(tokens, sequences, states, places_, [&](int64_t, const Tensor& rows) {
      if (is_of_rows(options_.feature)) take_rows(step, sequences, at++, rows);
    });
    for (size_t i = 0; i < step.size(); ++i) {
      Reading& reading = *step[i];
      reading.done += sequences.length(static_cast<int64_t>(i));
      if (reading.left() > 0) {
        open.push_back(&reading);
        continue;
      }
      reading.vector = vector_of(reading);
      reading.sums = {};
      free_states_.push_back(std::move(reading.state));
    }
  }
}

void Embedder::take_rows(std::vector<Reading*>& step, const Sequences& sequences, size_t at,
                         const Tensor& rows) const {
  const auto C = static_cast<size_t>(rows.cols());
  parallel_for(std::ssize(step), 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      Reading& reading = *step[static_cast<size_t>(s)];
      double* sums = reading.sums.data() + at * C;
      if (options_.feature == Feature::mean) {
        for (int64_t row = sequences.begin(s); row < sequences.end(s); ++row) add_row(rows, row, sums);
      } else if (reading.left() == sequences.length(s)) {
        add_row(rows, sequences.end(s) - 1, sums);
      }
    }
  });
}

std::vector<float> Embedder::vector_of(const Reading& reading) const {
  std::vector<double> raw = is_of_rows(options_.feature)
                                ? reading.sums
                                : state_features(reading.state, options_.feature, options_.layers);
  if (options_.feature == Feature::mean)
    for (double& x : raw) x /= static_cast<double>(reading.tokens.size());
  std::vector<float> vector(raw.begin(), raw.end());
  if (options_.scaling != Scaling::raw) vector = statistics_->scaled(vector, options_.scaling);
  shorten(vector, options_.dimensions, options_.unit_length);
  return vector;
}

}  // namespace aviary
