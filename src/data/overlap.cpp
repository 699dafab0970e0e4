#include "data/overlap.h"

#include "data/text_pieces.h"
#include "data/text_statistics.h"

namespace aviary {

Overlap::Overlap(const std::vector<std::filesystem::path>& files) {
  if (files.empty()) return;
  PieceReader reader(files, {});
  TextStatistics statistics;
  WordRun<run> words;
  const auto on_word = [&](uint64_t word) {
    if (words.add(word)) runs_.insert(words.hash());
  };
  for (TextPiece piece; reader.next(piece);) {
    if (piece.kind == TextPiece::Kind::tokens) continue;
    statistics.add(piece.bytes, on_word);
    if (!piece.last) continue;
    statistics.add("\n", on_word);
    words = {};
  }
}

}  // namespace aviary
