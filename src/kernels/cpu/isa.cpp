// The instruction sets that the Highway kernels may use.
#include <hwy/targets.h>

#include <atomic>

#include "kernels/matmul.h"

namespace aviary::kernels {
namespace {

std::atomic<Isa> current{Isa::best};

int64_t allowed_targets(Isa isa) {
#if HWY_ARCH_X86
  constexpr int64_t above_avx2 = HWY_AVX3 | HWY_AVX3_DL;
  if (isa == Isa::avx2) return ~above_avx2;
  if (isa == Isa::baseline) return ~(above_avx2 | HWY_AVX2);
#endif
  static_cast<void>(isa);
  return ~int64_t{0};
}

}  // namespace

void set_isa(Isa isa) {
  hwy::SetSupportedTargetsForTest(0);  // back to what the CPU has
  hwy::SetSupportedTargetsForTest(hwy::SupportedTargets() & allowed_targets(isa));
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  current.store(isa);
}

Isa isa() { return current.load(); }

}  // namespace aviary::kernels
