// Matrix products of every type, compared with the limits of the machine. Each line: the median of the
// repeats, its share of the peak measured just before, and the error of some elements compared with
// double-precision sums of the same weights. Weights rotate among copies that together exceed the third-level
// cache, as in a model; with --warm the same weights are used. For example: matmul_bench --types q8_0,bf16
// --isa avx2 --rows 1,8 --sizes 1024x4096 --warm
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/threads.h"
#include "kernels/matmul.h"
#include "kernels/peak.h"
#include "numbers/encoding.h"
#include "tensor/buffer.h"

namespace {

using namespace aviary;
using namespace aviary::kernels;

// Floats in large pages, like tensors.
class Values {
 public:
  explicit Values(int64_t count) : buffer_(count * 4) {
    Random random(1);
    for (int64_t i = 0; i < count; ++i) data()[i] = static_cast<float>(random.uniform(-1, 1));
  }
  float* data() const { return static_cast<float*>(buffer_.data()); }

 private:
  Buffer buffer_;
};

// Median seconds of one call.
template <typename Call>
double median_seconds(double flops, Call call) {
  std::vector<double> seconds;
  const int64_t calls = std::max<int64_t>(1, static_cast<int64_t>(1e8 / flops));
  for (int repeat = 0; repeat < 15; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < calls; ++i) call(static_cast<int64_t>(repeat) * calls + i);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() /
                      static_cast<double>(calls));
  }
  std::nth_element(seconds.begin(), seconds.begin() + 7, seconds.end());
  return seconds[7];
}

struct Size {
  int64_t k, n;
};

struct Choice {
  std::vector<std::string> types,
      sizes{"192x192", "256x1024", "768x768", "768x3072", "3072x768", "768x65536"};
  std::vector<int64_t> rows{1, 2, 4, 8, 16, 32, 64, 256, 1024};
  bool warm = false;
};

Size size_of(const std::string& text) {
  return {std::stoll(text), std::stoll(text.substr(text.find('x') + 1))};
}

double limit_of(Dtype type, const MachinePeak& peak) {
  if (is_quantized(type) && peak.int8_gigaops > 0) return peak.int8_gigaops;
  return type == Dtype::bf16 && peak.bf16_gflops > 0 ? peak.bf16_gflops : peak.f32_gflops;
}

// |y - x W^T| / |x| |w| of some elements, where W has the stored numbers.
double largest_error(const Values& x, const Values& y, std::span<const float> weight, int64_t m,
                     const Size& size) {
  double largest = 0;
  for (int64_t i = 0; i < 200; ++i) {
    const int64_t row = i * 7 % m, column = i * 7919 % size.n;
    double sum = 0, xx = 0, ww = 0;
    for (int64_t k = 0; k < size.k; ++k) {
      const double a = x.data()[row * size.k + k], b = weight[static_cast<size_t>(column * size.k + k)];
      sum += a * b, xx += a * a, ww += b * b;
    }
    largest = std::max(largest, std::abs(y.data()[row * size.n + column] - sum) / std::sqrt(xx * ww));
  }
  return largest;
}

void products(int workers, Dtype type, const Choice& choice) {
  set_threads(workers);
  for (const std::string& text : choice.sizes) {
    const Size size = size_of(text);
    const int64_t k = size.k, n = size.n;
    if (k % block_of(type).elements != 0) continue;
    const MachinePeak peak = measure_peak(workers);
    const Values random(k * n);
    std::vector<std::byte> stored(static_cast<size_t>(bytes_of(type, k * n)));
    std::vector<float> weight(static_cast<size_t>(k * n));
    encode({random.data(), weight.size()}, type, stored.data());
    decode(type, stored.data(), weight);
    const int64_t copies = choice.warm ? 1 : std::max<int64_t>(1, (int64_t{96} << 20) / std::ssize(stored));
    std::vector<PackedMatrix> packed(static_cast<size_t>(copies));
    for (auto& matrix : packed) matrix.pack_stored(type, stored.data(), k, n, type);
    for (int64_t m : choice.rows) {
      if (m * k * n > int64_t{20'000'000'000}) continue;
      Values x(m * k), y(m * n);
      const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
      const double seconds = median_seconds(flops, [&](int64_t i) {
        matmul(x.data(), m, k, packed[static_cast<size_t>(i % copies)], y.data(), n, false);
      });
      fmt::print(
          "{:>4} {} threads  m {:>4} k {:>4} n {:>5}  {:8.1f} GFLOP/s {:5.1f} %  {:6.1f} GB/s of weights of "
          "{:.1f}  error {:.1e}\n",
          name_of(type), workers, m, k, n, 1e-9 * flops / seconds,
          1e-7 * flops / seconds / limit_of(type, peak),
          1e-9 * static_cast<double>(packed[0].bytes()) / seconds, peak.read_gigabytes,
          largest_error(x, y, weight, m, size));
    }
  }
}

void transposed_products(int workers, Precision precision) {
  set_threads(workers);
  const MachinePeak peak = measure_peak(workers);
  const double limit = limit_of(type_of(precision), peak);
  constexpr int64_t m = 2048;
  for (const Size& size :
       {Size{192, 192}, {32, 768}, {768, 32}, {64, 768}, {768, 64}, {768, 768}, {768, 3072}, {3072, 768}}) {
    const int64_t k = size.k, n = size.n;
    Values a(m * n), b(m * k), c(n * k);
    const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
    const double seconds = median_seconds(flops, [&](int64_t) {
      matmul_transposed(a.data(), n, b.data(), k, m, n, k, c.data(), k, precision);
    });
    fmt::print("{:>4} {} threads  transposed m {} n {:>4} k {:>4}  {:8.1f} GFLOP/s {:5.1f} %\n",
               name_of(type_of(precision)), workers, m, n, k, 1e-9 * flops / seconds,
               1e-7 * flops / seconds / limit);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> names;
  for (const Dtype type : weight_types) names.emplace_back(name_of(type));
  std::string isa = "best";
  std::map<std::string, Isa> isas;
  for (const auto& [name, value] : isa_names) isas.emplace(name, value);
  Choice choice{.types = names};
  std::vector<int> counts{1, threads()};
  bool transposed = true;
  CLI::App app("Speed and exactness of matrix products");
  app.add_option("--types", choice.types, "Of the weights")->delimiter(',')->check(CLI::IsMember(names));
  app.add_option("--rows", choice.rows, "Rows of x")->delimiter(',');
  app.add_option("--sizes", choice.sizes, "K x N, as 768x3072")->delimiter(',');
  app.add_option("--threads", counts, "Numbers of threads")->delimiter(',');
  app.add_flag("!--no-transposed", transposed, "Without the products that sum over rows");
  app.add_option("--isa", isa, "The newest instructions used")->check(CLI::IsMember(isas));
  app.add_flag("--warm", choice.warm, "The same weights again and again");
  CLI11_PARSE(app, argc, argv);
  set_isa(isas.at(isa));
  for (const int workers : counts) {
    set_threads(workers);
    const MachinePeak peak = measure_peak(workers);
    fmt::print("{} threads, {}: f32 {:.1f} GFLOP/s, bf16 {:.1f}, int8 {:.1f}, memory {:.1f} GB/s\n", workers,
               instruction_sets(), peak.f32_gflops, peak.bf16_gflops, peak.int8_gigaops, peak.read_gigabytes);
    for (const Dtype type : weight_types)
      if (std::ranges::find(choice.types, name_of(type)) != choice.types.end())
        products(workers, type, choice);
    for (Precision precision : {Precision::f32, Precision::bf16})
      if (transposed) transposed_products(workers, precision);
  }
}
