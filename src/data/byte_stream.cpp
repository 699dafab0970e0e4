#include "data/byte_stream.h"

#include <zlib.h>
#include <zstd.h>

#include <vector>

#include "base/error.h"
#include "base/platform.h"

namespace aviary {
namespace {

constexpr size_t block = size_t{1} << 18;

class PlainStream : public ByteStream {
 public:
  explicit PlainStream(const std::filesystem::path& path) : name_(path.string()) {
    std::error_code error;
    file_ = platform::File(path, platform::Open::read_without_waiting, error);
    require(!error, "{}: cannot be read: {}", name_, error.message());
    const platform::FileStatus status = file_.status(error);
    require(!error && status.kind == platform::FileKind::regular, "{}: is no regular file", name_);
  }
  size_t read(std::span<char> bytes) override {
    std::error_code error;
    const size_t count = file_.read(std::as_writable_bytes(bytes), error);
    require(!error, "{}: cannot be read: {}", name_, error.message());
    return count;
  }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  platform::File file_;
};

// gzip, also several members one after the other.
class GzipStream : public ByteStream {
 public:
  explicit GzipStream(const std::filesystem::path& path) : file_(path), input_(block) {
    constexpr int gzip_only = 16 + MAX_WBITS;
    require(inflateInit2(&stream_, gzip_only) == Z_OK, "zlib cannot be started");
  }
  ~GzipStream() override { inflateEnd(&stream_); }
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  size_t read(std::span<char> bytes) override {
    stream_.next_out = reinterpret_cast<Bytef*>(bytes.data());
    stream_.avail_out = static_cast<uInt>(bytes.size());
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0 && !refill()) break;
      if (between_) require(inflateReset(&stream_) == Z_OK, "zlib cannot be started");
      between_ = false;
      const int result = inflate(&stream_, Z_NO_FLUSH);
      require(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR,
              "{}: is no valid gzip file: {}", file_.name(), stream_.msg ? stream_.msg : "broken data");
      between_ = result == Z_STREAM_END;
    }
    return bytes.size() - stream_.avail_out;
  }

 private:
  bool refill() {
    const size_t count = file_.read(input_);
    require(count > 0 || between_, "{}: the compressed data is cut off", file_.name());
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(count);
    return count > 0;
  }

  PlainStream file_;
  std::vector<char> input_;
  z_stream stream_{};
  bool between_ = false;  // two members
};

class ZstdStream : public ByteStream {
 public:
  explicit ZstdStream(const std::filesystem::path& path)
      : file_(path), input_(block), context_(ZSTD_createDCtx(), &ZSTD_freeDCtx) {
    require(context_ != nullptr, "zstd cannot be started");
  }
  size_t read(std::span<char> bytes) override {
    ZSTD_outBuffer out{bytes.data(), bytes.size(), 0};
    while (out.pos < out.size) {
      if (in_.pos == in_.size) {
        const size_t count = file_.read(input_);
        if (count == 0) {
          require(finished_, "{}: the compressed data is cut off", file_.name());
          break;
        }
        in_ = {input_.data(), count, 0};
      }
      const size_t left = ZSTD_decompressStream(context_.get(), &out, &in_);
      require(!ZSTD_isError(left), "{}: is no valid zstd file: {}", file_.name(), ZSTD_getErrorName(left));
      finished_ = left == 0;
    }
    return out.pos;
  }

 private:
  PlainStream file_;
  std::vector<char> input_;
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool finished_ = false;  // at the end of a frame
};

}  // namespace

std::unique_ptr<ByteStream> open_stream(const std::filesystem::path& path) {
  if (path.extension() == ".gz") return std::make_unique<GzipStream>(path);
  if (path.extension() == ".zst") return std::make_unique<ZstdStream>(path);
  return std::make_unique<PlainStream>(path);
}

std::filesystem::path without_compression(const std::filesystem::path& path) {
  const bool compressed = path.extension() == ".gz" || path.extension() == ".zst";
  return compressed ? path.parent_path() / path.stem() : path;
}

}  // namespace aviary
