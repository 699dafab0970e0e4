#include "text/vocabulary_trainer.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "text/pair_merger.h"
#include "text/pieces.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace aviary {

namespace {

// Thrown when the caller asks to stop.
struct Stopped {};

// Work done and total work; called from every long loop.
class Watch {
 public:
  Watch(const std::function<bool(double)>& progress, double work) : progress_(progress), work_(work) {}
  // The work done so far; later calls of step() repeat this value.
  void done(double work) {
    share_ = std::min(1.0, work / work_);
    step();
  }
  void step() const {
    if (progress_ && !progress_(share_)) throw Stopped();
  }

 private:
  const std::function<bool(double)>& progress_;
  const double work_;
  double share_ = 0;
};
constexpr size_t words_of_a_step = 4096;

struct Word {
  std::string_view bytes;
  int64_t count = 0;
};

// The distinct pieces of a text in order of first occurrence, as views into the text.
class WordTable {
 public:
  void add(std::string_view text) {
    Pieces pieces(text);
    for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
      auto [found, is_new] = index_.try_emplace(piece, words_.size());
      if (is_new) {
        words_.push_back({piece, 0});
        bytes_ += piece.size();
      }
      ++words_[found->second].count;
    }
  }
  // Total size of the distinct pieces.
  size_t bytes() const { return bytes_; }
  std::vector<Word> take() { return std::move(words_); }

 private:
  std::unordered_map<std::string_view, size_t> index_;
  std::vector<Word> words_;
  size_t bytes_ = 0;
};

// Reads a large text in 64 parts, in an order that covers the whole text evenly at any stopping point.
// Reading stops when there are too many distinct words to be worth the time, as happens early for languages
// without spaces.
std::vector<Word> count_words(std::string_view text, int64_t sample_bytes, const Watch& watch) {
  constexpr size_t large = size_t{256} << 10, most_word_bytes = size_t{4} << 20;
  WordTable table;
  size_t parts = text.size() < large ? 1 : 64;
  size_t longest = static_cast<size_t>(std::max<int64_t>(sample_bytes, 0)) / parts + 1;
  auto character_after = [&](size_t at) {
    while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80) ++at;
    return at;
  };
  for (size_t i = 0; i < parts && table.bytes() < most_word_bytes; ++i) {
    size_t part = i * 37 % parts;
    size_t begin = text.size() / parts * part;
    size_t end = part + 1 == parts ? text.size() : text.size() / parts * (part + 1);
    begin = character_after(begin);
    end = character_after(std::min(begin + longest, end));
    table.add(text.substr(begin, end - begin));
    watch.step();
  }
  return table.take();
}

std::string vocabulary_text(const std::vector<std::string>& learned) {
  std::string text;
  for (int32_t byte = 0; byte < 256; ++byte)
    text += vocabulary_line(byte + 1, std::string(1, static_cast<char>(byte)));
  for (size_t i = 0; i < learned.size(); ++i)
    text += vocabulary_line(257 + static_cast<int32_t>(i), learned[i]);
  return text;
}

// The words as the real tokenizer would encode them with the tokens learned so far.
struct Encoded {
  TokenizerPtr tokenizer;
  std::vector<int64_t> uses;  // of each learned token
  int64_t tokens = 0;         // of the whole text
};

Encoded encode_words(const std::vector<Word>& words, const std::vector<std::string>& learned,
                     PairMerger* merger, const Watch& watch) {
  watch.step();
  Encoded result{make_world_tokenizer(vocabulary_text(learned)), std::vector<int64_t>(learned.size()), 0};
  std::vector<int32_t> ids, symbols;
  for (size_t w = 0; w < words.size(); ++w) {
    if (w % words_of_a_step == 0) watch.step();
    const Word& word = words[w];
    ids.clear(), symbols.clear();
    result.tokenizer->encode(word.bytes, ids);
    result.tokens += word.count * static_cast<int64_t>(ids.size());
    for (int32_t id : ids)
      if (id > 256) result.uses[static_cast<size_t>(id - 257)] += word.count;
    if (merger == nullptr || ids.size() < 2) continue;
    for (size_t at = 0, i = 0; i < ids.size();) {
      // A character that has no token was encoded byte by byte: put it together again.
      Utf8Step step = utf8_step(word.bytes.substr(at));
      std::string_view bytes = result.tokenizer->bytes_of(ids[i]);
      bool whole = ids[i] > 256 || step.kind != Utf8Kind::character || step.length == 1;
      if (!whole) bytes = word.bytes.substr(at, static_cast<size_t>(step.length));
      symbols.push_back(merger->symbol(bytes, whole));
      i += whole ? 1 : bytes.size();
      at += bytes.size();
    }
    merger->add_word(symbols, word.count);
  }
  return result;
}

