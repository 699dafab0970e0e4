#include "bank/state_bank.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <sqlite3.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/quotes.h"
#include "base/utf8.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr const char* database_name = "bank.sqlite";
constexpr int application_id = 0x41565342;  // "AVSB", which tells a bank from other databases of SQLite
constexpr int format_number = 1;
constexpr int busy_milliseconds = 10'000;
constexpr size_t beginning_bytes = 120;

std::string checksum_of(std::string_view name, std::string_view beginning, int64_t tokens,
                        std::span<const float> embedding, std::string_view file) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  const std::string head = fmt::format("{}\n{}\n{}\n{}\n", name, beginning, tokens, file);
  XXH3_64bits_update(&state, head.data(), head.size());
  XXH3_64bits_update(&state, embedding.data(), embedding.size_bytes());
  return fmt::format("{:016x}", XXH3_64bits_digest(&state));
}

std::string beginning_of(std::string_view text) {
  std::string beginning(text.substr(0, valid_utf8_length(text.substr(0, beginning_bytes))));
  std::replace_if(
      beginning.begin(), beginning.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t'; }, ' ');
  return beginning;
}

// So that the next token can be predicted from it.
void require_complete(const StoredSnapshot& stored) {
  require(
      !stored.snapshot.logits.empty() && stored.pending.empty(),
      "a state of a bank must have the logits after its text, as aviary state make keeps them; a mix and a "
      "state of a server may have none");
}

int64_t seconds_since_1970() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

// The connection, and statements whose errors are sentences.
class StateBank::Database {
 public:
  Database(const fs::path& file, bool change) : where_(file.parent_path().string()) {
    const int flags = change ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    try {
      check(sqlite3_open_v2(file.c_str(), &handle_, flags | SQLITE_OPEN_NOMUTEX, nullptr));
      sqlite3_busy_timeout(handle_, busy_milliseconds);
      verify(change);
    } catch (...) {
      sqlite3_close(handle_);
      throw;
    }
  }
  ~Database() { sqlite3_close(handle_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const std::string& where() const { return where_; }

  // One statement, its values, and its rows.
  class Query {
   public:
    Query(const Database& database, const char* sql) : database_(database) {
      database_.check(sqlite3_prepare_v2(database_.handle_, sql, -1, &statement_, nullptr));
    }
    ~Query() { sqlite3_finalize(statement_); }
    Query(const Query&) = delete;
    Query& operator=(const Query&) = delete;

    Query& value(std::string_view text) {
      database_.check(sqlite3_bind_text(statement_, ++values_, text.data(), static_cast<int>(text.size()),
                                        SQLITE_TRANSIENT));
      return *this;
    }
    Query& value(int64_t number) {
      database_.check(sqlite3_bind_int64(statement_, ++values_, number));
      return *this;
    }
    Query& value(std::span<const float> numbers) {
      database_.check(sqlite3_bind_blob(statement_, ++values_, numbers.data(),
                                        static_cast<int>(numbers.size_bytes()), SQLITE_TRANSIENT));
      return *this;
    }
    // The next row; false after the last one.
    bool next() {
      const int status = sqlite3_step(statement_);
      if (status != SQLITE_ROW && status != SQLITE_DONE) database_.check(status);
      return status == SQLITE_ROW;
    }
    int64_t number(int column) const { return sqlite3_column_int64(statement_, column); }
    std::string text(int column) const {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
      return {bytes, bytes ? static_cast<size_t>(sqlite3_column_bytes(statement_, column)) : 0};
    }

   private:
    const Database& database_;
    sqlite3_stmt* statement_ = nullptr;
    int values_ = 0;
  };

  Query query(const char* sql) const { return {*this, sql}; }

  // Throws Error for what SQLite does not call a success.
  void check(int status) const {
    if (status == SQLITE_OK) return;
    const std::string said = handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(status);
    if (status == SQLITE_NOTADB || status == SQLITE_CORRUPT)
      fail("{}: the bank of states is damaged (SQLite: {}); restore it from a copy, or make it again", where_,
           said);
    fail("{}: the bank of states cannot be used (SQLite: {})", where_, said);
  }

 private:
  int64_t pragma(const char* sql) const {
    Query query(*this, sql);
    return query.next() ? query.number(0) : 0;
  }
  void run(const char* sql) const { check(sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr)); }

  void verify(bool change) const {
    if (change && pragma("PRAGMA application_id") == 0 && pragma("SELECT count(*) FROM sqlite_master") == 0)
      create();
    require(pragma("PRAGMA application_id") == application_id,
            "{}: {} is no bank of states; it is a database of another program", where_, database_name);
    const int64_t format = pragma("PRAGMA user_version");
    require(format == format_number, "{}: the bank has format {}, expected {}; a newer Aviary wrote it",
            where_, format, format_number);
    Query health(*this, "PRAGMA integrity_check(1)");
    const std::string said = health.next() ? health.text(0) : "";
    require(said == "ok",
            "{}: the bank of states is damaged (SQLite: {}); restore it from a copy, or make it again",
            where_, excerpt(said));
  }

  void create() const {
    run("BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS maker (base_hash TEXT, base_type TEXT, base_name TEXT, base_version TEXT,"
        " adapters TEXT, precision TEXT);"
        "CREATE TABLE IF NOT EXISTS states (name TEXT PRIMARY KEY, beginning TEXT, tokens INTEGER, bytes "
        "INTEGER,"
        " created INTEGER, embedding BLOB, file TEXT, checksum TEXT);");
    run(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}; COMMIT;", application_id,
                    format_number)
            .c_str());
  }

  const std::string where_;
  sqlite3* handle_ = nullptr;
};

