#include "server.h"

#include <chrono>
#include <stdexcept>
#include <thread>

namespace aviary::program {

std::string address_of(Process& server) {
  for (int i = 0; i < 6000 && !server.ended(); ++i) {
    const std::string out = server.output();
    for (const std::string begin : {"Listening on ", "look at "}) {
      const size_t at = out.find(begin), end = out.find('\n', at);
      if (at == std::string::npos || end == std::string::npos) continue;
      const std::string rest = out.substr(at + begin.size(), end - at - begin.size());
      return rest.substr(0, rest.find("/#"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  throw std::runtime_error("the server does not listen: " +
                           (server.ended() ? server.wait().err : server.output()));
}

bool has_page() {
  const TestFolder folder;
  return run(folder.path(), {"watch", "nowhere"}).err.find("missing in this program") == std::string::npos;
}

}  // namespace aviary::program
