// The instruction sets that the kernels may use.
#include <hwy/targets.h>

#include <atomic>
#include <tuple>

#if HWY_ARCH_X86
#include <cpuid.h>
#endif

#include "base/platform.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/matmul_micro.h"
#include "kernels/matmul.h"

namespace aviary::kernels {
namespace {

std::atomic<Isa> current{Isa::best};

int64_t allowed_targets(Isa isa) {
#if HWY_ARCH_X86
  constexpr int64_t above_avx2 = HWY_AVX3 | HWY_AVX3_DL;
  if (isa == Isa::avx512) return ~int64_t{HWY_AVX3_DL};
  if (isa == Isa::avx_vnni || isa == Isa::avx2) return ~above_avx2;
  if (isa == Isa::baseline) return ~(above_avx2 | HWY_AVX2);
#endif
  static_cast<void>(isa);
  return ~int64_t{0};
}

#if HWY_ARCH_X86
bool cpu_has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
}
#endif

}  // namespace

void set_isa(Isa isa) {
  hwy::SetSupportedTargetsForTest(0);  // allows everything that the CPU has
  hwy::SetSupportedTargetsForTest(hwy::SupportedTargets() & allowed_targets(isa));
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  current.store(isa);
}

Isa isa() { return current.load(); }

// A property of the CPU, not of the instructions that it is allowed to use.
int64_t row_ahead() {
#if HWY_ARCH_X86
  static const bool has_avx512 = __builtin_cpu_supports("avx512f");
  return has_avx512 ? row_ahead_avx512 : 1536;
#else
  return row_ahead_avx512;
#endif
}

#if HWY_ARCH_X86
bool has_avx2() { return isa() != Isa::baseline && (hwy::SupportedTargets() & HWY_AVX2) != 0; }
bool has_avx_vnni() {
  static const bool cpu = cpu_has_avx_vnni();
  return cpu && has_avx2() && (isa() == Isa::best || isa() == Isa::avx_vnni);
}
bool has_avx512() { return isa() <= Isa::avx512 && (hwy::SupportedTargets() & HWY_AVX3) != 0; }
bool has_bf16_dot_products() {
  return isa() == Isa::best && has_avx512() && __builtin_cpu_supports("avx512bf16");
}
bool has_int8_dot_products() {
  return isa() == Isa::best && has_avx512() && __builtin_cpu_supports("avx512vnni");
}
#else
bool has_avx2() { return false; }
bool has_avx_vnni() { return false; }
bool has_avx512() { return false; }
bool has_bf16_dot_products() { return false; }
#if AVIARY_COMPILES_SDOT
bool has_int8_dot_products() { return isa() == Isa::best && platform::arm_has_dot_products(); }
#else
bool has_int8_dot_products() { return false; }
#endif
#endif

bool differs_from_isa_before(Isa isa) {
  if (isa == Isa::best) return true;
  const Isa usual = kernels::isa();
  auto features = [](Isa allowed) {
    set_isa(allowed);
    return std::tuple(hwy::SupportedTargets(), has_avx2(), has_avx_vnni(), has_avx512(),
                      has_bf16_dot_products(), has_int8_dot_products());
  };
  const bool differs = features(isa) != features(static_cast<Isa>(static_cast<int>(isa) - 1));
  set_isa(usual);
  return differs;
}

}  // namespace aviary::kernels
