#include "data/documents.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/human.h"

namespace aviary {
namespace {

// Appends the tokens of the whole text, each with whether its first byte is trained. False, with `document`
// unchanged, if the tokens do not spell the text.
bool add_whole(const Sample& sample, const Tokenizer& tokenizer, Document& document) {
  const std::vector<int32_t> tokens = tokenizer.encode(sample.text);
  if (tokenizer.decode(tokens) != sample.text) return false;
  size_t at = 0;
  auto span = sample.trained.begin();  // the first that ends behind `at`
  for (const int32_t token : tokens) {
    const size_t end = at + tokenizer.bytes_of(token).size();
    while (span != sample.trained.end() && span->end <= at) ++span;
    const bool more = span != sample.trained.end(), inside = more && span->begin <= at;
    document.tokens.push_back(token);
    document.trained.push_back(inside);
    if (more && (inside ? span->end : span->begin) < end) ++document.straddling;
    at = end;
  }
  return true;
}

// The same with the parts between the borders tokenized one by one.
void add_parts(const Sample& sample, const Tokenizer& tokenizer, Document& document) {
  size_t at = 0;
  auto add = [&](size_t end, bool trained) {
    tokenizer.encode(std::string_view(sample.text).substr(at, end - at), document.tokens);
    document.trained.resize(document.tokens.size(), trained);
    at = end;
  };
  for (const Span& span : sample.trained) {
    add(span.begin, false);
    add(span.end, true);
  }
  add(sample.text.size(), false);
}

void count_trained_bytes(Document& document, const Tokenizer& tokenizer) {
  document.trained_bytes = 0;
  for (size_t i = 0; i < document.tokens.size(); ++i)
    if (document.trained[i]) document.trained_bytes += std::ssize(tokenizer.bytes_of(document.tokens[i]));
}

// Leaves out what is not one of the first `rows` tokens or their targets. Throws Error if nothing trained is
// left.
void cut(Document& document, int64_t rows, const Tokenizer& tokenizer) {
  document.tokens.resize(static_cast<size_t>(rows) + 1);
  document.trained.resize(document.tokens.size());
  require(document.trained_tokens() > 0,
          "{}: nothing that is trained is left of the document after {} tokens", document.where,
          with_commas(rows));
  count_trained_bytes(document, tokenizer);
}

struct Hashed {
  uint64_t hash;  // of the text
  Document document;
};

// The hashes of the texts that are held out.
std::set<uint64_t> held_out(const std::vector<Hashed>& all, double share) {
  std::set<uint64_t> hashes;
  for (const Hashed& one : all) hashes.insert(one.hash);
  const auto distinct = std::ssize(hashes);
  const auto wanted = static_cast<int64_t>(std::llround(share * static_cast<double>(distinct)));
  if (share == 0 || distinct < 2) return {};
  hashes.erase(std::next(hashes.begin(), std::clamp<int64_t>(wanted, 1, distinct - 1)), hashes.end());
  return hashes;
}

// Reads one file; the options with which its rows are read say what becomes of an Error.
void read_file_of_rows(const DataFile& file, const Tokenizer& tokenizer, const DocumentOptions& options,
                       std::vector<Hashed>& all, Documents& documents, std::set<std::string>& renamed) {
  const std::string_view bytes = file.input.bytes();
  const std::string& name = file.input.name();
  require(holds_rows(bytes, name), "{}: it does not hold rows, expected one JSON object per line", name);
  RowCounts counts = read_rows(bytes, name, options.rows, [&](Sample&& sample) {
    Document document = document_of(sample, tokenizer, options.begin_token, options.end_token);
    document.weight = file.weight;
    const int64_t rows = std::ssize(document.tokens) - 1;
    if (options.context > 0 && rows > options.context) {
      require(
          options.truncate,
          "{}: the document has {} tokens, but the context is {}; take a longer context, or truncate such "
          "documents",
          sample.where, with_commas(rows), with_commas(options.context));
      cut(document, options.context, tokenizer);
      ++documents.truncated;
    }
    documents.straddling += document.straddling;
    const uint64_t hash = XXH3_64bits_withSeed(sample.text.data(), sample.text.size(), options.seed);
    all.push_back({hash, std::move(document)});
  });
  documents.skipped += counts.broken;
  renamed.merge(counts.renamed);
  documents.ignored_keys.merge(counts.ignored);
}

}  // namespace

int64_t Document::trained_tokens() const { return std::count(trained.begin(), trained.end(), true); }

Document document_of(const Sample& sample, const Tokenizer& tokenizer, std::optional<int32_t> begin_token,
                     std::optional<int32_t> end_token) {
  Document document{.tokens = {}, .trained = {}, .where = sample.where, .conversation = sample.conversation};
  if (begin_token) {
    document.tokens.push_back(*begin_token);
    document.trained.push_back(false);
  }
  try {
    if (!add_whole(sample, tokenizer, document)) add_parts(sample, tokenizer, document);
  } catch (const Error& error) {
    fail("{}: {}", sample.where, error.what());
  }
  if (!document.trained.empty()) document.trained[0] = false;
  count_trained_bytes(document, tokenizer);
  if (end_token) {
    document.tokens.push_back(*end_token);
    document.trained.push_back(!sample.trained.empty() && sample.trained.back().end == sample.text.size());
  }
  require(
      document.trained_tokens() > 0,
      "{}: the document has no token to learn: the first of its {} is not predicted, and no other is trained",
      sample.where, document.tokens.size());
  return document;
}

DataRequest data_request(const std::string& text) {
  constexpr std::string_view key = "weight=";
  const size_t comma = std::min(text.find(','), text.size());
  DataRequest request{.path = text.substr(0, comma)};
  require(comma > 0, "{}: expected FILE, or FILE,weight=W", in_quotes(text));
  if (comma == text.size()) return request;
  const std::string part = text.substr(comma + 1);
  require(part.starts_with(key), "{}: {} is not weight=W", in_quotes(text), in_quotes(part));
  const char *begin = part.data() + key.size(), *end = part.data() + part.size();
  const auto [last, error] = std::from_chars(begin, end, request.weight);
  require(error == std::errc() && last == end && request.weight >= 0.001 && request.weight <= 1000,
          "{}: the weight is {}, expected a number from 0.001 to 1000", in_quotes(text),
          in_quotes(part.substr(key.size())));
  return request;
}

Documents read_documents(std::span<const DataFile> files, const Tokenizer& tokenizer,
                         const DocumentOptions& options) {
  require(options.validation_share >= 0 && options.validation_share < 1,
          "the share of the documents for validation is {}, expected at least 0 and less than 1",
          options.validation_share);
  Documents documents;
  std::vector<Hashed> all;
  std::set<std::string> renamed;
  for (const DataFile& file : files) read_file_of_rows(file, tokenizer, options, all, documents, renamed);
  for (const auto& [key, other] : options.rows.rename)
    require(renamed.contains(key), "no row has the key {}, which is to be read as {}", in_quotes(key),
            in_quotes(other));
  require(!all.empty(), "the data holds no documents to train on: all its {} rows are broken",
          documents.skipped);
  const std::set<uint64_t> held = held_out(all, options.validation_share);
  for (Hashed& one : all)
    (held.contains(one.hash) ? documents.validation : documents.train).push_back(std::move(one.document));
  return documents;
}

namespace {

// A token in the middle of a character begins with one of its further bytes, 10xxxxxx.
bool goes_on(std::string_view bytes) {
  return !bytes.empty() && (static_cast<uint8_t>(bytes[0]) & 0xc0) == 0x80;
}

// Tokens [begin, end), with marks that are closed at the end.
std::string marked_part(const Document& document, const Tokenizer& tokenizer, size_t begin, size_t end) {
  std::string shown;
  while (begin < end) {
    const bool trained = document.trained[begin];
    std::string bytes, run;
    for (; begin < end && document.trained[begin] == trained; ++begin) {
      if (document.tokens[begin] != tokenizer.end_of_text()) {
        bytes += tokenizer.bytes_of(document.tokens[begin]);
        continue;
      }
      run += for_terminal(std::exchange(bytes, "")) + "<end>";
    }
    run += for_terminal(bytes);
    shown += trained ? "[[" + run + "]]" : run;
  }
  return shown;
}

}  // namespace

std::string marked(const Document& document, const Tokenizer& tokenizer, int64_t longest) {
  const size_t size = document.tokens.size(), half = static_cast<size_t>(longest) / 2;
  if (size <= static_cast<size_t>(longest)) return marked_part(document, tokenizer, 0, size);
  size_t begin = half, end = size - half;
  while (begin > 0 && goes_on(tokenizer.bytes_of(document.tokens[begin]))) --begin;
  while (end < size && goes_on(tokenizer.bytes_of(document.tokens[end]))) ++end;
  return fmt::format("{}\n... {} tokens ...\n{}", marked_part(document, tokenizer, 0, begin),
                     with_commas(static_cast<int64_t>(end - begin)),
                     marked_part(document, tokenizer, end, size));
}

}  // namespace aviary
