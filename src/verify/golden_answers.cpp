#include "verify/golden_answers.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/difference.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "checkpoints/checkpoint.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Doubles = std::vector<double>;

constexpr int64_t batch = 50;  // sequences per batch

// A table of tokens [N, T].
struct Table {
  explicit Table(const TensorEntry& entry) : rows(entry.shape[0]), cols(entry.shape[1]) {
    for (double value : to_doubles(entry)) tokens.push_back(static_cast<int32_t>(value));
  }
  const int32_t* row(int64_t n) const { return tokens.data() + n * cols; }

  int64_t rows, cols;
  std::vector<int32_t> tokens;
};

const TensorEntry& table_in(const TensorFile& file, const std::string& name, size_t rank,
                            const std::string& where) {
  const TensorEntry* entry = file.find(name);
  require(entry && entry->shape.size() == rank, "{}: {} of {} dimensions is missing", where, name, rank);
  return *entry;
}

// Logits [rows, count, V] of the first `count` tokens of the rows [begin, end) of `table`.
Doubles logits_of(Runner& runner, const Table& table, int64_t begin, int64_t end, int64_t count) {
  std::vector<int32_t> tokens;
  for (int64_t n = begin; n < end; ++n) tokens.insert(tokens.end(), table.row(n), table.row(n) + count);
  std::vector<State> states = runner.new_states(end - begin);
  return to_host(runner.all_logits(tokens, Sequences::uniform(end - begin, count), states));
}

// The prediction after each of the first `count` tokens of every row: [N, count].
std::vector<int32_t> predictions(Runner& runner, const Table& table, int64_t count) {
  const int64_t V = runner.model().config().vocab_size;
  std::vector<int32_t> result;
  for (int64_t begin = 0; begin < table.rows; begin += batch) {
    const Doubles logits = logits_of(runner, table, begin, std::min(table.rows, begin + batch), count);
    for (auto row = logits.begin(); row != logits.end(); row += V)
      result.push_back(static_cast<int32_t>(std::max_element(row, row + V) - row));
  }
  return result;
}

// The tokens [first, last) of an exercise that form its answer. "12,21###" asks for the digits in reverse and
// the first #, "7+8=15===" for the sum.
std::pair<int64_t, int64_t> answer_in(const int32_t* row, int64_t length, int64_t vocabulary) {
  const bool reverse = vocabulary == 12;
  const int32_t comma = 10, end = static_cast<int32_t>(vocabulary - 1);
  auto find = [&](int32_t token, int64_t from) { return std::find(row + from, row + length, token) - row; };
  const int64_t first = find(reverse ? comma : end, 0) + 1;
  return {first, std::min(length, find(end, std::min(first, length)) + (reverse ? 1 : 0))};
}

LawCheck compare_logits(Runner& runner, const TensorFile& golden, const std::string& name, double tolerance,
                        const std::string& where) {
  const Table exercises(table_in(golden, "sub.idx", 2, where));
  const Doubles expected = to_doubles(table_in(golden, name, 3, where));
  double scale = 1;
  for (double value : expected) scale = std::max(scale, std::abs(value));
  return {fmt::format("{} {}, of which the largest is {:.3g}", name_of(runner.model().dtype()), name, scale),
          largest_difference(logits_of(runner, exercises, 0, exercises.rows, exercises.cols), expected),
          tolerance * scale};
}

}  // namespace

std::vector<LawCheck> check_golden_answers(const fs::path& folder, const TensorFile& golden) {
  const std::string where = (folder / "golden.safetensors").string();
  const Table exercises(table_in(golden, "src", 2, where)), expected(table_in(golden, "argmax", 2, where));
  Checkpoint checkpoint = load_checkpoint(folder / "model.pth");
  Runner runner(*checkpoint.model);
  const std::vector<int32_t> ours = predictions(runner, exercises, expected.cols);
  require(ours.size() == expected.tokens.size(), "{}: argmax is of {} rows, src of {}", where, expected.rows,
          exercises.rows);

  int64_t different = 0, right = 0, all = 0;
  for (size_t i = 0; i < ours.size(); ++i) different += ours[i] != expected.tokens[i];
  for (int64_t n = 0; n < exercises.rows; ++n) {
    const auto [first, last] = answer_in(exercises.row(n), expected.cols, runner.model().config().vocab_size);
    all += last - first;
    for (int64_t t = first; t < last; ++t)
      right += ours[static_cast<size_t>(n * expected.cols + t - 1)] == exercises.row(n)[t];
  }
  const fs::path config_file = folder / "config.json";
  const Json config = parse_json(read_file(config_file, 1 << 20), config_file.string());
  const double their_right = config["accuracy_correct_digits"], their_all = config["accuracy_all_digits"];

  std::vector<LawCheck> checks;
  checks.push_back({fmt::format("other predictions than the original's, of {}", ours.size()),
                    static_cast<double>(different), 0});
  checks.push_back(
      {fmt::format("{} of {} digits right; difference to the original's {} of {}", right, all, their_right,
                   their_all),
       std::abs(static_cast<double>(right) - their_right) + std::abs(static_cast<double>(all) - their_all),
       0});
  checks.push_back(compare_logits(runner, golden, "sub.logits", 1e-4, where));
  if (golden.find("sub.logits.f64")) {
    Checkpoint exact = load_checkpoint(folder / "model.pth", Dtype::f64);
    Runner exact_runner(*exact.model);
    checks.push_back(compare_logits(exact_runner, golden, "sub.logits.f64", 1e-6, where));
  }
  return checks;
}

}  // namespace aviary
