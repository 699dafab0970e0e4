#include "formats/pickle.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace aviary;
  static constexpr std::string_view allowed[] = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2",
                                                 "torch FloatStorage"};
  fuzz::refuse_or([&] {
    const Pickle pickle = read_pickle(fuzz::as_bytes(data, size), allowed, "file");
    fuzz::expect(pickle.size <= size, "no more is read than there is");
    for (const PickleValue& value : pickle.values)
      for (PickleValue::Index item : value.items)
        fuzz::expect(item < pickle.values.size(), "items are values of the pickle");
  });
  return 0;
}
