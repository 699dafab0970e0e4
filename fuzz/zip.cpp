#include "formats/zip.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace aviary;
  const Bytes archive = fuzz::as_bytes(data, size);
  fuzz::refuse_or([&] {
    for (const ZipEntry& entry : read_zip_directory(archive, "file"))
      fuzz::refuse_or([&] {
        fuzz::expect(zip_entry_bytes(archive, entry, "file").size() == entry.size, "an entry has its size");
      });
  });
  return 0;
}
