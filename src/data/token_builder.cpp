#include "data/token_builder.h"

#include <tsl/robin_set.h>

#include <algorithm>
#include <fstream>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "data/piece_reading.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr int64_t batch_bytes = int64_t{8} << 20;  // of pieces that are read, for each thread
constexpr size_t most_notes = 5;

struct HashPair {
  size_t operator()(const std::pair<uint64_t, uint64_t>& hash) const { return hash.first; }
};

// What is kept of every document that was read.
struct Entry {
  int64_t start = 0;  // in the file of all tokens, in bytes
  int32_t tokens = 0;
  bool dropped = false, exact = false;
};

// A file that is removed when it is no longer used.
class ScratchFile {
 public:
  explicit ScratchFile(fs::path path)
      : path_(std::move(path)), file_(path_, std::ios::binary | std::ios::trunc) {}
  ~ScratchFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    file_.write(reinterpret_cast<const char*>(bytes.data()), std::ssize(bytes));
    require(file_.good(), "{}: cannot be written (is the disk full?)", path_.string());
  }
  MappedFile map() {
    file_.close();
    require(file_.good(), "{}: cannot be written (is the disk full?)", path_.string());
    return MappedFile(path_);
  }

 private:
  fs::path path_;
  std::ofstream file_;
};

class CorpusBuilder {
 public:
  CorpusBuilder(const std::vector<fs::path>& files, const fs::path& out, const Tokenizer& tokenizer,
                const BuildOptions& options)
      : options_(options),
        tokenizer_(tokenizer),
        type_(tokenizer.vocab_size() <= 65536 ? TokenType::uint16 : TokenType::int32),
        overlap_(options.evaluation),
        reader_(files, options.pieces),
        out_(out),
        scratch_(fs::path(TokenPaths(out).bin) += ".unsorted") {
    report_.files = std::ssize(files);
    report_.type = type_;
    const std::optional<int32_t> end = tokenizer.end_of_text();
    report_.has_end_of_text = options.end_of_text && end.has_value();
    if (report_.has_end_of_text) append_tokens(std::span(&*end, 1), type_, end_);
  }

  BuildReport build() {
    while (read_batch()) collect_batch();
    find_near_duplicates();
    write();
    return report_;
  }

 private:
  bool read_batch();
  void collect_batch();
  void collect(const TextPiece& piece, PieceResult& result);
  void end_document();
  void leave_out(const std::string& error);
  void find_near_duplicates();
  void write();

  const BuildOptions& options_;
  const Tokenizer& tokenizer_;
  TokenType type_;
  Overlap overlap_;
  PieceReader reader_;
  fs::path out_;
  ScratchFile scratch_;
  BuildReport report_;
  std::vector<std::byte> end_;  // the end-of-text token
  int64_t bytes_read_ = 0;

  std::vector<TextPiece> pieces_;
  std::vector<PieceResult> results_;
  // The document whose pieces are being collected.
  PieceResult document_;
  bool begun_ = false, tokens_kept_ = false;
  std::string broken_;
  int64_t document_bytes_ = 0;  // of its tokens, which are written as they come

  int64_t written_ = 0;  // bytes of the scratch file
  std::vector<Entry> entries_;
  std::vector<NearKey> near_keys_;
  tsl::robin_set<std::pair<uint64_t, uint64_t>, HashPair> seen_;
};

bool CorpusBuilder::read_batch() {
  pieces_.clear();
  const int64_t most = batch_bytes * threads();
  int64_t bytes = 0;
  for (TextPiece piece; bytes < most && reader_.next(piece);) {
    bytes += std::ssize(piece.bytes);
    pieces_.push_back(std::move(piece));
  }
  bytes_read_ += bytes;
  return !pieces_.empty();
}

void CorpusBuilder::collect_batch() {
  results_.clear();
  results_.resize(pieces_.size());
  // Parts with about the same number of bytes, several for each thread.
  std::vector<size_t> begins{0};
  const int64_t part = batch_bytes / 8;
  int64_t bytes = 0;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    bytes += std::ssize(pieces_[i].bytes);
    if (bytes >= part) begins.push_back(i + 1), bytes = 0;
  }
  if (begins.back() < pieces_.size()) begins.push_back(pieces_.size());
  const PieceWork work(tokenizer_, options_, type_, overlap_);
  parallel_for(std::ssize(begins) - 1, 1, [&](int64_t first, int64_t last) {
    for (size_t i = begins[static_cast<size_t>(first)]; i < begins[static_cast<size_t>(last)]; ++i)
      results_[i] = work(pieces_[i], reader_.where(pieces_[i]),
                         pieces_[i].last && (i == 0 ? !begun_ : pieces_[i - 1].last));
  });
  for (size_t i = 0; i < pieces_.size(); ++i) collect(pieces_[i], results_[i]);
  if (options_.progress) options_.progress(bytes_read_);
}

