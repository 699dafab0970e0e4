// Text embeddings: one vector per text, from what a model computes while it reads the text.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "embed/options.h"
#include "embed/statistics.h"
#include "models/run.h"
#include "text/tokenizer.h"

namespace aviary {

// Cuts a vector after `dimensions` numbers (0: nowhere) and, with `unit_length`, divides it by its length; a
// vector of zeros stays as it is.
void shorten(std::vector<float>& vector, int64_t dimensions, bool unit_length);

// Has memory for steps, so it must not be used by two threads at once; threads may share the model, as for
// Runner (models/run.h). Model and tokenizer must outlive it.
class Embedder {
 public:
  // Throws Error if the version of the model does not have the feature at these layers (require_feature), if
  // the scaling needs statistics that are not given or of another width, and if there are fewer numbers than
  // options.dimensions.
  Embedder(Model& model, const Tokenizer& tokenizer, EmbeddingOptions options,
           std::optional<Statistics> statistics = {});

  const EmbeddingOptions& options() const { return options_; }
  // The length of the vectors.
  int64_t dimensions() const;
  // The tokens of a text after the begin token, as embed() reads them.
  std::vector<int32_t> encode(std::string_view text) const;

  // One vector for each text. Several texts are read in one step, long ones in pieces, so the memory of a
  // step does not grow with them; for a version with a context limit, a longer text is read in windows of
  // that many tokens, each from the beginning. The vector of a text has the same bits whatever else is in
  // `texts`. Throws Error for a text without any token.
  std::vector<std::vector<float>> embed(std::span<const std::string> texts);
  // The same for texts that are tokens already.
  std::vector<std::vector<float>> embed_tokens(std::span<const std::vector<int32_t>> texts);

 private:
  struct Reading;
  void start(Reading& reading);
  void read(std::vector<Reading>& readings);
  void take_rows(std::vector<Reading*>& step, const Sequences& sequences, size_t at,
                 const Tensor& rows) const;
  std::vector<float> vector_of(const Reading& reading) const;
  int64_t raw_width() const;
  // The most tokens of a text in one step, and the length of its windows (0: there are none).
  int64_t piece(const Reading& reading) const;

  const Model& model_;
  const Tokenizer& tokenizer_;
  EmbeddingOptions options_;
  std::optional<Statistics> statistics_;
  Runner runner_;
  std::vector<int64_t> places_;     // for Runner::read_rows
  std::vector<State> free_states_;  // of earlier texts
};

}  // namespace aviary
