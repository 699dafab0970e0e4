# How the kernels are compiled.

# Arrays of vectors need a vector size known at compile time, which SVE does not have: NEON is used on CPUs with SVE. No CPU of
# the last fifteen years has SSSE3 and lacks SSE4.
set(disabled_targets HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128|HWY_SSSE3)

# Sanitizers look at AVX-512, AVX2 and the plain code: what they look for is the same in SSE4, which would be a fourth of the
# build. They find it in code that runs only: kernels for instructions that this CPU lacks are left out, or, where a file is
# for one set of instructions, compiled without them, in a tenth of the time.
if(AVIARY_SANITIZE)
  string(APPEND disabled_targets |HWY_SSE4)
  file(STRINGS /proc/cpuinfo cpu_flags REGEX "^flags" LIMIT_COUNT 1)
  macro(without_sanitizer_unless_cpu_has flag)
    if(NOT cpu_flags MATCHES " ${flag}( |$)")
      set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS -fno-sanitize=all)
    endif()
  endmacro()
  without_sanitizer_unless_cpu_has(avx512bw src/kernels/cpu/block_dot_avx512.cpp)
  without_sanitizer_unless_cpu_has(avx512_vnni src/kernels/cpu/block_dot_vnni.cpp)
  without_sanitizer_unless_cpu_has(avx_vnni src/kernels/cpu/block_dot_avx_vnni.cpp)
  if(NOT cpu_flags MATCHES " avx512bw( |$)")
    string(APPEND disabled_targets |HWY_AVX3|HWY_AVX3_DL)
  endif()
endif()
target_compile_definitions(aviary_kernels PRIVATE "HWY_DISABLED_TARGETS=(${disabled_targets})")

# g++ 12 at -O3 reuses a vector in a register although overlapping vectors have since been written to memory. On ARM, where
# it looks back over more iterations than on x86, this made the gradient of RWKV-1's time weights wrong.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND AVIARY_ARM64)
  target_compile_options(aviary_kernels PRIVATE -fno-predictive-commoning)
endif()
