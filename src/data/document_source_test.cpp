#include "data/document_source.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/error.h"

namespace aviary {
namespace {

// Document i has i % 5 + 2 tokens, all of them i, of which those with even places are trained, and the last
// one.
std::vector<Document> numbered(int32_t count, const std::vector<double>& weights = {1}) {
  std::vector<Document> documents;
  for (int32_t i = 0; i < count; ++i) {
    Document document{.tokens = {}, .trained = {}, .where = "a.jsonl"};
    document.tokens.assign(static_cast<size_t>(i % 5 + 2), i);
    document.trained.assign(document.tokens.size(), false);
    for (size_t t = 2; t < document.trained.size(); t += 2) document.trained[t] = true;
    document.trained.back() = true;
    document.weight = weights[static_cast<size_t>(i) % weights.size()];
    documents.push_back(document);
  }
  return documents;
}

// The first token of every sequence of the passes.
std::vector<int32_t> order_of(DocumentSource& source, int64_t first, int64_t last) {
  std::vector<int32_t> order;
  for (int64_t pass = first; pass < last; ++pass) {
    const Batch& batch = source.batch(pass);
    for (int64_t s = 0; s < batch.sequences.count(); ++s)
      order.push_back(batch.tokens[static_cast<size_t>(batch.sequences.begin(s))]);
  }
  return order;
}

TEST(DocumentSource, ASequenceIsADocumentWithoutItsLastTokenAndAFreshState) {
  const std::vector<Document> documents = numbered(10);
  DocumentSource source(documents, 4, 1);
  for (int64_t pass = 0; pass < 20; ++pass) {
    const Batch& batch = source.batch(pass);
    ASSERT_EQ(batch.sequences.count(), 4);
    EXPECT_EQ(batch.fresh, std::vector<bool>(4, true));
    ASSERT_EQ(std::ssize(batch.tokens), batch.sequences.rows());
    ASSERT_EQ(std::ssize(batch.targets), batch.sequences.rows());
    for (int64_t s = 0; s < 4; ++s) {
      const auto begin = static_cast<size_t>(batch.sequences.begin(s));
      const Document& document = documents[static_cast<size_t>(batch.tokens[begin])];
      ASSERT_EQ(batch.sequences.length(s), std::ssize(document.tokens) - 1);
      for (size_t i = 0; i + 1 < document.tokens.size(); ++i) {
        EXPECT_EQ(batch.tokens[begin + i], document.tokens[i]);
        EXPECT_EQ(batch.targets[begin + i], document.trained[i + 1] ? document.tokens[i + 1] : -1);
      }
    }
  }
}

TEST(DocumentSource, ABatchIsAFunctionOfItsPassAlone) {
  for (const std::vector<double>& weights : {std::vector<double>{1}, {0.3, 2.5, 1}}) {
    const std::vector<Document> documents = numbered(11, weights);
    DocumentSource source(documents, 3, 7), again(documents, 3, 7), other(documents, 3, 8);
    std::vector<Batch> batches;
    for (int64_t pass = 0; pass < 60; ++pass) batches.push_back(source.batch(pass));
    for (int64_t pass = 59; pass >= 0; --pass) {
      const Batch& batch = again.batch(pass);
      EXPECT_EQ(batch.tokens, batches[static_cast<size_t>(pass)].tokens);
      EXPECT_EQ(batch.targets, batches[static_cast<size_t>(pass)].targets);
    }
    EXPECT_NE(order_of(other, 0, 60), order_of(source, 0, 60));
  }
}

TEST(DocumentSource, EveryEpochIsAnotherPermutationAlsoWhereABatchEndsInTheNextOne) {
  for (const int64_t batch : {1, 3, 10, 25}) {
    const std::vector<Document> documents = numbered(10);
    DocumentSource source(documents, batch, 5);
    EXPECT_DOUBLE_EQ(source.passes_per_epoch(), 10.0 / static_cast<double>(batch));
    const std::vector<int32_t> order = order_of(source, 0, 300 / batch);
    std::vector<int32_t> previous;
    for (size_t begin = 0; begin + 10 <= order.size(); begin += 10) {
      std::vector<int32_t> epoch(order.begin() + static_cast<ptrdiff_t>(begin),
                                 order.begin() + static_cast<ptrdiff_t>(begin + 10));
      EXPECT_NE(epoch, previous);
      previous = epoch;
      std::sort(epoch.begin(), epoch.end());
      for (int32_t i = 0; i < 10; ++i) ASSERT_EQ(epoch[static_cast<size_t>(i)], i) << "batch " << batch;
    }
  }
}

TEST(DocumentSource, AWeightIsHowOftenADocumentComesInAnEpoch) {
  const std::vector<double> weights = {1, 2, 0.25, 2.5};
  const std::vector<Document> documents = numbered(4, weights);
  DocumentSource source(documents, 1, 3);
  EXPECT_DOUBLE_EQ(source.passes_per_epoch(), 5.75);
  constexpr int epochs = 4000;
  const std::vector<int32_t> order = order_of(source, 0, static_cast<int64_t>(5.75 * epochs));
  for (int32_t i = 0; i < 4; ++i)
    EXPECT_NEAR(static_cast<double>(std::count(order.begin(), order.end(), i)) / epochs,
                weights[static_cast<size_t>(i)], 0.05)
        << i;
  // Document 1 comes exactly twice in an epoch, so between its visits 2 n and 2 n + 2 document 0 comes 0 to 2
  // times.
  int zeros = 0;
  for (size_t at = 0, ones = 0; at < order.size(); ++at) {
    zeros += order[at] == 0 ? 1 : 0;
    ones += order[at] == 1 ? 1 : 0;
    EXPECT_LE(std::abs(static_cast<int>(ones / 2) - zeros), 1) << at;
  }
}

TEST(DocumentSource, EpochsWithoutADocumentArePassedOver) {
  const std::vector<Document> documents = numbered(2, {0.4, 0.8});
  DocumentSource source(documents, 1, 3);
  const std::vector<int32_t> order = order_of(source, 0, 300);
  const double share = static_cast<double>(std::count(order.begin(), order.end(), 1)) / 300;
  EXPECT_NEAR(share, 2.0 / 3, 0.1);  // 3.7 standard errors
}

TEST(DocumentSource, RefusesWhatItCannotRead) {
  const std::vector<Document> none, documents = numbered(3), weightless = numbered(3, {0});
  const std::vector<Document> light = numbered(3, {0.3});
  EXPECT_THROW(DocumentSource(light, 1, 0), Error);
  EXPECT_THROW(DocumentSource(none, 1, 0), Error);
  EXPECT_THROW(DocumentSource(documents, 0, 0), Error);
  EXPECT_THROW(DocumentSource(weightless, 1, 0), Error);
  std::vector<Document> short_one = numbered(3);
  short_one[1].tokens.resize(1);
  EXPECT_THROW(DocumentSource(short_one, 1, 0), Error);
}

}  // namespace
}  // namespace aviary