// Adds a piece to its document, and ends the document with its last one.
void CorpusBuilder::collect(const TextPiece& piece, PieceResult& result) {
  if (!begun_) {
    document_ = {};
    document_bytes_ = 0;
    tokens_kept_ = piece.kind == TextPiece::Kind::tokens;
    broken_.clear();
  }
  if (broken_.empty()) broken_ = result.error;
  const std::vector<std::byte> tokens = std::exchange(result.tokens, {});
  if (begun_) {
    document_.bytes += result.bytes;
    document_.invalid_bytes += result.invalid_bytes;
    document_.overlaps += result.overlaps;
    if (result.words && document_.words) document_.words->merge(*result.words);
    if (result.statistics && document_.statistics) document_.statistics->merge(*result.statistics);
    const auto [low, high] = document_.hash;
    document_.hash = {low * 0x9fb21c651e98df25 + result.hash.first,
                      high * 0x9fb21c651e98df25 + result.hash.second};
  } else {
    document_ = std::move(result);
  }
  document_bytes_ += std::ssize(tokens);
  written_ += std::ssize(tokens);
  scratch_.write(tokens);
  begun_ = !piece.last;
  if (!piece.last) return;
  if (document_.statistics) document_.violations = document_.statistics->violations();
  if (document_.words) document_.near = document_.words->finish();
  end_document();
}

void CorpusBuilder::leave_out(const std::string& error) {
  if (!options_.skip_broken) fail("{}; --skip-broken leaves it out", error);
  ++report_.broken;
  if (report_.notes.size() < most_notes) report_.notes.push_back(error);
}

void CorpusBuilder::end_document() {
  if (!broken_.empty()) return leave_out(broken_);
  if (document_bytes_ == 0) {
    ++report_.empty;
    return;
  }
  if (!tokens_kept_) {
    scratch_.write(end_);
    document_bytes_ += std::ssize(end_);
    written_ += std::ssize(end_);
  }
  const int64_t tokens = document_bytes_ / bytes_of(type_);
  require(tokens <= std::numeric_limits<int32_t>::max(),
          "a document has {} tokens, but an index can hold at most 2147483647; give --separator to divide it",
          tokens);
  ++report_.documents;
  report_.bytes += document_.bytes;
  report_.tokens += tokens;
  report_.longest = std::max(report_.longest, tokens);
  report_.shortest = report_.documents == 1 ? tokens : std::min(report_.shortest, tokens);
  int doubling = 0;
  while (tokens >> (doubling + 1) > 0) ++doubling;
  ++report_.histogram[static_cast<size_t>(doubling)];
  report_.invalid_bytes += document_.invalid_bytes;
  report_.repaired_documents += document_.invalid_bytes > 0;
  report_.overlapping += document_.overlaps > 0;
  bool poor = false;
  if (options_.statistics && !tokens_kept_) {
    const std::array<bool, quality_rules>& violations = document_.violations;
    for (size_t i = 0; i < violations.size(); ++i) report_.violations[i] += violations[i];
    poor = std::find(violations.begin(), violations.end(), true) != violations.end();
    report_.outside_quality += poor;
  }
  Entry entry{.start = written_ - document_bytes_, .tokens = static_cast<int32_t>(tokens)};
  entry.exact = !seen_.insert(document_.hash).second;
  report_.exact_duplicates += entry.exact;
  entry.dropped = (entry.exact && options_.drop_exact) || (poor && options_.drop_quality) ||
                  (document_.overlaps > 0 && options_.drop_overlap);
  if (options_.near) near_keys_.push_back(document_.near);
  entries_.push_back(entry);
}

void CorpusBuilder::find_near_duplicates() {
  if (!options_.near) return;
  const std::vector<uint32_t> groups = near_groups(near_keys_);
  for (uint32_t i = 0; i < groups.size(); ++i) {
    if (groups[i] == i || entries_[i].exact) continue;
    ++report_.near_duplicates;
    entries_[i].dropped |= options_.drop_near;
  }
  near_keys_ = {};
}

void CorpusBuilder::write() {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < entries_.size(); ++i)
    if (!entries_[i].dropped) order.push_back(i);
  report_.dropped = std::ssize(entries_) - std::ssize(order);
  require(!order.empty(),
          "{}: nothing is left to write: {} documents were read, {} of them dropped; {} were empty",
          out_.string(), report_.documents, report_.dropped, report_.empty);
  const MappedFile tokens = scratch_.map();
  TokenFileWriter writer(out_, type_);
  for (int64_t epoch = 0; epoch < options_.epochs; ++epoch) {
    Random random = Random(options_.seed).split(static_cast<uint64_t>(epoch));
    if (options_.shuffle)
      for (int64_t i = std::ssize(order) - 1; i > 0; --i)
        std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(random.below(i + 1))]);
    for (const uint32_t i : order) {
      const Entry& entry = entries_[i];
      writer.add(tokens.bytes().subspan(static_cast<size_t>(entry.start),
                                        static_cast<size_t>(entry.tokens * bytes_of(type_))));
      ++report_.written_documents;
      report_.written_tokens += entry.tokens;
    }
  }
  writer.commit();
}

}  // namespace

BuildReport build_tokens(const std::vector<fs::path>& files, const fs::path& out, const Tokenizer& tokenizer,
                         const BuildOptions& options) {
  return CorpusBuilder(files, out, tokenizer, options).build();
}

}  // namespace aviary
