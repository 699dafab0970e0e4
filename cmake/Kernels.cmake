# How the kernels are compiled.

# Arrays of vectors need a vector size known at compile time, which SVE does not have: NEON is used on CPUs with SVE. No CPU of
# the last fifteen years has SSSE3 and lacks SSE4. Sanitizers look at AVX-512, AVX2 and the plain code: what they look for
# is the same in SSE4, which would be a fourth of the build.
set(disabled_targets HWY_SVE|HWY_SVE2|HWY_SVE_256|HWY_SVE2_128|HWY_SSSE3)
if(AVIARY_SANITIZE)
  string(APPEND disabled_targets |HWY_SSE4)
endif()
target_compile_definitions(aviary_kernels PRIVATE "HWY_DISABLED_TARGETS=(${disabled_targets})")

# A wrong access in unrolled vector code is found by AddressSanitizer; clang's checks of the arithmetic of its pointers
# would find it once more, and take three quarters of the time of compiling it.
if(AVIARY_SANITIZE MATCHES undefined AND CMAKE_CXX_COMPILER_ID STREQUAL Clang)
  target_compile_options(aviary_kernels PRIVATE -fno-sanitize=pointer-overflow,object-size)
endif()

# g++ 12 at -O3 reuses a vector in a register although overlapping vectors have since been written to memory. On ARM, where
# it looks back over more iterations than on x86, this made the gradient of RWKV-1's time weights wrong.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND AVIARY_ARM64)
  target_compile_options(aviary_kernels PRIVATE -fno-predictive-commoning)
endif()
