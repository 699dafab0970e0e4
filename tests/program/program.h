// Runs the built program as a user would: in a folder, as a separate process, with a time limit.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "formats/tensor_file.h"
#include "support/sanitized.h"
#include "support/test_folder.h"

namespace aviary::program {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;
Arguments operator+(Arguments first, const Arguments& second);

// The built program.
extern const char* const program_path;

void sleep_for(double seconds);

struct Outcome {
  int code = 0;  // the exit code; minus the signal number if a signal ended the process
  std::string out, err;
  double seconds = 0;
  int64_t peak_bytes = 0;  // of memory
};

// A running `aviary ARGUMENTS`, started in `folder`, with stdin from the file `input`; killed with SIGKILL if
// the test ends first.
class Process {
 public:
  Process(const fs::path& folder, const Arguments& arguments, const fs::path& input = "/dev/null");
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  void signal(int number) const;
  bool ended() const;
  // What it has written to its standard output so far.
  std::string output() const;
  // Waits for the process to end. The test fails if it takes longer than `limit` seconds.
  Outcome wait(double limit = 120);

 private:
  TestFolder captured_;  // the output, outside the tested folder, whose disk may be full
  pid_t pid_ = -1;
  double started_ = 0;
};

// A running `aviary ARGUMENTS` whose input and output are a terminal of its own.
class Terminal {
 public:
  Terminal(const fs::path& folder, const Arguments& arguments);
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal();

  // What it writes until it ends; the line ends are \n.
  std::string read_all();
  // What it writes until `text` is part of it; the test fails if that takes longer than `limit` seconds.
  std::string read_until(const std::string& text, double limit = 60);
  void type(const std::string& keys);
  // As when its window is closed.
  void close();
  // Waits for its end: the exit code, or minus the signal number.
  int wait();

 private:
  pid_t pid_ = -1;
  int terminal_ = -1;
};

Outcome run(const fs::path& folder, const Arguments& arguments, const fs::path& input = "/dev/null");

// Expects exit code `code` and exactly one line on stderr, which contains each of `words`.
void expect_refusal(const Outcome& outcome, const std::vector<std::string>& words, int code = 1);
// Expects exit code 0 and nothing that looks like an error on stderr.
void expect_success(const Outcome& outcome);

std::string read(const fs::path& path);
void write(const fs::path& path, const std::string& bytes);
// Content of every file below a folder, by name.
std::map<std::string, std::string> files_below(const fs::path& folder);

// Random sentences of English words, always the same for the same arguments.
std::string prose(size_t bytes, uint64_t seed = 1);

// Flags of a byte-level model that trains in a moment.
extern const Arguments tiny;
// The same with another tokenizer.
Arguments tiny_with(const std::string& tokenizer);
// Trains it on folder/text.txt (which is written if missing) for `steps` steps, into folder/run.
void train_tiny(const fs::path& folder, int steps = 3, const Arguments& more = {});

// Rewrites a tensor file after `change` has modified its tensors (data as bytes) and its metadata.
struct EditableTensor {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  std::string data;
};
using Change = std::function<void(std::vector<EditableTensor>&, std::map<std::string, std::string>&)>;
void rewrite_tensors(const fs::path& path, const Change& change);

}  // namespace aviary::program
