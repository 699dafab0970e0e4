// The target of a request line (RFC 9112, 3.2).
#pragma once

#include "http/parser.h"

namespace aviary::http {

// Fills target, path, query and, for http://host/path, host. Returns what is wrong with the target, or
// nullptr.
const char* read_target(std::string_view target, HttpRequest& request);

}  // namespace aviary::http
