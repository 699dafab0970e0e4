#include "data/rows.h"

#include "base/utf8.h"
#include "data/documents.h"
#include "fuzz.h"

namespace {

using namespace aviary;

void expect_sound(const Sample& sample) {
  static const TokenizerPtr bytes = make_bytes_tokenizer();
  fuzz::expect(is_utf8(sample.text), "a sample is UTF-8");
  size_t at = 0;
  for (const Span& span : sample.trained) {
    fuzz::expect(span.begin >= at && span.begin < span.end && span.end <= sample.text.size(),
                 "trained parts are in order and within the text");
    at = span.end + 1;
  }
  fuzz::refuse_or([&] {
    const Document document = document_of(sample, *bytes, {}, {});
    fuzz::expect(bytes->decode(document.tokens) == sample.text, "the tokens of a document spell its text");
    fuzz::expect(!marked(document, *bytes).empty(), "a document can be shown");
  });
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::as_text(data, size);
  fuzz::refuse_or([&] { holds_rows(text, "rows"); });
  fuzz::refuse_or([&] { read_rows(text, "rows", {}, expect_sound); });
  fuzz::refuse_or([&] {
    const RowCounts counts =
        read_rows(text, "rows", {.longest_line = 200, .skip_broken = true}, expect_sound);
    fuzz::expect(counts.broken <= counts.rows, "broken rows are rows");
  });
  return 0;
}
