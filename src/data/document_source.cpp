#include "data/document_source.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/random.h"

namespace aviary {
namespace {

// What the random numbers of an epoch are for.
enum Purpose : uint64_t { order, share };

Random random_of(uint64_t seed, int64_t epoch, Purpose purpose) {
  return Random(seed).split(static_cast<uint64_t>(epoch)).split(purpose);
}

void add_document(const Document& document, Batch& batch) {
  const size_t rows = document.tokens.size() - 1;
  for (size_t i = 0; i < rows; ++i) {
    batch.tokens.push_back(document.tokens[i]);
    batch.targets.push_back(document.trained[i + 1] ? document.tokens[i + 1] : -1);
  }
  batch.sequences.append(static_cast<int64_t>(rows));
  batch.fresh.push_back(true);
}

}  // namespace

DocumentSource::DocumentSource(std::span<const Document> documents, int64_t batch, uint64_t seed)
    : documents_(documents), batch_size_(batch), seed_(seed) {
  require(!documents.empty() && documents.size() <= std::numeric_limits<uint32_t>::max(),
          "batches: there are {} documents, expected at least one", documents.size());
  require(batch >= 1, "batches: the batch is {}, expected at least 1", batch);
  for (const Document& document : documents)
    require(document.tokens.size() >= 2 && document.trained.size() == document.tokens.size() &&
                document.weight > 0,
            "batches: {} has {} tokens and the weight {}, expected at least two and a positive weight",
            document.where, document.tokens.size(), document.weight);
  const double each = passes_per_epoch() * static_cast<double>(batch);
  require(each > 0.999,
          "batches: the weights of all documents sum to {:.3g}, expected at least 1; raise them", each);
}

std::vector<uint32_t> DocumentSource::documents_of(int64_t epoch) const {
  std::vector<uint32_t> result;
  Random random = random_of(seed_, epoch, Purpose::share);
  for (uint32_t i = 0; i < documents_.size(); ++i) {
    const double whole = std::floor(documents_[i].weight);
    const bool once_more = random.uniform() < documents_[i].weight - whole;
    result.insert(result.end(), static_cast<size_t>(whole) + (once_more ? 1 : 0), i);
  }
  return result;
}

// Sets epoch_ and order_ to those of the epoch that has the document at this position of all epochs in a row.
void DocumentSource::find_epoch(int64_t position) {
  while (starts_.back() <= position)
    starts_.push_back(starts_.back() + std::ssize(documents_of(std::ssize(starts_) - 1)));
  const auto after = std::upper_bound(starts_.begin(), starts_.end(), position);
  const int64_t epoch = std::distance(starts_.begin(), after) - 1;
  if (epoch == epoch_) return;
  epoch_ = epoch;
  order_ = documents_of(epoch);
  Random random = random_of(seed_, epoch, Purpose::order);
  for (int64_t i = std::ssize(order_) - 1; i > 0; --i)
    std::swap(order_[static_cast<size_t>(i)], order_[static_cast<size_t>(random.below(i + 1))]);
}

const Batch& DocumentSource::batch(int64_t pass) {
  batch_ = {};
  for (int64_t position = pass * batch_size_; position < (pass + 1) * batch_size_; ++position) {
    find_epoch(position);
    const int64_t within = position - starts_[static_cast<size_t>(epoch_)];
    add_document(documents_[order_[static_cast<size_t>(within)]], batch_);
  }
  return batch_;
}

double DocumentSource::passes_per_epoch() const {
  double documents = 0;
  for (const Document& document : documents_) documents += document.weight;
  return documents / static_cast<double>(batch_size_);
}

}  // namespace aviary
