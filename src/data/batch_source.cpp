#include "data/batch_source.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace aviary {
namespace {

Batch uniform_batch(int64_t sequences, int64_t length, bool fresh) {
  const auto rows = static_cast<size_t>(sequences * length);
  return {.tokens = std::vector<int32_t>(rows),
          .targets = std::vector<int32_t>(rows),
          .sequences = Sequences::uniform(sequences, length),
          .fresh = std::vector<bool>(static_cast<size_t>(sequences), fresh)};
}

// Sequence s reads the text from `start` on and wraps around at its end.
void read_text(TokenSpan text, int64_t start, int64_t s, Batch& batch) {
  const int64_t size = text.size();
  for (int64_t row = batch.sequences.begin(s), at = start; row < batch.sequences.end(s); ++row, ++at) {
    batch.tokens[static_cast<size_t>(row)] = text[at % size];
    batch.targets[static_cast<size_t>(row)] = text[(at + 1) % size];
  }
}

}  // namespace

int64_t Batch::counted() const {
  return std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target >= 0; });
}

Batch Batch::part(int64_t first, int64_t last) const {
  Batch batch;
  const int64_t begin = first < last ? sequences.begin(first) : 0,
                end = first < last ? sequences.end(last - 1) : 0;
  batch.tokens.assign(tokens.begin() + begin, tokens.begin() + end);
  batch.targets.assign(targets.begin() + begin, targets.begin() + end);
  batch.fresh.assign(fresh.begin() + first, fresh.begin() + last);
  for (int64_t s = first; s < last; ++s) batch.sequences.append(sequences.length(s));
  return batch;
}

WindowSource::WindowSource(TokenSpan text, int64_t context, int64_t batch, uint64_t seed)
    : WindowSource({text}, WindowOrder({{text.size()}}, context, seed), context, batch) {}

WindowSource::WindowSource(std::vector<TokenSpan> texts, WindowOrder order, int64_t context, int64_t batch)
    : texts_(std::move(texts)), order_(std::move(order)), batch_(uniform_batch(batch, context, true)) {
  require(batch >= 1, "batches: the batch is {}, expected at least 1", batch);
}

const Batch& WindowSource::batch(int64_t pass) {
  const int64_t sequences = batch_.sequences.count();
  for (int64_t s = 0; s < sequences; ++s) {
    const Window window = order_.window(pass * sequences + s);
    read_text(texts_[window.text], window.start, s, batch_);
  }
  return batch_;
}

CarriedSource::CarriedSource(TokenSpan text, int64_t context, int64_t batch)
    : text_(text), context_(context), batch_(uniform_batch(batch, context, false)) {
  require(text.size() > context,
          "batches: the text has {} tokens, but a sequence needs {}; take a longer text or a shorter context",
          text.size(), context + 1);
}

const Batch& CarriedSource::batch(int64_t pass) {
  const int64_t sequences = batch_.sequences.count(), size = text_.size();
  for (int64_t s = 0; s < sequences; ++s) {
    batch_.fresh[static_cast<size_t>(s)] = pass == 0;
    read_text(text_, (s * size / sequences + pass * context_) % size, s, batch_);
  }
  return batch_;
}

}  // namespace aviary