// How many more tokens the text would have without this learned token: the number of its uses times the
// tokens that each would become.
int64_t loss_without(const std::string& token, int64_t uses, const Tokenizer& tokenizer) {
  std::string_view bytes = token;
  int32_t first = tokenizer.encode(bytes.substr(0, bytes.size() - 1)).front();
  size_t rest = tokenizer.encode(bytes.substr(tokenizer.bytes_of(first).size())).size();
  return uses * static_cast<int64_t>(rest);
}

// The `keep` most useful tokens, in their original order.
std::vector<std::string> most_useful(const std::vector<std::string>& learned, const Encoded& encoded,
                                     size_t keep, const Watch& watch) {
  std::vector<int64_t> losses;
  for (size_t i = 0; i < learned.size(); ++i) {
    if (i % words_of_a_step == 0) watch.step();
    losses.push_back(loss_without(learned[i], encoded.uses[i], *encoded.tokenizer));
  }
  std::vector<size_t> order(learned.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return losses[a] > losses[b]; });
  order.resize(keep);
  std::sort(order.begin(), order.end());
  std::vector<std::string> kept;
  for (size_t i : order) kept.push_back(learned[i]);
  return kept;
}

// Drops the least useful tokens until `wanted` are left, in steps, because each removal changes the
// usefulness of the others.
std::vector<std::string> shrink(std::vector<std::string> learned, const std::vector<Word>& words,
                                size_t wanted, const Watch& watch) {
  constexpr size_t steps = 6;
  size_t surplus = learned.size() - wanted;
  for (size_t left = steps; left-- > 0 && learned.size() > wanted;)
    learned = most_useful(learned, encode_words(words, learned, nullptr, watch),
                          wanted + surplus * left / steps, watch);
  return learned;
}

std::vector<std::string> by_use(const std::vector<std::string>& learned, const std::vector<int64_t>& uses) {
  std::vector<size_t> order(learned.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return uses[a] != uses[b] ? uses[a] > uses[b] : learned[a] < learned[b];
  });
  std::vector<std::string> sorted;
  for (size_t i : order) sorted.push_back(learned[i]);
  return sorted;
}

// Plain byte pair encoding makes every intermediate step towards a word a token ("Eliza", "Elizab"), which
// the longest match then hardly ever uses. So each round learns too many tokens, twice as many at first, and
// drops the least useful ones; the next round continues from the text as the tokenizer now encodes it.
std::string learn(std::string_view text, size_t wanted, const VocabularyOptions& options) {
  Watch watch(options.progress, options.rounds + 1.0);
  const std::vector<Word> words = count_words(text, options.sample_bytes, watch);
  std::vector<std::string> learned, best;
  int64_t best_tokens = std::numeric_limits<int64_t>::max();
  for (int round = 0; round <= options.rounds; ++round) {
    const size_t goal = round == 0 ? wanted : wanted + wanted / static_cast<size_t>(round);
    PairMerger merger;
    encode_words(words, learned, &merger, watch);
    while (learned.size() < goal) {
      std::string token = merger.next_token();
      if (token.empty()) break;
      learned.push_back(std::move(token));
      if (learned.size() % 16 == 0)
        watch.done(round + static_cast<double>(learned.size()) / static_cast<double>(goal));
    }
    if (learned.size() > wanted) learned = shrink(std::move(learned), words, wanted, watch);
    const Encoded encoded = encode_words(words, learned, nullptr, watch);
    if (encoded.tokens >= best_tokens) continue;
    best_tokens = encoded.tokens;
    best = by_use(learned, encoded.uses);
  }
  watch.done(options.rounds + 1.0);
  return vocabulary_text(best);
}

}  // namespace

std::string train_vocabulary(std::string_view text, int32_t vocab_size, const VocabularyOptions& options) {
  require(vocab_size >= 257 && vocab_size <= 65536,
          "vocabulary: its size is to be {}, expected 257 (all bytes and the end of text) to 65536",
          vocab_size);
  try {
    return learn(text, static_cast<size_t>(vocab_size) - 257, options);
  } catch (const Stopped&) {
    return "";
  }
}

}  // namespace aviary
