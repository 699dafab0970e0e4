// Shared by the commands that make vectors of texts, `aviary embed` and `aviary classify`.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/cli.h"
#include "data/text_list.h"
#include "embed/embedder.h"

namespace aviary::cli {

// Which numbers of the model make a vector: --feature and --layers.
struct FeatureFlags {
  std::string feature, layers;
  void add_to(CLI::App& command);
  // Without scaling, cut or unit length. Throws Error for layers that the model does not have.
  EmbeddingOptions options(const LoadedModel& loaded) const;
};

// The texts of a command: those of --prompt, then those of a file.
struct ListFlags {
  std::vector<std::string> prompts;
  std::string file, map;
  void add_to(CLI::App& command);
  // Throws Error if there is none, and the errors of read_text_list.
  TextList read() const;
};
// A list of texts from a file, or "-", with a note about lines left out.
TextList read_list(const std::string& path, const std::string& map, bool labels);

// What the vectors of this model mean. Reads all of the model's file, for its hash.
EmbeddingSource source_of(const ModelFlags& flags, const LoadedModel& loaded,
                          const EmbeddingOptions& options);

// The vectors of the texts, with a status line. Throws Interrupted after Ctrl-C, and Error naming file and
// line of a text that has no token.
std::vector<std::vector<float>> embed_list(Embedder& embedder, const std::vector<ListedText>& texts,
                                           const InterruptGuard& guard);

}  // namespace aviary::cli
