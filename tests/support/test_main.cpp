// The entry point of every test program. AVIARY_TEST_ISA=avx512|avx-vnni|avx2|baseline forces smaller
// instruction sets.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "kernels/matmul.h"

// Null in the test programs of rooms below kernels/, which do not use it.
namespace aviary::kernels {
__attribute__((weak)) void set_isa(Isa isa);
}

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (const char* name = std::getenv("AVIARY_TEST_ISA")) {
    const auto known = std::ranges::find(aviary::kernels::isa_names, std::string_view(name),
                                         [](const auto& entry) { return entry.first; });
    if (known == std::end(aviary::kernels::isa_names)) {
      std::cerr << "AVIARY_TEST_ISA is \"" << name << "\", expected avx512, avx-vnni, avx2 or baseline\n";
      return 2;
    }
    if (aviary::kernels::set_isa) aviary::kernels::set_isa(known->second);
  }
  return RUN_ALL_TESTS();
}
