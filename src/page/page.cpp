#include "page/page.h"

#include <fmt/format.h>
#include <zlib.h>

#include "base/error.h"
#include "http/message.h"
#include "page/page_files.h"

namespace aviary {
namespace {

std::string unpacked(std::string_view gzip) {
  z_stream stream{};
  constexpr int bits_of_gzip = 15 + 16;
  require(inflateInit2(&stream, bits_of_gzip) == Z_OK, "zlib cannot begin");
  std::string text;
  std::string piece(1 << 16, '\0');
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(gzip.data()));
  stream.avail_in = static_cast<uInt>(gzip.size());
  int result = Z_OK;
  while (result == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    result = inflate(&stream, Z_NO_FLUSH);
    text.append(piece, 0, piece.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  require(result == Z_STREAM_END, "a file of the page is damaged");
  return text;
}

bool accepts(const ServeRequest& request, std::string_view field, std::string_view what) {
  const std::string* value = request.header(field);
  return value != nullptr && value->find(what) != std::string::npos;
}

HttpHeaders headers_of(std::string_view type) {
  HttpHeaders headers = http::page_headers();
  headers.emplace_back("Content-Type", type);
  headers.emplace_back("Vary", "Accept, Accept-Encoding");
  return headers;
}

void serve_file(const Call& call, const PageFile& file) {
  HttpHeaders headers = headers_of(file.type);
  const std::string tag = fmt::format("\"{}\"", file.hash);
  headers.emplace_back("ETag", tag);
  // A name with a hash never means something else.
  headers.emplace_back("Cache-Control",
                       file.path == "/" ? "no-cache" : "public, max-age=31536000, immutable");
  if (accepts(call.request, "if-none-match", tag)) return call.answer->respond(304, headers, {});
  if (!accepts(call.request, "accept-encoding", "gzip"))
    return call.answer->respond(200, headers, unpacked(file.gzip));
  headers.emplace_back("Content-Encoding", "gzip");
  call.answer->respond(200, headers, std::string(file.gzip));
}

void serve_missing(const Call& call) {
  HttpHeaders headers = headers_of("text/html; charset=utf-8");
  headers.emplace_back("Cache-Control", "no-store");
  call.answer->respond(
      200, headers,
      fmt::format("<!doctype html><html lang=\"en\"><title>Aviary</title><h1>Aviary</h1>\n"
                  "<p>This program answers requests of clients; its page is missing. {}</p></html>\n",
                  page_missing()));
}

const PageFile* find_file(std::string_view path) {
  for (const PageFile& file : page_files())
    if (file.path == path) return &file;
  return nullptr;
}

void serve_front(Call& call) {
  if (!accepts(call.request, "accept", "text/html"))
    return call.answer->respond(200, {{"Content-Type", "text/plain; charset=utf-8"}}, "Ollama is running");
  const PageFile* front = find_file("/");
  front ? serve_file(call, *front) : serve_missing(call);
}

}  // namespace

void add_page(Router& router) {
  router.add({.method = "GET", .path = "/", .handle = serve_front, .open = true});
  for (const PageFile& file : page_files())
    if (file.path != "/")
      router.add({.method = "GET",
                  .path = std::string(file.path),
                  .handle = [&file](Call& call) { serve_file(call, file); },
                  .open = true});
}

}  // namespace aviary
