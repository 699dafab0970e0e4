// Measures the limits of this machine, to which all reported speeds are compared.
#pragma once

#include <cstdint>
#include <string>

#include "tensor/buffer.h"

namespace aviary::kernels {

struct MachinePeak {
  double f32_gflops;   // fused multiply-adds on registers, the widest instructions that isa() allows
  double bf16_gflops;  // bf16 dot products on registers (VDPBF16PS); 0 where the CPU or isa() has none
  double
      int8_gigaops;  // int8 dot products (VPDPBUSD, SDOT, or on AVX2 VPMADDUBSW, VPMADDWD and VPADDD); or 0
  double read_gigabytes;  // per second from main memory, a buffer much larger than the caches
};

// With `workers` workers of the pool at once; best of several short runs. Takes about half a second.
MachinePeak measure_peak(int workers);

// The rate at which all workers together read `bytes` repeatedly, from main memory or a cache depending on
// the size.
class ReadMeter {
 public:
  // Sizes above half a gigabyte give no additional information and are reduced to it.
  ReadMeter(int64_t bytes, int workers);
  // Bytes per second; the best of several passes, which take at least 20 ms in total.
  double measure() const;

 private:
  int workers_;
  int64_t floats_;  // of each worker
  Buffer memory_;
};

// The instructions that the kernels use, such as "AVX-512 with VNNI and BF16".
std::string instruction_sets();

}  // namespace aviary::kernels
