#include "formats/gguf.h"

#include "formats/dialects.h"
#include "tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace aviary;
  fuzz::refuse_or([&] {
    TensorTable table = parse_gguf(fuzz::as_bytes(data, size), "file");
    fuzz::check_table(table, size);
    fuzz::check_table(to_original_names(std::move(table), "file"), size);
  });
  return 0;
}
