#include "kernels/peak.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/peak.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace aviary::kernels::HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// `times` times twelve independent fused multiply-adds of a vector. Returns the number of floating-point
// operations.
double multiply_add_registers(int64_t times, float* result) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999f), term = hn::Set(d, 0.001f);
  // Different values, so that the compiler cannot compute one for all.
  auto s0 = hn::Iota(d, 0.0f), s1 = hn::Iota(d, 1.0f), s2 = hn::Iota(d, 2.0f), s3 = hn::Iota(d, 3.0f);
  auto s4 = hn::Iota(d, 4.0f), s5 = hn::Iota(d, 5.0f), s6 = hn::Iota(d, 6.0f), s7 = hn::Iota(d, 7.0f);
  auto s8 = hn::Iota(d, 8.0f), s9 = hn::Iota(d, 9.0f), s10 = hn::Iota(d, 10.0f), s11 = hn::Iota(d, 11.0f);
  for (int64_t i = 0; i < times; ++i) {
    s0 = hn::MulAdd(s0, factor, term), s1 = hn::MulAdd(s1, factor, term), s2 = hn::MulAdd(s2, factor, term);
    s3 = hn::MulAdd(s3, factor, term), s4 = hn::MulAdd(s4, factor, term), s5 = hn::MulAdd(s5, factor, term);
    s6 = hn::MulAdd(s6, factor, term), s7 = hn::MulAdd(s7, factor, term), s8 = hn::MulAdd(s8, factor, term);
    s9 = hn::MulAdd(s9, factor, term), s10 = hn::MulAdd(s10, factor, term),
    s11 = hn::MulAdd(s11, factor, term);
  }
  s0 = hn::Add(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)), hn::Add(hn::Add(s4, s5), hn::Add(s6, s7)));
  *result += hn::GetLane(hn::Add(s0, hn::Add(hn::Add(s8, s9), hn::Add(s10, s11))));
  return 24.0 * static_cast<double>(hn::Lanes(d)) * static_cast<double>(times);
}

// Reads count floats, a multiple of 64.
void read_all(const float* x, int64_t count, float* result) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  for (int64_t i = 0; i + 4 * lanes <= count; i += 4 * lanes) {
    s0 = hn::Add(s0, hn::LoadU(d, x + i)), s1 = hn::Add(s1, hn::LoadU(d, x + i + lanes));
    s2 = hn::Add(s2, hn::LoadU(d, x + i + 2 * lanes)), s3 = hn::Add(s3, hn::LoadU(d, x + i + 3 * lanes));
  }
  *result += hn::GetLane(hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
}

}  // namespace
}  // namespace aviary::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <chrono>
#include <vector>

#include "base/threads.h"
#include "kernels/cpu/cpu_features.h"
#include "tensor/buffer.h"

#if HWY_ARCH_X86
#include <immintrin.h>
#elif AVIARY_COMPILES_SDOT
#include <arm_neon.h>
#endif

