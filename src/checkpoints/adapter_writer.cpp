#include "checkpoints/adapter_writer.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/error.h"
#include "formats/safetensors.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

// The name of the matrix without ".weight".
std::string written_module(const AdapterMatrix& matrix, const fs::path& path) {
  constexpr std::string_view end = ".weight";
  require(matrix.name.ends_with(end) && matrix.name.size() > end.size(),
          "{}: an adapter changes matrices such as blocks.0.att.key.weight, not {}", path.string(),
          in_quotes(matrix.name));
  return matrix.name.substr(0, matrix.name.size() - end.size());
}

void check_writable(const AdapterMatrix& matrix, bool is_miss, const fs::path& path) {
  const auto parts_fit = [&](const std::vector<float>& part) {
    return !part.empty() && std::ssize(part) % matrix.rank == 0;
  };
  require(matrix.rank > 0 && parts_fit(matrix.b) &&
              (is_miss ? matrix.a.empty() && matrix.in > 0 : parts_fit(matrix.a)),
          "{}: the adapter of {} has parts of {} and {} numbers, which are not those of {} of rank {}",
          path.string(), in_quotes(matrix.name), matrix.a.size(), matrix.b.size(),
          is_miss ? "a MiSS adapter" : "a LoRA", matrix.rank);
  for (const std::vector<float>* part : {&matrix.a, &matrix.b})
    require(std::ranges::all_of(*part, [](float x) { return std::isfinite(x); }),
            "{}: the adapter of {} holds NaN or infinity: the training diverged", path.string(),
            in_quotes(matrix.name));
}

TensorEntry entry(std::string name, int64_t rows, int64_t cols, const std::vector<float>& numbers) {
  return {.name = std::move(name),
          .dtype = Dtype::f32,
          .shape = {rows, cols},
          .data = std::as_bytes(std::span(numbers))};
}

}  // namespace

void write_adapter(const fs::path& path, const AdapterInfo& info, std::span<const AdapterMatrix> matrices,
                   std::span<const TensorEntry> whole) {
  require(!matrices.empty() || !whole.empty(), "{}: there is nothing to write: no parameter was trained",
          path.string());
  require((info.method == "parts") == matrices.empty(), "{}: an adapter of the method {} has {} matrices",
          path.string(), in_quotes(info.method), matrices.size());
  require(std::isfinite(info.alpha), "{}: alpha is {}, expected a number", path.string(), info.alpha);
  const bool is_miss = info.method == "miss";
  std::vector<TensorEntry> entries;
  std::map<std::string, int64_t> inputs;
  int64_t rank = 0;
  for (const AdapterMatrix& matrix : matrices) {
    check_writable(matrix, is_miss, path);
    const std::string module = written_module(matrix, path);
    rank = std::max(rank, matrix.rank);
    if (is_miss)
      inputs[matrix.name] = matrix.in;
    else
      entries.push_back(entry(module + ".lora_A", matrix.rank, std::ssize(matrix.a) / matrix.rank, matrix.a));
    entries.push_back(entry(module + (is_miss ? ".miss" : ".lora_B"), std::ssize(matrix.b) / matrix.rank,
                            matrix.rank, matrix.b));
  }
  std::ranges::copy(whole, std::back_inserter(entries));
  write_safetensors(path, unchanged(entries), {{adapter_info_key, to_json(info, rank, inputs)}});
}

AdapterMatrix difference(const AdapterMatrix& trained, const AdapterMatrix& start) {
  const int64_t r = trained.rank;
  require(trained.name == start.name && r == start.rank && r > 0 && !trained.a.empty() &&
              trained.a.size() == start.a.size() && trained.b.size() == start.b.size() &&
              std::ssize(trained.b) % r == 0,
          "the matrices of an adapter for {} and those of its start, for {}, do not match",
          in_quotes(trained.name), in_quotes(start.name));
  AdapterMatrix result{.name = trained.name, .rank = 2 * r, .a = trained.a, .b = {}, .in = trained.in};
  std::ranges::copy(start.a, std::back_inserter(result.a));
  for (auto row = trained.b.begin(), other = start.b.begin(); row != trained.b.end(); row += r, other += r) {
    result.b.insert(result.b.end(), row, row + r);
    std::transform(other, other + r, std::back_inserter(result.b), [](float x) { return -x; });
  }
  return result;
}

}  // namespace aviary
