// What this machine can do at most, measured: the yardstick of every speed that we print.
#pragma once

#include <cstdint>
#include <string>

#include "tensor/buffer.h"

namespace aviary::kernels {

struct MachinePeak {
  double f32_gflops;      // fused multiply-adds on registers, the widest instructions that isa() allows
  double bf16_gflops;     // bf16 dot products on registers (VDPBF16PS); 0 where the CPU or isa() has none
  double int8_gigaops;    // the same of bytes (VPDPBUSD, SDOT)
  double read_gigabytes;  // per second from main memory, a buffer much larger than the caches
};

// By `workers` workers of the pool at once; best of several short runs. Takes about half a second.
MachinePeak measure_peak(int workers);

// How fast `bytes` are read, again and again, by all workers together: main memory or a cache, as the size
// decides.
class ReadMeter {
 public:
  // Buffers beyond half a gigabyte tell nothing more and are cut.
  ReadMeter(int64_t bytes, int workers);
  // Bytes per second; the best of some passes of all together at least 20 ms.
  double measure() const;

 private:
  int workers_;
  int64_t floats_;  // of each worker
  Buffer memory_;
};

// "AVX-512 with VNNI and BF16": what the kernels use.
std::string instruction_sets();

}  // namespace aviary::kernels
