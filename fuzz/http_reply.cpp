#include "fuzz.h"
#include "http/reply_reader.h"

namespace {

using namespace aviary;

std::string read_all(std::string_view bytes, size_t piece) {
  http::ReplyReader reader(true);
  std::string sentence = "no error";
  try {
    for (size_t i = 0; i < bytes.size() && !reader.complete(); i += piece)
      reader.feed(bytes.substr(i, piece));
    reader.end();
  } catch (const Error& error) {
    sentence = error.what();
  }
  fuzz::expect(reader.reply().body.size() <= bytes.size(), "a body has no more bytes than arrived");
  return sentence + std::to_string(reader.reply().status) + reader.reply().body;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = fuzz::as_text(data, size);
  fuzz::expect(read_all(bytes, 1) == read_all(bytes, size + 1),
               "the result does not depend on how the bytes arrived");
  return 0;
}
