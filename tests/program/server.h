// A running `aviary serve`.
#pragma once

#include <string>

#include "program.h"

namespace aviary::program {

// Waits until it listens; where, "http://127.0.0.1:1234". Throws if it does not.
std::string address_of(Process& server);

}  // namespace aviary::program