bool StateBank::is_bank(const fs::path& folder) { return fs::is_regular_file(folder / database_name); }

StateBank::StateBank(fs::path folder, Access access) : folder_(std::move(folder)) {
  if (access == Access::change) {
    std::error_code error;
    fs::create_directories(folder_, error);
    require(!error, "{}: the folder cannot be made: {}", folder_.string(), error.message());
  } else {
    require(is_bank(folder_), "{}: is no bank of states; aviary state bank add makes one", folder_.string());
  }
  database_ = std::make_unique<Database>(folder_ / database_name, access == Access::change);
}

StateBank::~StateBank() = default;

void StateBank::require_made_by(const SnapshotMaker& maker) const {
  auto query = database_->query(
      "SELECT base_hash, base_type, base_name, base_version, adapters, precision FROM maker");
  if (!query.next()) return;
  const SnapshotMaker said{
      .base = {.hash = query.text(0), .type = query.text(1), .name = query.text(2), .version = query.text(3)},
      .adapters = query.text(4),
      .precision = query.text(5)};
  require_same_maker(said, maker, folder_.string());
}

void StateBank::add(const std::string& name, std::string_view text, const StoredSnapshot& stored,
                    std::span<const float> embedding) {
  require(!name.empty() && is_utf8(name) && name.find('\n') == std::string::npos,
          "the name of a state is {}, expected one line of text", in_quotes(name));
  require_complete(stored);
  require_made_by(stored.maker);
  const auto taken = [&] {
    return database_->query("SELECT 1 FROM states WHERE name = ?").value(name).next();
  };
  require(!taken(), "{}: has a state {} already; remove it first, or choose another name", folder_.string(),
          in_quotes(name));
  const std::string file = fmt::format("{:016x}.state", XXH3_64bits(name.data(), name.size()));
  write_snapshot(folder_ / file, stored);
  const std::string beginning = beginning_of(text);
  const auto tokens = std::ssize(stored.tokens) + std::ssize(stored.pending);
  if (!database_->query("SELECT 1 FROM maker").next()) {
    const SnapshotMaker& maker = stored.maker;
    database_->query("INSERT INTO maker VALUES (?, ?, ?, ?, ?, ?)")
        .value(maker.base.hash)
        .value(maker.base.type)
        .value(maker.base.name)
        .value(maker.base.version)
        .value(maker.adapters)
        .value(maker.precision)
        .next();
  }
  database_->query("INSERT INTO states VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
      .value(name)
      .value(beginning)
      .value(tokens)
      .value(static_cast<int64_t>(fs::file_size(folder_ / file)))
      .value(seconds_since_1970())
      .value(embedding)
      .value(file)
      .value(checksum_of(name, beginning, tokens, embedding, file))
      .next();
}

void StateBank::remove(const std::string& name) {
  auto query = database_->query("DELETE FROM states WHERE name = ? RETURNING file");
  require(query.value(name).next(), "{}: has no state {}; aviary state bank list shows those it has",
          folder_.string(), in_quotes(name));
  const fs::path file = folder_ / fs::path(query.text(0)).filename();
  query.next();
  std::error_code error;
  fs::remove(file, error);
  if (!database_->query("SELECT 1 FROM states").next()) database_->query("DELETE FROM maker").next();
}

std::vector<BankEntry> StateBank::entries() const {
  auto query = database_->query(
      "SELECT name, beginning, tokens, bytes, created, embedding, file, checksum FROM states ORDER BY name");
  std::vector<BankEntry> all;
  while (query.next()) {
    BankEntry entry{.name = query.text(0),
                    .beginning = query.text(1),
                    .tokens = query.number(2),
                    .bytes = query.number(3),
                    .created = query.number(4)};
    const std::string numbers = query.text(5), file = query.text(6);
    entry.embedding.resize(numbers.size() / sizeof(float));
    if (!entry.embedding.empty())
      std::memcpy(entry.embedding.data(), numbers.data(), entry.embedding.size() * sizeof(float));
    require(query.text(7) == checksum_of(entry.name, entry.beginning, entry.tokens, entry.embedding, file) &&
                fs::path(file).filename() == file,
            "{}: the entry {} is not what was written; the bank is damaged", folder_.string(),
            in_quotes(entry.name));
    entry.file = folder_ / file;
    all.push_back(std::move(entry));
  }
  return all;
}

std::vector<double> similarities(std::span<const BankEntry> entries, std::span<const float> vector) {
  std::vector<double> all;
  for (const BankEntry& entry : entries)
    all.push_back(entry.embedding.size() == vector.size()
                      ? std::inner_product(vector.begin(), vector.end(), entry.embedding.begin(), 0.0)
                      : 0);
  return all;
}

namespace {

double log_probability(std::span<const float> logits, int32_t token) {
  const auto top = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return static_cast<double>(logits[static_cast<size_t>(token)]) - top - std::log(sum);
}

}  // namespace

std::vector<double> log_likelihoods(Runner& runner, std::span<const StoredSnapshot> stored,
                                    std::span<const int32_t> tokens) {
  constexpr size_t chunk = 64;  // tokens of each text in a step
  require(!tokens.empty(), "a question has at least one token");
  std::vector<State> states;
  std::vector<double> sums;
  for (const StoredSnapshot& one : stored) {
    require_complete(one);
    states.push_back(one.snapshot.state);
    sums.push_back(log_probability(one.snapshot.logits, tokens[0]));
  }
  for (size_t begin = 0; begin + 1 < tokens.size(); begin += chunk) {
    const size_t count = std::min(chunk, tokens.size() - 1 - begin);
    std::vector<int32_t> read, targets;
    for (size_t i = 0; i < states.size(); ++i) {
      const auto first = tokens.begin() + static_cast<ptrdiff_t>(begin);
      read.insert(read.end(), first, first + static_cast<ptrdiff_t>(count));
      targets.insert(targets.end(), first + 1, first + 1 + static_cast<ptrdiff_t>(count));
    }
    std::vector<double> losses(read.size());
    runner.loss(read, targets, Sequences::uniform(std::ssize(states), static_cast<int64_t>(count)), states,
                losses);
    for (size_t row = 0; row < losses.size(); ++row) sums[row / count] -= losses[row];
  }
  for (double& sum : sums) sum /= static_cast<double>(tokens.size());
  return sums;
}

}  // namespace aviary
