// aviary watch: the page with training runs, as they are and as they grow.
#include <aviary/version.h>
#include <fmt/format.h>

#include <atomic>
#include <thread>

#include "base/error.h"
#include "base/interrupt.h"
#include "cli/access.h"
#include "cli/cli.h"
#include "cli/training_view.h"
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
  AccessFlags access;
  int64_t port = 8081;
};

int watch(const WatchFlags& flags) {
  require(!page_files().empty(), "aviary watch shows a page, which is missing in this program. {}",
          page_missing());
  flags.access.require_safe();
  std::vector<fs::path> places(flags.runs.begin(), flags.runs.end());
  for (const fs::path& place : places)
    require(fs::is_directory(place), "{}: there is no such folder; expected that of a run, or one with runs",
            place.string());
  if (places.empty()) places.emplace_back(runs_folder);
  NoModels none;
  Router router(none, {.keys = flags.access.all_keys(), .version = version(), .max_tokens = 0});
  add_page(router);
  const std::shared_ptr<Runs> runs = add_training(router, places, flags.access.control, {});
  const size_t count = runs->list().size();
  require(count + runs->studies().size() > 0 || flags.runs.empty() || flags.access.control,
          "there is no training run in {}; a run has a file log.jsonl", fmt::join(flags.runs, ", "));
  Web web(router, 2);
  http::ServerOptions server{.host = flags.access.host, .port = static_cast<int>(flags.port)};
  server.origins.hosts = flags.access.hosts;
  http::HttpServer listening(server, web);
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
  flags->access.add_host_to(command);
  command.add_option("--port", flags->port, "Port; 0: any free one")
      ->check(bounds(0, 65535))
      ->capture_default_str();
  flags->access.add_to(command);
  return [flags] { return watch(*flags); };
}

const Registration watch_command({"watch", CommandGroup::first, 7, "Look at training runs in a browser",
                                  add_watch});

}  // namespace
}  // namespace aviary::cli
