#include "text/tokenizer_file.h"

#include "base/download.h"
#include "base/error.h"
#include "base/utf8.h"

namespace aviary {

namespace {

TokenizerPtr recognize(std::string_view content) {
  if (const std::string_view instead = failed_download(content); !instead.empty())
    fail("the file is {}; expected a tokenizer", instead);
  std::string converted;
  if (content.starts_with("\xff\xfe") || content.starts_with("\xfe\xff"))
    content = converted = utf8_of_utf16(content);
  if (content.starts_with("\xef\xbb\xbf")) content.remove_prefix(3);
  const size_t first = content.find_first_not_of(" \t\r\n");
  const char sign = first == std::string_view::npos ? '\0' : content[first];
  // A vocabulary of characters has no key of this length.
  if (sign == '{' && content.find("\"model\"") != std::string_view::npos) return make_bpe_tokenizer(content);
  if (sign == '{') return make_characters_tokenizer(content);
  require(sign >= '0' && sign <= '9',
          "this is not a tokenizer file, expected the lines of a World vocabulary (`257 '\\t\\t' 2`), a "
          "tokenizer.json, or a vocab.json of characters");
  return make_world_tokenizer(content);
}

}  // namespace

TokenizerPtr read_tokenizer(std::string_view content, std::string_view name) {
  try {
    return recognize(content);
  } catch (const Error& error) {
    fail("{}: {}", name, error.what());
  }
}

}  // namespace aviary
