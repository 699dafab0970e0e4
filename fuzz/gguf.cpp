#include "formats/gguf.h"

#include "tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace aviary;
  fuzz::refuse_or([&] { fuzz::check_table(parse_gguf(fuzz::as_bytes(data, size), "file"), size); });
  return 0;
}
