// What of a model's reading of a text becomes its vector, and how files say it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.h"

namespace aviary {

// Of the numbers that a model computes while it reads a text. docs/embeddings.md compares them.
enum class Feature : uint8_t {
  last,              // the row of the last token
  mean,              // the mean over the rows of all tokens
  state_vectors,     // the vectors of the state after the text: token shifts, and aa / bb of RWKV-2 to 4
  state_norms,       // of the state's matrices, one per head: the lengths of their rows and of their columns
  state_projection,  // of the same matrices: projection_width fixed random sums per layer
};
// "last", "mean", "state-vectors", "state-norms", "state-projection"
std::string_view name_of(Feature feature);
// Throws Error with a list of the names.
Feature feature_named(std::string_view name);
inline constexpr int64_t projection_width = 256;

// What is done with the numbers before the vector gets its length. All but raw needs Statistics.
enum class Scaling : uint8_t {
  raw,
  z_score,   // each number: minus its mean, divided by its standard deviation
  whitened,  // minus the mean, in the directions of the covariance matrix, each divided by its deviation
};
// "raw", "z-score", "whitened"
std::string_view name_of(Scaling scaling);
Scaling scaling_named(std::string_view name);

struct EmbeddingOptions {
  Feature feature = Feature::mean;
  // Whose rows or states, rising; their vectors follow one another. Of rows: 0 is before the first block, i
  // after i blocks, n_layer + 1 what the output matrix multiplies. Of states: 1 to n_layer, the blocks.
  std::vector<int64_t> layers = {};
  Scaling scaling = Scaling::raw;
  int64_t dimensions = 0;                   // the vector is cut after so many numbers; 0: it is not
  bool unit_length = true;                  // it is divided by its length
  std::optional<int32_t> begin_token = {};  // read before each text (Checkpoint::begin_token)
};

// The default of every version: the mean over tokens of three uniform layers (docs/embeddings.md,
// "Measured").
EmbeddingOptions usual_embedding(const Model& model);
// "1,6,10": layers as EmbeddingOptions::layers of a model with `n_layer` blocks, in any order, each once;
// "out" is n_layer + 1. Throws Error for anything else.
std::vector<int64_t> parse_layers(std::string_view text, int64_t n_layer);

// Throws Error, saying what this model has, unless its version has the feature at these layers.
void require_feature(const Model& model, const EmbeddingOptions& options);

// What must be the same for vectors to mean the same: files made from vectors say it.
struct EmbeddingSource {
  std::string model_hash = {};  // of all that was read from files: base_hash_of, and of adapters
  std::string model_name = {};  // for messages
  std::string tokenizer_hash = {};
  Feature feature = Feature::mean;
  std::vector<int64_t> layers = {};
  std::optional<int32_t> begin_token = {};
};
// As a metadata entry of a file.
std::string to_json(const EmbeddingSource& source);
// Throws Error, beginning with `where`, for text that to_json() did not write.
EmbeddingSource embedding_source_from_json(const std::string& text, const std::string& where);
// Throws Error, beginning with `where`, if vectors of `found` cannot take the place of those that a file was
// made from, saying what differs.
void require_same_source(const EmbeddingSource& said, const EmbeddingSource& found, const std::string& where);

}  // namespace aviary
