// Runs a target on every file of the given folders, without a fuzzer.
#include <chrono>
#include <filesystem>

#include "base/files.h"
#include "fuzz.h"

int main(int argc, char** argv) {
  using namespace aviary;
  using Clock = std::chrono::steady_clock;
  constexpr double slowest = 20;  // seconds per input, allowing for sanitizers on a busy machine
  int count = 0;
  for (int i = 1; i < argc; ++i)
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      const std::string bytes = read_file(entry.path(), int64_t{1} << 26);
      const auto started = Clock::now();
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
      if (std::chrono::duration<double>(Clock::now() - started).count() > slowest) {
        std::printf("%s takes too long\n", entry.path().c_str());
        return 1;
      }
      ++count;
    }
  std::printf("%d inputs\n", count);
  return count > 0 ? 0 : 1;
}
