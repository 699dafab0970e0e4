// aviary watch: the page with training runs, as they are and as they grow.
#include <aviary/version.h>
#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/interrupt.h"
#include "cli/cli.h"
#include "http/server.h"
#include "page/no_models.h"
#include "page/page.h"
#include "page/page_files.h"
#include "serve/web.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct WatchFlags {
  std::vector<std::string> runs;
  std::string host = "127.0.0.1";
  int64_t port = 8081;
};

int watch(const WatchFlags& flags) {
  require(!page_files().empty(), "aviary watch shows a page, which is missing in this program. {}",
          page_missing());
  std::vector<fs::path> places(flags.runs.begin(), flags.runs.end());
  for (const fs::path& place : places)
    require(fs::is_directory(place), "{}: there is no such folder; expected that of a run, or one with runs",
            place.string());
  if (places.empty()) places.emplace_back("runs");
  auto runs = std::make_shared<Runs>(places);
  const size_t count = runs->list().size();
  require(count > 0 || flags.runs.empty(), "there is no training run in {}; a run has a file log.jsonl",
          fmt::join(flags.runs, ", "));
  NoModels none;
  Router router(none, {.keys = {}, .version = version(), .max_tokens = 0});
  add_page(router);
  add_about(router, true);
  add_runs(router, runs);
  Web web(router, 2);
  http::HttpServer listening({.host = flags.host, .port = static_cast<int>(flags.port)}, web);
  InterruptGuard guard;
  std::atomic<bool> done = false;
  std::thread stopping([&] {
    while (!done && !guard.interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    listening.stop(0);
  });
  fmt::print("{} training run{}; look at {}/#/training (Ctrl-C ends)\n", count, count == 1 ? "" : "s",
             listening.address());
  std::fflush(stdout);
  listening.run();
  done = true;
  stopping.join();
  return 0;
}

Action add_watch(CLI::App& command) {
  auto flags = std::make_shared<WatchFlags>();
  command.add_option("runs", flags->runs, "Folders of runs, or folders with runs (default: runs)");
  command.add_option("--host", flags->host, "Address to listen on; 0.0.0.0: reachable from other machines")
      ->capture_default_str();
  command.add_option("--port", flags->port, "Port; 0: any free one")
      ->check(bounds(0, 65535))
      ->capture_default_str();
  return [flags] { return watch(*flags); };
}

const Registration watch_command({"watch", CommandGroup::first, 7, "Look at training runs in a browser",
                                  add_watch});

}  // namespace
}  // namespace aviary::cli
