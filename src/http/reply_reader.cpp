#include "http/reply_reader.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "base/quotes.h"

namespace aviary::http {
namespace {

constexpr size_t most_head_bytes = 64 << 10;

}  // namespace

void ReplyReader::feed(std::string_view bytes) {
  while (!bytes.empty() && !complete()) {
    size_t used = 1;
    switch (phase_) {
      case Phase::sized:
        used = static_cast<size_t>(std::min<uint64_t>(left_, bytes.size()));
        reply_.body += bytes.substr(0, used);
        left_ -= used;
        if (left_ == 0) phase_ = Phase::complete;
        break;
      case Phase::chunked:
        used = chunks_->feed(bytes, reply_.body);
        require(!chunks_->bad(), "the server does not keep to HTTP/1.1: {}", chunks_->sentence());
        if (chunks_->complete()) phase_ = Phase::complete;
        break;
      case Phase::to_end:
        used = bytes.size();
        reply_.body += bytes;
        break;
      default:
        add_head_byte(bytes.front());
    }
    bytes.remove_prefix(used);
  }
}

void ReplyReader::end() {
  require(complete() || phase_ == Phase::to_end,
          "the server closed the connection before its answer was complete");
  phase_ = Phase::complete;
}

void ReplyReader::add_head_byte(char c) {
  require(++head_bytes_ <= most_head_bytes, "the header of the server's answer is longer than {} bytes",
          most_head_bytes);
  const LineReader::Result result = line_.add(c);
  require(result != LineReader::Result::bad,
          "the server does not speak HTTP/1.1: its lines do not end with CR LF");
  if (result != LineReader::Result::complete) return;
  const std::string& line = line_.line();
  if (phase_ == Phase::status) {
    read_status(line);
  } else if (line.empty()) {
    end_head();
  } else if (const char* fault = add_field(line, reply_.headers)) {
    fail("the server does not keep to HTTP/1.1: {}", fault);
  }
  line_.clear();
}

void ReplyReader::read_status(std::string_view line) {
  int status = 0;
  const bool is_http = line.starts_with("HTTP/1.") && line.size() >= 12 && line[8] == ' ' &&
                       (line.size() == 12 || line[12] == ' ');
  if (is_http) std::from_chars(line.data() + 9, line.data() + 12, status);
  require(status >= 100 && status < 600, "the server does not speak HTTP/1.1: its answer begins with {}",
          in_quotes(line));
  reply_.status = status;
  phase_ = Phase::fields;
}

void ReplyReader::end_head() {
  if (reply_.status < 200) {  // the real answer follows
    reply_ = {};
    phase_ = Phase::status;
    return;
  }
  const std::string* length = reply_.header("content-length");
  const std::string* coding = reply_.header("transfer-encoding");
  if (!has_body_ || reply_.status == 204 || reply_.status == 304) {
    phase_ = Phase::complete;
  } else if (coding) {
    require(lower_case(*coding) == "chunked",
            "the server uses the Transfer-Encoding {}, which is not known here", in_quotes(*coding));
    chunks_.emplace(std::numeric_limits<uint64_t>::max());
    phase_ = Phase::chunked;
  } else if (length) {
    const char* end = length->data() + length->size();
    const auto [stop, error] = std::from_chars(length->data(), end, left_);
    require(error == std::errc() && stop == end, "the server's Content-Length is {}, not a number",
            in_quotes(*length));
    phase_ = left_ == 0 ? Phase::complete : Phase::sized;
  } else {
    phase_ = Phase::to_end;
  }
}

}  // namespace aviary::http
