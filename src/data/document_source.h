// Batches of whole documents, for fine-tuning.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "data/batch_source.h"
#include "data/documents.h"

namespace aviary {

// Every sequence is one document with a fresh state: its tokens without the last one, as ragged rows; a
// target is the next token, or -1 if that is not trained. An epoch has each document floor(weight) times, and
// once more with the probability that is left, in an order of its own. The batch of pass b has the documents
// [b * batch, (b + 1) * batch) of all epochs in a row, so it may go on in the next epoch, and every pass has
// the same number of sequences.
class DocumentSource : public BatchSource {
 public:
  // The documents must outlive it. Throws Error unless there is a document, batch >= 1, and an epoch has at
  // least one document on average.
  DocumentSource(std::span<const Document> documents, int64_t batch, uint64_t seed);
  const Batch& batch(int64_t pass) override;

  // On average, if weights are no whole numbers.
  double passes_per_epoch() const;

 private:
  std::vector<uint32_t> documents_of(int64_t epoch) const;  // in no particular order yet
  void find_epoch(int64_t position);

  std::span<const Document> documents_;
  int64_t batch_size_;
  uint64_t seed_;
  std::vector<int64_t> starts_{0};  // of the epochs counted so far, and of the next one
  int64_t epoch_ = -1;              // whose order is in order_
  std::vector<uint32_t> order_;
  Batch batch_;
};

}  // namespace aviary
