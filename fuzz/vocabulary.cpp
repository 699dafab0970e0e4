#include "fuzz.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace aviary;
  fuzz::refuse_or([&] {
    const TokenizerPtr tokenizer = make_world_tokenizer(fuzz::as_text(data, size));
    const std::string_view text = fuzz::as_text(data, size).substr(0, 1000);
    fuzz::expect(tokenizer->decode(tokenizer->encode(text)) == text, "decode(encode(text)) is the text");
  });
  return 0;
}
