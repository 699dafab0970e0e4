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
std::vector<HttpProbe> http_probes();

}  // namespace aviary
