#include "http/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

#include "base/error.h"
#include "base/human.h"
#include "base/platform.h"
#include "base/quotes.h"
#include "http/reply_reader.h"

namespace aviary::http {
namespace {

std::string without_brackets(const std::string& host) {
  return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

// A connection to the server of the URL.
class Line {
 public:
  Line(const std::string& host, int port, const ClientOptions& options)
      : options_(options), name_(fmt::format("http://{}:{}", host, port)) {
    socket_ = platform::Socket::connect(without_brackets(host), port, options.connect_seconds, error_);
    require(!error_ && socket_.is_open(), "cannot reach {}: {}; is a server running there?", name_,
            error_.message());
  }

  // A server may refuse a request before it has read all of it, so an error counts only if no answer follows.
  void send(std::string_view text) {
    socket_.write(std::as_bytes(std::span(text)), options_.silence_seconds, error_);
    send_error_ = error_;
  }

  // Nothing if the request is to be ended; empty if the server has closed the connection.
  std::optional<std::string_view> receive() {
    constexpr double pause = 0.1;
    double waited = 0;
    while (!socket_.wait_for_bytes(pause, error_)) {
      if (options_.cancelled && options_.cancelled()) return {};
      waited += pause;
      require(!error_ && waited < options_.silence_seconds, "{} has sent nothing for {}", name_,
              human_duration(options_.silence_seconds));
    }
    const size_t count = socket_.read(std::as_writable_bytes(std::span(bytes_)), error_);
    const std::error_code error = error_ ? error_ : count == 0 ? send_error_ : std::error_code();
    require(!error, "the connection to {} broke: {}", name_, error.message());
    return std::string_view(bytes_.data(), count);
  }

 private:
  const ClientOptions& options_;
  const std::string name_;
  platform::Socket socket_;
  std::error_code error_, send_error_;
  std::array<char, 16 << 10> bytes_;
};

}  // namespace

const std::string* ClientReply::header(std::string_view lower_name) const {
  for (const auto& [name, value] : headers)
    if (name == lower_name) return &value;
  return nullptr;
}

HttpClient::HttpClient(std::string_view url, ClientOptions options) : options_(std::move(options)) {
  constexpr std::string_view scheme = "http://";
  require(!lower_case(url.substr(0, 8)).starts_with("https://"),
          "{}: TLS is not spoken here; give the http:// address of the server, or of a proxy on this machine "
          "that adds TLS",
          in_quotes(url));
  const bool is_http = lower_case(url.substr(0, scheme.size())) == scheme;
  const std::string_view rest = is_http ? url.substr(scheme.size()) : url;
  const std::string_view name = rest.substr(0, rest.find('/'));
  const std::optional<Authority> authority = parse_authority(name);
  require(is_http && authority, "{} is not the address of a server, such as http://127.0.0.1:8080",
          in_quotes(url));
  prefix_ = rest.substr(name.size());
  while (prefix_.ends_with('/')) prefix_.pop_back();
  host_ = authority->host;
  if (authority->port >= 0) port_ = authority->port;
}

ClientReply HttpClient::get(std::string_view path, const Headers& headers) const {
  return stream("GET", path, headers, {}, nullptr);
}

ClientReply HttpClient::post(std::string_view path, const Headers& headers, std::string_view body) const {
  return stream("POST", path, headers, body, nullptr);
}

std::string HttpClient::request_text(std::string_view method, std::string_view path, const Headers& headers,
                                     std::string_view body) const {
  const std::string target = prefix_ + std::string(path);
  const bool is_target = target.starts_with('/') && std::all_of(target.begin(), target.end(),
                                                                [](char c) { return c > ' ' && c < '\x7f'; });
  require(is_target, "{} is not a path of a URL", in_quotes(target));
  std::string text =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}:{}\r\nConnection: close\r\n", method, target, host_, port_);
  if (!body.empty() || method == "POST" || method == "PUT")
    text += fmt::format("Content-Length: {}\r\n", body.size());
  for (const auto& [field, value] : headers) {
    require(is_token(field) && std::all_of(value.begin(), value.end(), is_field_byte),
            "the value of the header field {} contains a control character", in_quotes(field));
    text += fmt::format("{}: {}\r\n", field, value);
  }
  text += "\r\n";
  return text.append(body);
}

ClientReply HttpClient::stream(std::string_view method, std::string_view path, const Headers& headers,
                               std::string_view body, const OnBytes& on_bytes) const {
  const std::string text = request_text(method, path, headers, body);
  Line line(host_, port_, options_);
  line.send(text);
  ReplyReader reader(method != "HEAD");
  ClientReply& reply = reader.reply();
  while (!reader.complete()) {
    const std::optional<std::string_view> bytes = line.receive();
    if (!bytes) return reply;
    if (bytes->empty())
      reader.end();
    else
      reader.feed(*bytes);
    if (on_bytes && reader.has_head() && reply.status < 400) {
      const std::string piece = std::exchange(reply.body, {});
      if (!piece.empty() && !on_bytes(piece)) return reply;
    }
    require(reply.body.size() <= options_.body_limit, "the answer is longer than {} bytes",
            options_.body_limit);
  }
  reply.complete = true;
  return reply;
}

}  // namespace aviary::http
