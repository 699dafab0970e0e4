#include "server.h"

#include <chrono>
#include <stdexcept>
#include <thread>

namespace aviary::program {

std::string address_of(Process& server) {
  const std::string begin = "Listening on ";
  for (int i = 0; i < 6000 && !server.ended(); ++i) {
    const std::string out = server.output();
    const size_t at = out.find(begin), end = out.find('\n', at);
    if (at != std::string::npos && end != std::string::npos)
      return out.substr(at + begin.size(), end - at - begin.size());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  throw std::runtime_error("the server does not listen: " +
                           (server.ended() ? server.wait().err : server.output()));
}

}  // namespace aviary::program
