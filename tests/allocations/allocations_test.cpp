// Generating a token allocates no memory: every malloc and mmap of the process is counted.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>

#include "base/threads.h"
#include "models/cost.h"
#include "models/registry.h"
#include "models/run.h"
#include "quant/stored_model.h"
#include "support/test_versions.h"

extern "C" void* __libc_malloc(size_t size);                      // NOLINT: the name in glibc
extern "C" void* __libc_memalign(size_t alignment, size_t size);  // NOLINT

namespace {
std::atomic<int64_t> taken{0};
}

extern "C" void* malloc(size_t size) {
  ++taken;
  return __libc_malloc(size);
}
extern "C" void* aligned_alloc(size_t alignment, size_t size) {
  ++taken;
  return __libc_memalign(alignment, size);
}
extern "C" void* mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) {
  ++taken;
  return reinterpret_cast<void*>(syscall(SYS_mmap, address, size, protection, flags, file, offset));
}

namespace aviary {
namespace {

class Allocations : public testing::TestWithParam<std::string> {};

TEST_P(Allocations, ATokenAllocatesNothing) {
  ModelConfig config{.version = GetParam(), .n_layer = 2, .n_embd = 256, .vocab_size = 300, .ctx_len = 64};
  set_threads(1);  // another thread may start to work, and allocate its working memory, at any later token
  for (Dtype type : {Dtype::f32, Dtype::q4_0}) {
    const std::unique_ptr<Model> model = create_model(complete(config));
    if (token_cost(*model).state_growth > 0) GTEST_SKIP() << "its state grows with the text";
    model->parameters().initialize(1);
    if (type != Dtype::f32) store_matrices(*model, type);
    Runner runner(*model);
    std::vector<State> states = runner.new_states(2);
    const Sequences sequences = Sequences::uniform(2, 1);
    int32_t tokens[2] = {3, 4};
    auto step = [&] { runner.last_logits(tokens, sequences, states); };
    for (int i = 0; i < 3; ++i) step();
    const int64_t before = taken;
    for (int i = 0; i < 20; ++i) {
      tokens[0] = (tokens[0] + 7) % 300;
      step();
    }
    EXPECT_EQ(taken - before, 0) << name_of(type);
  }
}

TEST(Counter, CountsAllocations) {
  const int64_t before = taken;
  void* volatile memory = malloc(100);
  free(memory);
  EXPECT_EQ(taken - before, 1);
}

INSTANTIATE_TEST_SUITE_P(Versions, Allocations, testing::ValuesIn(version_names()), test_name);

}  // namespace
}  // namespace aviary
