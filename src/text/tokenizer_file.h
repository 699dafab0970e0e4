// Files that contain a tokenizer, recognized by content.
#pragma once

#include <string_view>

#include "text/tokenizer.h"

namespace aviary {

// Size limit of a tokenizer file; the largest vocabularies in use have 35 MB.
inline constexpr int64_t largest_tokenizer_file = int64_t{64} << 20;

// Makes the tokenizer that the content of a file describes: the lines of a World vocabulary, a
// tokenizer.json, or a vocab.json of characters; in UTF-8 or in UTF-16 with its byte order mark. Throws
// Error, beginning with `name`, if it is none of these, and the errors of the three kinds (text/tokenizer.h).
TokenizerPtr read_tokenizer(std::string_view content, std::string_view name);

}  // namespace aviary
