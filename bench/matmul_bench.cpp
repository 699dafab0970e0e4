// Matrix products against what the machine can do at most. Each line: the median of repeats, and its share of
// the peak measured just before. Weights rotate among copies larger than the third-level cache, as they do in
// a model, unless "warm" is the first argument.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "base/random.h"
#include "base/threads.h"
#include "kernels/cpu/peak.h"
#include "kernels/matmul.h"
#include "tensor/buffer.h"

namespace {

using namespace aviary;
using namespace aviary::kernels;

// Floats in large pages, as tensors are.
class Values {
 public:
  explicit Values(int64_t count) : buffer_(count * 4) {
    Random random(1);
    for (int64_t i = 0; i < count; ++i) data()[i] = static_cast<float>(random.uniform(-1, 1));
  }
  float* data() { return static_cast<float*>(buffer_.data()); }

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

const char* name_of(Precision precision) { return precision == Precision::bf16 ? "bf16" : "f32"; }

struct Size {
  int64_t k, n;
};
constexpr Size sizes[] = {{192, 192}, {256, 1024}, {768, 768}, {768, 3072}, {3072, 768}, {768, 65536}};

void products(int workers, Precision precision, bool warm) {
  set_threads(workers);
  for (const Size& size : sizes) {
    const int64_t k = size.k, n = size.n;
    const MachinePeak peak = measure_peak(workers);
    const double limit =
        precision == Precision::bf16 && peak.bf16_gflops > 0 ? peak.bf16_gflops : peak.f32_gflops;
    Values weight(k * n);
    const int64_t copies = warm ? 1 : std::max<int64_t>(1, (int64_t{96} << 20) / (k * n * 4));
    std::vector<PackedMatrix> packed(static_cast<size_t>(copies));
    for (auto& matrix : packed) matrix.pack(weight.data(), k, n, 1, k, precision);
    for (int64_t m : {1, 2, 4, 8, 16, 32, 64, 256, 1024}) {
      if (m * k * n > int64_t{20'000'000'000}) continue;
      Values x(m * k), y(m * n);
      const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
      const double seconds = median_seconds(flops, [&](int64_t i) {
        matmul(x.data(), m, k, packed[static_cast<size_t>(i % copies)], y.data(), n, false);
      });
      fmt::print(
          "{:>4} {} threads  m {:>4} k {:>4} n {:>5}  {:8.1f} GFLOP/s {:5.1f} %  {:6.1f} GB/s of weights of "
          "{:.1f}\n",
          name_of(precision), workers, m, k, n, 1e-9 * flops / seconds, 1e-7 * flops / seconds / limit,
          1e-9 * static_cast<double>(packed[0].bytes()) / seconds, peak.read_gigabytes);
    }
  }
}

void transposed_products(int workers, Precision precision) {
  set_threads(workers);
  const MachinePeak peak = measure_peak(workers);
  const double limit =
      precision == Precision::bf16 && peak.bf16_gflops > 0 ? peak.bf16_gflops : peak.f32_gflops;
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
               name_of(precision), workers, m, n, k, 1e-9 * flops / seconds, 1e-7 * flops / seconds / limit);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool warm = argc > 1 && std::strcmp(argv[1], "warm") == 0;
  const int all = threads();
  for (int workers : {1, all}) {
    set_threads(workers);
    const MachinePeak peak = measure_peak(workers);
    fmt::print("{} threads: f32 {:.1f} GFLOP/s, bf16 {:.1f} GFLOP/s, memory {:.1f} GB/s\n", workers,
               peak.f32_gflops, peak.bf16_gflops, peak.read_gigabytes);
    for (Precision precision : {Precision::f32, Precision::bf16}) {
      transposed_products(workers, precision);
      products(workers, precision, warm);
    }
    if (all == 1) break;
  }
}
