// What the page may do with the models of the server, where the user has allowed it: write one in another
// type, and measure its speed. One thing at a time, by the program itself in a process of its own, which ends
// with the server.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/platform.h"
#include "page/control.h"

namespace aviary {

struct ModelTask {
  enum class Kind : uint8_t { convert, bench };
  enum class State : uint8_t { running, done, failed };
  int64_t id = 0;
  Kind kind = Kind::convert;
  State state = State::running;
  std::string model = {};           // its name
  std::filesystem::path file = {};  // that a conversion writes
  std::string text = {};            // what the program has printed so far, or why it failed
};

// Thread-safe. Throws TaskFailure (bad_request) with a sentence for the user.
class ModelWork {
 public:
  explicit ModelWork(std::filesystem::path program) : program_(std::move(program)) {}
  // What is being done is stopped; it leaves no file.
  ~ModelWork();
  ModelWork(const ModelWork&) = delete;
  ModelWork& operator=(const ModelWork&) = delete;

  // The types that a model can be written in.
  static const std::vector<std::string>& types();
  // Writes a file beside that of the model, with a new name. type: one of types().
  ModelTask convert(const ModelFile& model, const std::string& type);
  // Measures what `aviary bench --json` tells, which is then the text.
  ModelTask bench(const ModelFile& model);
  // What was begun last, if anything was.
  std::optional<ModelTask> last();
  // Asks it to end.
  void stop();

 private:
  // All while the mutex is held.
  ModelTask begin(ModelTask task, const std::vector<std::string>& command);
  void look();
  void forget_output();

  const std::filesystem::path program_;
  std::mutex mutex_;  // guards all below
  std::optional<ModelTask> task_;
  platform::ChildProcess process_;
  std::filesystem::path output_;  // a folder for what the process prints; empty: none
  int64_t tasks_ = 0;
};

}  // namespace aviary
