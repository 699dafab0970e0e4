#include "checkpoints/state_file.h"

#include "models/registry.h"
#include "tensors.h"

namespace {

// Two layers with two heads of size eight, as in the committed inputs.
const aviary::Model& model() {
  static const auto small = aviary::create_model(
      {.version = "rwkv7", .recipe = "", .n_layer = 2, .n_embd = 16, .vocab_size = 2, .head_size = 8});
  return *small;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace aviary;
  fuzz::refuse_or([&] {
    const TensorFile file({}, parse_tensors(fuzz::as_bytes(data, size), "file"));
    load_state(file, "file", model());
  });
  return 0;
}