namespace aviary::kernels {
namespace {

HWY_EXPORT(multiply_add_registers);
HWY_EXPORT(read_all);

#if HWY_ARCH_X86
__attribute__((target("avx512f,avx512bf16"))) double dot_registers(int64_t times, float* result) {
  const __m512i one = _mm512_set1_epi32(0x3f803f80);
  const __m512bh factor = (__m512bh)one;
  __m512 sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t i = 0; i < times; ++i)
    for (auto& s : sum) s = _mm512_dpbf16_ps(s, factor, factor);
  for (int i = 1; i < 12; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
  *result += _mm512_cvtss_f32(sum[0]);
  return 12.0 * 64.0 * static_cast<double>(times);
}

__attribute__((target("avx512f,avx512vnni"))) double byte_dot_registers(int64_t times, float* result) {
  const __m512i factor = _mm512_set1_epi8(1);
  __m512i sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = _mm512_set1_epi32(i);
  for (int64_t i = 0; i < times; ++i)
    for (auto& s : sum) s = _mm512_dpbusd_epi32(s, factor, factor);
  for (int i = 1; i < 12; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
  *result += static_cast<float>(_mm512_cvtsi512_si32(sum[0]));
  return 12.0 * 128.0 * static_cast<double>(times);
}

#define AVIARY_AVX2 __attribute__((target("avx2"), always_inline))
AVIARY_AVX2 inline __m256i plus_products(__m256i sum) {
  const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), sum);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
// Each product depends on the sum before it, so that the compiler cannot compute it once; with an array of
// sums, g++ does not keep them in registers.
__attribute__((target("avx2"))) double byte_pair_registers(int64_t times, float* result) {
  const __m256i one = _mm256_set1_epi32(1);
  __m256i s0 = one, s1 = _mm256_add_epi32(s0, one), s2 = _mm256_add_epi32(s1, one),
          s3 = _mm256_add_epi32(s2, one), s4 = _mm256_add_epi32(s3, one), s5 = _mm256_add_epi32(s4, one),
          s6 = _mm256_add_epi32(s5, one), s7 = _mm256_add_epi32(s6, one), s8 = _mm256_add_epi32(s7, one),
          s9 = _mm256_add_epi32(s8, one);
  for (int64_t i = 0; i < times; ++i) {
    s0 = plus_products(s0), s1 = plus_products(s1), s2 = plus_products(s2), s3 = plus_products(s3);
    s4 = plus_products(s4), s5 = plus_products(s5), s6 = plus_products(s6), s7 = plus_products(s7);
    s8 = plus_products(s8), s9 = plus_products(s9);
  }
  for (const __m256i s : {s1, s2, s3, s4, s5, s6, s7, s8, s9}) s0 = _mm256_add_epi32(s0, s);
  *result += static_cast<float>(_mm256_cvtsi256_si32(s0));
  return 10.0 * 64.0 * static_cast<double>(times);
}

__attribute__((target("avx2,avxvnni"))) double half_byte_dot_registers(int64_t times, float* result) {
  const __m256i factor = _mm256_set1_epi8(1);
  __m256i sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = _mm256_set1_epi32(i);
  for (int64_t i = 0; i < times; ++i)
    for (auto& s : sum) s = _mm256_dpbusd_avx_epi32(s, factor, factor);
  for (int i = 1; i < 12; ++i) sum[0] = _mm256_add_epi32(sum[0], sum[i]);
  *result += static_cast<float>(_mm256_cvtsi256_si32(sum[0]));
  return 12.0 * 64.0 * static_cast<double>(times);
}
#else
double dot_registers(int64_t, float*) { return 0.0; }
double half_byte_dot_registers(int64_t, float*) { return 0.0; }
double byte_pair_registers(int64_t, float*) { return 0.0; }
#if AVIARY_COMPILES_SDOT
__attribute__((target("arch=armv8.2-a+dotprod"))) double byte_dot_registers(int64_t times, float* result) {
  const int8x16_t factor = vdupq_n_s8(1);
  int32x4_t sum[12];
  for (int i = 0; i < 12; ++i) sum[i] = vdupq_n_s32(i);
  for (int64_t i = 0; i < times; ++i)
    for (auto& s : sum) s = vdotq_s32(s, factor, factor);
  for (int i = 1; i < 12; ++i) sum[0] = vaddq_s32(sum[0], sum[i]);
  *result += static_cast<float>(vgetq_lane_s32(sum[0], 0));
  return 12.0 * 32.0 * static_cast<double>(times);
}
#else
double byte_dot_registers(int64_t, float*) { return 0.0; }
#endif
#endif

// Best rate over several runs of work(worker), which returns the amount of work done.
template <typename Work>
double best_rate(int workers, Work work) {
  std::vector<double> done(static_cast<size_t>(workers));
  double best = 0;
  for (int repeat = 0; repeat < 7; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(workers, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) done[static_cast<size_t>(i)] = work(i);
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    double total = 0;
    for (double amount : done) total += amount;
    best = std::max(best, total / seconds);
  }
  return best;
}

}  // namespace

MachinePeak measure_peak(int workers) {
  constexpr int64_t times = 2'000'000;
  std::vector<float> results(static_cast<size_t>(workers) * 16);
  auto result = [&](int64_t worker) { return &results[static_cast<size_t>(worker) * 16]; };
  MachinePeak peak{};
  peak.f32_gflops = 1e-9 * best_rate(workers, [&](int64_t worker) {
                      return HWY_DYNAMIC_DISPATCH(multiply_add_registers)(times, result(worker));
                    });
  if (has_bf16_dot_products())
    peak.bf16_gflops =
        1e-9 * best_rate(workers, [&](int64_t worker) { return dot_registers(times, result(worker)); });
  if (has_int8_dot_products() || has_avx2()) {
    const auto multiply = has_int8_dot_products() ? byte_dot_registers
                          : has_avx_vnni()        ? half_byte_dot_registers
                                                  : byte_pair_registers;
    peak.int8_gigaops =
        1e-9 * best_rate(workers, [&](int64_t worker) { return multiply(times, result(worker)); });
  }
  peak.read_gigabytes = 1e-9 * ReadMeter(int64_t{1} << 28, workers).measure();
  return peak;
}

ReadMeter::ReadMeter(int64_t bytes, int workers)
    : workers_(workers),
      floats_(std::min(bytes, int64_t{1} << 29) / 4 / workers / 64 * 64 + 64),
      memory_(floats_ * workers * 4) {
  // Untouched pages all map to one zero page.
  std::fill_n(static_cast<float*>(memory_.data()), floats_ * workers_, 1.0f);
}

double ReadMeter::measure() const {
  const auto* values = static_cast<const float*>(memory_.data());
  std::vector<float> results(static_cast<size_t>(workers_) * 16);
  const double bytes = 4.0 * static_cast<double>(floats_ * workers_);
  double best = 0, spent = 0;
  for (int pass = 0; pass < 3 || spent < 0.02; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(workers_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        HWY_DYNAMIC_DISPATCH(read_all)(values + i * floats_, floats_, &results[static_cast<size_t>(i) * 16]);
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, bytes / seconds);
    spent += seconds;
  }
  return best;
}

std::string instruction_sets() {
  if (has_avx512()) {
    if (has_int8_dot_products() && has_bf16_dot_products()) return "AVX-512 with VNNI and BF16";
    return has_int8_dot_products() ? "AVX-512 with VNNI" : "AVX-512";
  }
  if (has_avx2()) return has_avx_vnni() ? "AVX2 with VNNI" : "AVX2";
  const int64_t targets = (hwy::SupportedTargets() & HWY_TARGETS) | HWY_STATIC_TARGET;
  const std::string best = hwy::TargetName(targets & -targets);  // the lowest bit is the best
  return has_int8_dot_products() ? best + " with SDOT" : best;
}

}  // namespace aviary::kernels
#endif
