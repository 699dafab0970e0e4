#include "text/tokenizer_file.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace aviary;
  const std::string_view content = fuzz::as_text(data, size);
  TokenizerPtr tokenizer;
  fuzz::refuse_or([&] { tokenizer = read_tokenizer(content, "input"); });
  if (!tokenizer) return 0;
  const TokenizerPtr again = make_tokenizer(tokenizer->kind(), tokenizer->serialize());
  fuzz::expect(again->serialize() == tokenizer->serialize(), "a tokenizer is made again from its text");
  // Encoding a text may throw Error, but any result consists of valid tokens.
  fuzz::refuse_or([&] {
    for (int32_t token : again->encode(content.substr(0, 2000)))
      fuzz::expect(token >= 0 && token < again->vocab_size(), "tokens are below vocab_size()");
  });
  return 0;
}
