// Requests that an HTTP/1.1 server must accept, refuse or wait for, by RFC 9110 and RFC 9112 and by what this
// server has decided where they leave a choice.
#pragma once

#include <string>
#include <vector>

namespace aviary {

struct HttpProbe {
  std::string name;
  std::string bytes;
  // One status per answer, in order: "200" for an accepted request; "..." at the end if the server waits for
  // more bytes. Where two refusals are right, the one of this server.
  std::string wanted;
};

// The limits that the probes assume are the usual ones: target 8 KiB, header lines 16 KiB and 100, body 16
// MiB.
inline std::vector<HttpProbe> http_probes() {
  using std::string;
  const string host = "Host: localhost\r\n", get = "GET / HTTP/1.1\r\n" + host,
               post = "POST / HTTP/1.1\r\n" + host;
  const string chunked = post + "Transfer-Encoding: chunked\r\n\r\n", plain = get + "\r\n";
  auto with = [&](const string& field) { return get + field + "\r\n\r\n"; };
  auto coded = [&](const string& coding) {
    return post + "Transfer-Encoding: " + coding + "\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
  };
  auto sized = [&](const string& length) { return post + "Content-Length: " + length + "\r\n\r\nhello"; };
  auto chunk = [&](const string& size) { return chunked + size + "\r\nhello\r\n0\r\n\r\n"; };
  auto line = [&](const string& text) { return text + "\r\n" + host + "\r\n"; };
  string many_fields = get;
  for (int i = 0; i < 200; ++i) many_fields += "X-" + std::to_string(i) + ": a\r\n";
  const string nul(1, '\0');
  return {
      // Host
      {"no Host", "GET / HTTP/1.1\r\n\r\n", "400"},
      {"two Hosts", get + host + "\r\n", "400"},
      {"an invalid Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
      {"an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"},
      {"a Host with a path", "GET / HTTP/1.1\r\nHost: localhost/a\r\n\r\n", "400"},
      {"a Host with a user", "GET / HTTP/1.1\r\nHost: me@localhost\r\n\r\n", "400"},
      {"a Host whose port is no number", "GET / HTTP/1.1\r\nHost: localhost:a\r\n\r\n", "400"},
      {"a Host with a port", "GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n", "200"},
      {"a Host of IPv6", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "200"},
      {"HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "200"},
      // field lines
      {"a name that is no token", with("X-Invalid[]: a"), "400"},
      {"a control byte in a value",
       with("X: a\x01"
            "b"),
       "400"},
      {"a NUL in a value", with("X: a" + nul + "b"), "400"},
      {"a delete byte in a value",
       with("X: a\x7f"
            "b"),
       "400"},
      {"a bare CR in a value", with("X: a\rb"), "400"},
      {"a bare CR before a fake field", with("X: a\rTransfer-Encoding: chunked"), "400"},
      {"bytes above 0x7f in a value", with("X: \xc3\xa9"), "200"},
      {"a tab in a value", with("X: a\tb"), "200"},
      {"a tab after the colon", "GET / HTTP/1.1\r\nhoSt:\tlocalhost\r\n\r\n", "200"},
      {"a bare CR instead of the end of the head", get + "\rX: a\r\n\r\n", "400"},
      {"an empty value", with("X:"), "200"},
      {"white space around a value", with("X: \t a \t "), "200"},
      {"a space before the colon", with("X : a"), "400"},
      {"a folded line", with("X: a\r\n b"), "400"},
      {"a fold on the first line", "GET / HTTP/1.1\r\n " + host + "\r\n", "400"},
      {"an empty name", with(": a"), "400"},
      {"no colon", with("X"), "400"},
      {"LF alone ends a field line", get + "X: a\n\r\n", "400"},
      {"LF alone ends the head", get + "\n", "400"},
      {"LF alone everywhere", "GET / HTTP/1.1\nHost: localhost\n\n", "400"},
      {"header lines of 40 KB", with("X: " + string(40'000, 'a')), "431"},
      {"200 header lines", many_fields + "\r\n", "431"},
      // Content-Length
      {"Content-Length 5", sized("5"), "200"},
      {"Content-Length +5", sized("+5"), "400"},
      {"Content-Length 0x5", sized("0x5"), "400"},
      {"Content-Length -1", sized("-1"), "400"},
      {"an empty Content-Length", sized(""), "400"},
      {"Content-Length 5 5", sized("5 5"), "400"},
      {"Content-Length 0_5", sized("0_5"), "400"},
      {"Content-Length 5.0", sized("5.0"), "400"},
      {"two different Content-Lengths", sized("5\r\nContent-Length: 6"), "400"},
      {"two equal Content-Lengths", sized("5\r\nContent-Length: 5"), "400"},
      {"a list of equal lengths", sized("5, 5"), "400"},
      {"a Content-Length beyond 64 bits", sized("18446744073709551621"), "413"},
      {"a Content-Length over the limit", sized("16777217"), "413"},
      {"a Content-Length with a comma first", sized(",5"), "400"},
      // Transfer-Encoding
      {"chunked", coded("chunked"), "200"},
      {"chunked in capitals", coded("CHUNKED"), "200"},
      {"gzip, chunked", coded("gzip, chunked"), "501"},
      {"chunked, gzip", coded("chunked, gzip"), "501"},
      {"xchunked", coded("xchunked"), "501"},
      {"chunked in quotes", coded("\"chunked\""), "501"},
      {"identity", coded("identity"), "501"},
      {"chunked twice in a list", coded("chunked, chunked"), "400"},
      {"chunked in two fields", coded("chunked\r\nTransfer-Encoding: chunked"), "400"},
      {"chunked and gzip in two fields", coded("chunked\r\nTransfer-Encoding: gzip"), "501"},
      {"an empty Transfer-Encoding", coded(""), "400"},
      {"a comma before chunked", coded(",chunked"), "501"},
      {"a vertical tab before chunked",
       coded("\x0b"
             "chunked"),
       "400"},
      {"Transfer-Encoding, then Content-Length", coded("chunked\r\nContent-Length: 5"), "400"},
      {"Content-Length, then Transfer-Encoding", sized("5\r\nTransfer-Encoding: chunked"), "400"},
      {"Transfer-Encoding with HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "400"},
      {"a Transfer-Encoding with a space before the colon",
       post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"},
      // chunks
      {"an empty body in chunks", chunked + "0\r\n\r\n", "200"},
      {"a size of eight digits", chunk("00000005"), "200"},
      {"a size in capitals", chunked + "A\r\n0123456789\r\n0\r\n\r\n", "200"},
      {"chunk size 0x5", chunk("0x5"), "400"},
      {"chunk size +5", chunk("+5"), "400"},
      {"chunk size -5", chunk("-5"), "400"},
      {"chunk size 5 x", chunk("5 x"), "400"},
      {"a space before a chunk size", chunk(" 5"), "400"},
      {"a space after a chunk size", chunk("5 "), "400"},
      {"chunk size 0_2e", chunk("0_2e"), "400"},
      {"an empty chunk size", chunk(""), "400"},
      {"a chunk size of 17 digits", chunk("00000000000000005"), "400"},
      {"a chunk over the limit", chunk("1000001"), "413"},
      {"two chunks over the limit together", chunked + "5\r\nhello\r\nfffffc\r\n", "413"},
      {"a chunk extension", chunk("5;a=b"), "200"},
      {"a chunk extension in quotes", chunk("5;a=\"b c\\\"\""), "200"},
      {"a chunk extension without value", chunk("5;a"), "200"},
      {"a chunk extension without name", chunk("5;=b"), "400"},
      {"an LF in a chunk extension", chunk("5;a=\"\n\""), "400"},
      {"a NUL in a chunk extension", chunk("5;a=\"" + nul + "\""), "400"},
      {"a CR in a chunk extension", chunk("5;a=\r1"), "400"},
      {"an unclosed quote in a chunk extension", chunk("5;a=\"b"), "400"},
      {"a chunk extension of 100 KB", chunk("5;a=" + string(100'000, 'b')), "400"},
      {"LF alone after a chunk size", chunked + "5\nhello\r\n0\r\n\r\n", "400"},
      {"LF alone after chunk data", chunked + "5\r\nhello\n0\r\n\r\n", "400"},
      {"LF alone after every line of the chunks", chunked + "5\nhello\n0\n\n", "400"},
      {"nothing after chunk data", chunked + "5\r\nhello0\r\n\r\n", "400"},
      {"chunk data that is too long", chunked + "5\r\nhello!\r\n0\r\n\r\n", "400"},
      {"trailers", chunked + "5\r\nhello\r\n0\r\nX-Trail: a\r\n\r\n", "200"},
      {"a trailer that is no field", chunked + "0\r\nX-Trail\r\n\r\n", "400"},
      {"a trailer of 5 KB", chunked + "0\r\nX: " + string(5000, 'a') + "\r\n\r\n", "431"},
      {"a request after chunks", chunked + "0\r\n\r\n" + plain, "200 200"},
      // request line
      {"two spaces after the method", line("GET  / HTTP/1.1"), "400"},
      {"two spaces before the version", line("GET /  HTTP/1.1"), "400"},
      {"a space at the start", line(" GET / HTTP/1.1"), "400"},
      {"a space at the end", line("GET / HTTP/1.1 "), "400"},
      {"a tab in the request line", line("GET\t/ HTTP/1.1"), "400"},
      {"a space in the target", line("GET /a b HTTP/1.1"), "400"},
      {"byte 0x80 in the target", line("GET /\x80 HTTP/1.1"), "400"},
      {"a NUL in the target", line("GET /" + nul + " HTTP/1.1"), "400"},
      {"a # in the target", line("GET /#a HTTP/1.1"), "400"},
      {"authority-form", line("CONNECT localhost:80 HTTP/1.1"), "400"},
      {"a target without slash", line("GET index HTTP/1.1"), "400"},
      {"an asterisk with GET", line("GET * HTTP/1.1"), "400"},
      {"an unknown method", line("BREW / HTTP/1.1"), "501"},
      {"TRACE", line("TRACE / HTTP/1.1"), "501"},
      {"a method in lower case", line("get / HTTP/1.1"), "501"},
      {"a method that is no token", line("G@T / HTTP/1.1"), "400"},
      {"a method of 20 letters", line("ABCDEFGHIJKLMNOPQRST / HTTP/1.1"), "501"},
      {"a request line of 20 KB", line("GET /" + string(20'000, 'a') + " HTTP/1.1"), "414"},
      {"a target of 8 KiB", line("GET /" + string(8191, 'a') + " HTTP/1.1"), "200"},
      {"a target of 8 KiB and a byte", line("GET /" + string(8192, 'a') + " HTTP/1.1"), "414"},
      {"an empty line first", "\r\n" + plain, "200"},
      {"two empty lines first", "\r\n\r\n" + plain, "400"},
      {"HTTP/2.0", line("GET / HTTP/2.0"), "505"},
      {"HTTP/9.9", line("GET / HTTP/9.9"), "505"},
      {"no version", line("GET / "), "400"},
      {"words before the method", line("Extra lineGET / HTTP/1.1"), "400"},
      {"HTTP/1.2", line("GET / HTTP/1.2"), "505"},
      {"HTTP/1.10", line("GET / HTTP/1.10"), "400"},
      {"http/1.1", line("GET / http/1.1"), "400"},
      {"the beginning of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"},
      {"the beginning of TLS", string("\x16\x03\x01\x02\x00\x01\x00\x01", 8), "400"},
      {"HTTP/0.9", "GET /\r\n", "400"},
      {"absolute-form", "GET http://localhost:80/a HTTP/1.1\r\n" + host + "\r\n", "200"},
      {"absolute-form without a path", "GET http://localhost HTTP/1.1\r\n" + host + "\r\n", "200"},
      {"absolute-form with an invalid host", "GET http://a@localhost/ HTTP/1.1\r\n" + host + "\r\n", "400"},
      {"absolute-form of another scheme", "GET https://localhost/ HTTP/1.1\r\n" + host + "\r\n", "400"},
      {"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", "200"},
      {"a parent folder", line("GET /a/../b HTTP/1.1"), "400"},
      {"a parent folder, encoded", line("GET /a/%2e%2E/b HTTP/1.1"), "400"},
      {"an encoded NUL", line("GET /a%00 HTTP/1.1"), "400"},
      {"an encoded line break", line("GET /a%0d%0aX:%20b HTTP/1.1"), "400"},
      {"half an encoded byte", line("GET /a%4 HTTP/1.1"), "400"},
      {"an encoded byte that is not UTF-8", line("GET /%ff HTTP/1.1"), "400"},
      {"an encoded letter", line("GET /%C3%A9?q=%41 HTTP/1.1"), "200"},
      {"half an encoded byte in the query", line("GET /?a=%4 HTTP/1.1"), "400"},
      // several requests, and other fields
      {"three requests", plain + plain + plain, "200 200 200"},
      {"a request after a body", sized("5") + plain, "200 200"},
      {"a bad request after a good one", plain + "GET /\r\n", "200 400"},
      {"a request after a refused one", "GET /\r\n" + plain, "400"},
      {"an expectation that is met", post + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "200"},
      {"an expectation beyond the limit", post + "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
       "413"},
      {"an expectation without a body", with("Expect: 100-continue"), "200"},
      {"another expectation", post + "Expect: a miracle\r\nContent-Length: 5\r\n\r\nhello", "417"},
      {"a body with GET", get + "Content-Length: 5\r\n\r\nhello", "200"},
      {"PUT", line("PUT /a HTTP/1.1"), "200"},
      {"DELETE", line("DELETE /a HTTP/1.1"), "200"},
      {"HEAD", line("HEAD / HTTP/1.1"), "200"},
      // beginnings that may become a request
      {"a letter", "G", "..."},
      {"a method", "GET ", "..."},
      {"a method and a target", "GET /hello", "..."},
      {"a target and a space", "GET /hello ", "..."},
      {"half a version", "GET /hello HTTP", "..."},
      {"a request line without its end", "GET /hello HTTP/1.1", "..."},
      {"a request line and CR", "GET /hello HTTP/1.1\r", "..."},
      {"a request line", "GET /hello HTTP/1.1\r\n", "..."},
      {"half a name", "GET /hello HTTP/1.1\r\nHos", "..."},
      {"a name", "GET /hello HTTP/1.1\r\nHost:", "..."},
      {"a name and a space", "GET /hello HTTP/1.1\r\nHost: ", "..."},
      {"half a value", "GET /hello HTTP/1.1\r\nHost: loc", "..."},
      {"a field line and CR", "GET / HTTP/1.1\r\nHost: localhost\r", "..."},
      {"a field line", get, "..."},
      {"a head and CR", get + "\r", "..."},
      {"a head without its body", post + "Content-Length: 5\r\n\r\n", "..."},
      {"half a body", post + "Content-Length: 5\r\n\r\nhel", "..."},
      {"a head without its chunks", chunked, "..."},
      {"a chunk size and CR", chunked + "5\r", "..."},
      {"half a chunk", chunked + "5\r\nhel", "..."},
      {"a chunk without the last", chunked + "5\r\nhello\r\n", "..."},
      {"a last chunk without its end", chunked + "0\r\n", "..."},
      {"a last chunk and CR", chunked + "0\r\n\r", "..."},
      {"a request and half of the next", plain + "GET /", "200 ..."},
  };
}

}  // namespace aviary
