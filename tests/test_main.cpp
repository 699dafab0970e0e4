// The entry point of every test program. AVIARY_TEST_ISA=avx2|baseline forces smaller instruction sets.
#include <gtest/gtest.h>

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
