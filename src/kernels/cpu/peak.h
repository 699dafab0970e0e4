// What this machine can do at most, measured: the yardstick of every speed that we print.
#pragma once

#include <cstdint>

namespace aviary::kernels {

struct MachinePeak {
  double f32_gflops;      // fused multiply-adds on registers, the widest instructions that isa() allows
  double bf16_gflops;     // bf16 dot products on registers (VDPBF16PS); 0 where the CPU or isa() has none
  double read_gigabytes;  // per second from main memory, a buffer much larger than the caches
};

// By `workers` workers of the pool at once; best of several short runs. Takes about half a second.
MachinePeak measure_peak(int workers);

}  // namespace aviary::kernels
