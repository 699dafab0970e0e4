// The entry point of every test program. AVIARY_TEST_ISA=avx2|baseline forces smaller instruction sets.
#include <gtest/gtest.h>

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
    using aviary::kernels::Isa;
    const std::string_view isa = name;
    if (isa != "avx2" && isa != "baseline") {
      std::cerr << "AVIARY_TEST_ISA is \"" << isa << "\", expected avx2 or baseline\n";
      return 2;
    }
    if (aviary::kernels::set_isa) aviary::kernels::set_isa(isa == "avx2" ? Isa::avx2 : Isa::baseline);
  }
  return RUN_ALL_TESTS();
}
