// The steps of opening any model: recognize the format, translate the names, recognize the version.
#include "checkpoints/checkpoint.h"
#include "formats/dialects.h"
#include "formats/format.h"
#include "tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace aviary;
  fuzz::refuse_or([&] {
    TensorTable table = parse_stored_tensors(fuzz::as_bytes(data, size), "file");
    table.of_transposed = Transposed::in_place;
    table = to_original_names(std::move(table), "file");
    fuzz::check_table(table, size);
    const TensorFile file({}, std::move(table));
    config_of(file, "file");
  });
  return 0;
}
