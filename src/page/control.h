// What the page may do with training runs, where the user has allowed it: stop them, go on with them, and
// begin one that tunes a model. Everything is done by the program itself in processes of their own, which go
// on when the page is closed and when the server ends; a later server finds them again by the locks of their
// folders.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/platform.h"

namespace aviary {

// The file of a model that the server has.
struct ModelFile {
  std::string name;
  std::filesystem::path file;
};

struct ControlOptions {
  std::filesystem::path program = {};   // that trains: the one that runs
  std::filesystem::path new_runs = {};  // the folder in which runs begin; empty: none can begin
  std::vector<ModelFile> models = {};   // those of the server
};

// What a new run is to do. The texts have been checked: they are words of a command line.
struct TuneWish {
  std::filesystem::path base = {};
  std::string name = {};                   // of the file of rows, from outside
  std::string rows = {};                   // JSON lines
  std::vector<std::string> settings = {};  // "--method", "lora", ...
};

// A run that is planned and has not begun.
struct TuneDraft {
  enum class State : uint8_t { planning, ready, refused };
  int64_t id = 0;
  State state = State::planning;
  std::filesystem::path folder = {};
  std::string text = {};  // what the plan says, or why it was refused
};

// How a run stands. A process that trains there may have been started by anyone.
struct RunStanding {
  bool running = false;
  bool stopping = false;     // it was asked to save and end
  std::string problem = {};  // why the process that was started here ended; empty if it did not fail
};

// Whether a process trains in a folder, without Control.
RunStanding standing_of(const std::filesystem::path& run);
// The end of what the processes that were started here have printed in the folder of a run, at most `bytes`.
std::string output_of(const std::filesystem::path& run, int64_t bytes);

// Thread-safe. All functions throw TaskFailure (bad_request) with a sentence for the user.
class Control {
 public:
  static constexpr int64_t most_bytes = 12 << 20;  // of rows

  explicit Control(ControlOptions options);
  // Runs go on; a plan that is being made ends, and what was kept for a draft is removed.
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  const ControlOptions& options() const { return options_; }
  RunStanding standing(const std::filesystem::path& run);
  // Asks the process that trains there to save and end. Once: a second time would end it without saving.
  void stop(const std::filesystem::path& run);
  // Goes on with a run that was stopped, bit for bit; steps: of the whole run from now on, so that one that
  // is finished goes on, too.
  void resume(const std::filesystem::path& run, std::optional<int64_t> steps = {});

  // Keeps the rows in a new folder and lets `aviary tune --plan` say what would be done. There is one draft:
  // an older one is given up.
  TuneDraft plan(const TuneWish& wish);
  // Throws TaskFailure (not_found) if this is not the draft.
  TuneDraft draft(int64_t id);
  // Begins the run of the draft; its folder.
  std::filesystem::path begin(int64_t id);
  void give_up(int64_t id);

 private:
  struct Child {
    std::optional<platform::ChildProcess> process;
    bool stopping = false;
    std::string problem = {};
  };
  struct Planned {
    TuneDraft draft;
    std::vector<std::string> command;  // without --plan
    platform::ChildProcess process;
  };
  // All while the mutex is held.
  void look_after(const std::filesystem::path& run, Child& child);
  RunStanding standing_now(const std::filesystem::path& run);
  void start(const std::filesystem::path& run, const std::vector<std::string>& command);
  Planned& planned(int64_t id);
  void look_at_plan();
  void remove_draft();
  void reap();

  const ControlOptions options_;
  std::mutex mutex_;  // guards all below
  std::condition_variable end_;
  bool ending_ = false;
  int64_t drafts_ = 0;
  std::optional<Planned> planned_;
  std::map<std::filesystem::path, Child> children_;  // by folder
  std::map<std::filesystem::path, int64_t> asked_;   // processes of others that were asked to end
  std::thread reaper_;
};

}  // namespace aviary
