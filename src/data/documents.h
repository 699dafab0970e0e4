// Documents: the samples of fine-tuning as tokens, each with the tokens whose prediction is trained.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "data/rows.h"
#include "data/text_file.h"
#include "text/tokenizer.h"

namespace aviary {

struct Document {
  std::vector<int32_t> tokens;  // at least 2; the first is the begin token if the model reads one
  // trained[i]: the prediction of tokens[i] from those before it counts; never true for the first one.
  std::vector<bool> trained;
  int64_t trained_bytes = 0;  // of the trained tokens; the end token has none
  int64_t straddling = 0;     // tokens that lie on both sides of the border of a trained part
  double weight = 1;          // how often it is read in an epoch, on average
  std::string where;          // "FILE:LINE"
  bool conversation = false;  // Sample::conversation

  int64_t trained_tokens() const;
};

// The whole text is tokenized at once, so the model reads the tokens that it will meet in use. A token is
// trained if its first byte is. The end token follows the text, and is trained if the end of the text is.
// Where the tokenizer changes the text (Unicode's form C), the parts are tokenized one by one. Throws Error
// beginning with sample.where for a document without a trained token, and for a text that the tokenizer
// cannot encode.
Document document_of(const Sample& sample, const Tokenizer& tokenizer, std::optional<int32_t> begin_token,
                     std::optional<int32_t> end_token);

// What is asked for on a command line: FILE, or FILE,weight=W.
struct DataRequest {
  std::filesystem::path path;  // "-" is the standard input
  double weight = 1;           // from 0.001 to 1000
};
// Throws Error for text in another form.
DataRequest data_request(const std::string& text);

// A file of rows that has been opened: a pipe can be opened only once.
struct DataFile {
  explicit DataFile(const DataRequest& request) : input(request.path), weight(request.weight) {}
  InputFile input;
  double weight;
};

struct DocumentOptions {
  RowOptions rows = {};
  std::optional<int32_t> begin_token = {}, end_token = {};
  // The most tokens that a document is trained on (its rows: all tokens but the last); 0: any number. A
  // longer document is an Error (broken, with skip_broken), or with `truncate` loses its end.
  int64_t context = 0;
  bool truncate = false;
  double validation_share = 0.05;  // in [0, 1)
  uint64_t seed = 0;
};

struct Documents {
  std::vector<Document> train, validation;
  int64_t skipped = 0;                      // broken rows, with skip_broken
  int64_t truncated = 0;                    // documents
  int64_t straddling = 0;                   // tokens, in all documents
  std::set<std::string> ignored_keys = {};  // of rows, at most 20 of a file
};

// The documents of all rows of the files, in order. A share of the distinct texts is held out for validation,
// at least one if there are two: those with the lowest hash of text and seed. So the order of rows and files
// does not matter, and the same text is never on both sides. Throws Error for a file without rows, the errors
// of read_rows and document_of, and if a key of rows.rename is in no row.
Documents read_documents(std::span<const DataFile> files, const Tokenizer& tokenizer,
                         const DocumentOptions& options);

// The document as the model reads it, for a terminal: [[...]] around what is trained, <end> for an end of
// text. Of more than `longest` tokens those in the middle are left out.
std::string marked(const Document& document, const Tokenizer& tokenizer, int64_t longest = 400);

}  // namespace aviary
