// A running `aviary serve` or `aviary watch`.
#pragma once

#include <string>

#include "program.h"

namespace aviary::program {

// Waits until it listens; where, "http://127.0.0.1:1234". Throws if it does not.
std::string address_of(Process& server);
// Whether the program was built with the page, which `aviary watch` needs.
bool has_page();

}  // namespace aviary::program
