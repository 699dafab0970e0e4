#include "data/token_corpus.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <unordered_map>

#include "base/error.h"
#include "data/corpus.h"

namespace aviary {
namespace {

using Part = TokenCorpus::Part;

constexpr int64_t most_validation = 200'000;  // bytes, unless the user says
constexpr int64_t short_document = 16;        // tokens; shorter ones may well occur twice

std::string hash_of(std::span<const std::byte> bytes) {
  return fmt::format("{:016x}", XXH3_64bits(bytes.data(), bytes.size()));
}

Part open(const DataRequest& request) {
  Part part{.file = TokenFile(request.path), .weight = request.weight};
  const TokenFile& file = part.file;
  require(file.documents() > 0, "{}: has no documents", file.name());
  const char* const hint = file.flat_tokens() == 2 * file.tokens()
                               ? "; are its numbers int32, and the index that of a file of uint16?"
                               : "; is the index that of another file?";
  require(file.tokens() == file.flat_tokens(), "{}: has {} tokens, but its index counts {}{}", file.name(),
          file.flat_tokens(), file.tokens(), hint);
  part.hash = hash_of(file.bin_bytes()) + hash_of(file.idx_bytes());
  return part;
}

void count_token_bytes(Part& part, const Tokenizer& tokenizer) {
  const int32_t size = tokenizer.vocab_size();
  std::vector<int32_t> lengths(static_cast<size_t>(size));
  for (int32_t token = 0; token < size; ++token)
    lengths[static_cast<size_t>(token)] = static_cast<int32_t>(tokenizer.bytes_of(token).size());
  const TokenSpan tokens = part.file.flat();
  for (int64_t i = 0; i < tokens.size(); ++i) {
    const int32_t token = tokens[i];
    require(
        token >= 0 && token < size,
        "{}: has the token {}, but the tokenizer has the tokens 0 to {}; name the tokenizer that made the "
        "file with --tokenizer",
        part.file.name(), token, size - 1);
    part.bytes += lengths[static_cast<size_t>(token)];
  }
}

// The first start of a document in [from, to]; `to` + 1 if there is none.
int64_t next_document(const TokenFile& file, int64_t from, int64_t to) {
  int64_t found = to + 1;
  for (int64_t i = 0; i < file.documents(); ++i)
    if (const int64_t start = file.start_of(i); start >= from) found = std::min(found, start);
  return found;
}

// The first token in [from, to] from which on a paragraph, line or word is whole; `from` if there is none.
int64_t next_unit_of(TokenSpan tokens, const Tokenizer& tokenizer, int64_t from, int64_t to) {
  const std::optional<size_t> unit = next_unit(tokenizer.decode(tokens.part(from, to - from).copy()));
  for (size_t bytes = 0; unit && bytes < *unit && from < to; ++from)
    bytes += tokenizer.bytes_of(tokens[from]).size();
  return from;
}

// Keeps about `wanted` bytes at the end for validation.
void split(Part& part, const Tokenizer& tokenizer, int64_t wanted) {
  const TokenSpan tokens = part.file.flat();
  auto bytes_of = [&](int64_t i) { return std::ssize(tokenizer.bytes_of(tokens[i])); };
  int64_t cut = tokens.size();
  for (int64_t bytes = 0; wanted > 0 && cut > 0 && bytes + bytes_of(cut - 1) <= wanted;)
    bytes += bytes_of(--cut);
  int64_t half = cut;  // [cut, half) has at most half of the wanted bytes
  for (int64_t bytes = 0; half < tokens.size() && bytes + bytes_of(half) <= wanted / 2;)
    bytes += bytes_of(half++);
  if (cut < tokens.size()) {
    const int64_t document = next_document(part.file, cut, half);
    cut = document <= half ? document : next_unit_of(tokens, tokenizer, cut, half);
  }
  require(
      cut > 0,
      "{}: its {} bytes of text are no more than those that are kept for validation; take a longer file, or "
      "fewer --validation-bytes",
      part.file.name(), part.bytes);
  part.train_tokens = cut;
  part.validation = tokens.part(cut, tokens.size() - cut).copy();
  for (int64_t i = cut; i < tokens.size(); ++i) part.validation_bytes += bytes_of(i);
  part.train_bytes = part.bytes - part.validation_bytes;
}

uint64_t hash_of_document(const TokenFile& file, int64_t document) {
  const int64_t width = bytes_of(file.type());
  return XXH3_64bits(file.bin_bytes().data() + width * file.start_of(document),
                     static_cast<size_t>(width * file.size_of(document)));
}

// A file of several epochs has every document several times.
int64_t count_repeated(const Part& part) {
  std::unordered_map<uint64_t, bool> kept;  // hashes of the validation documents: whether they occur before
  for (int64_t i = 0; i < part.file.documents(); ++i)
    if (part.file.start_of(i) >= part.train_tokens && part.file.size_of(i) >= short_document)
      kept.emplace(hash_of_document(part.file, i), false);
  for (int64_t i = 0; !kept.empty() && i < part.file.documents(); ++i)
    if (part.file.start_of(i) < part.train_tokens)
      if (const auto found = kept.find(hash_of_document(part.file, i)); found != kept.end())
        found->second = true;
  return std::count_if(kept.begin(), kept.end(), [](const auto& one) { return one.second; });
}

}  // namespace

TokenCorpus::TokenCorpus(std::span<const DataRequest> files, const Tokenizer& tokenizer,
                         int64_t validation_bytes) {
  int64_t bytes = 0;
  for (const DataRequest& request : files) {
    parts_.push_back(open(request));
    count_token_bytes(parts_.back(), tokenizer);
    bytes += parts_.back().bytes;
  }
  std::sort(parts_.begin(), parts_.end(), [](const Part& one, const Part& other) {
    return std::tie(one.hash, one.weight) < std::tie(other.hash, other.weight);
  });
  const int64_t wanted = validation_bytes >= 0 ? validation_bytes : std::min(bytes / 10, most_validation);
  for (Part& part : parts_) {
    const double share = static_cast<double>(part.bytes) / static_cast<double>(std::max<int64_t>(bytes, 1));
    split(part, tokenizer, std::llround(share * static_cast<double>(wanted)));
    part.repeated = count_repeated(part);
  }
}

std::string TokenCorpus::hash() const {
  std::string all;
  for (const Part& part : parts_) all += fmt::format("{} {} ", part.hash, part.weight);
  return hash_of(std::as_bytes(std::span(all)));
}

int64_t TokenCorpus::train_tokens(bool with_weights) const {
  double sum = 0;
  for (const Part& part : parts_)
    sum += static_cast<double>(part.train_tokens) * (with_weights ? part.weight : 1);
  return std::llround(sum);
}

int64_t TokenCorpus::train_bytes(bool with_weights) const {
  double sum = 0;
  for (const Part& part : parts_)
    sum += static_cast<double>(part.train_bytes) * (with_weights ? part.weight : 1);
  return std::llround(sum);
}

int64_t TokenCorpus::validation_bytes() const {
  int64_t sum = 0;
  for (const Part& part : parts_) sum += part.validation_bytes;
  return sum;
}

int64_t TokenCorpus::repeated() const {
  int64_t sum = 0;
  for (const Part& part : parts_) sum += part.repeated;
  return sum;
}

}  // namespace aviary
