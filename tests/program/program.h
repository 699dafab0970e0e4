// Runs the built program as a user does: in a folder, as a process of its own, with a time limit.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "formats/tensor_file.h"
#include "support/test_folder.h"

namespace aviary::program {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;
Arguments operator+(Arguments first, const Arguments& second);

// The built program.
extern const char* const program_path;

struct Outcome {
  int code = 0;  // the exit code; minus the signal when one ended the process
  std::string out, err;
  double seconds = 0;
  int64_t peak_bytes = 0;  // of memory
};

// A running `aviary ARGUMENTS`, started in `folder`, that reads the file `input`; ended with SIGKILL when the
// test ends first.
class Process {
 public:
  Process(const fs::path& folder, const Arguments& arguments, const fs::path& input = "/dev/null");
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process();

  void signal(int number) const;
  bool ended() const;
  // Waits until the process has ended. One that takes longer than `limit` seconds is a failure of the test.
  Outcome wait(double limit = 120);

 private:
  TestFolder captured_;  // the output, outside of the folder under test, whose disk may be full
  pid_t pid_ = -1;
  double started_ = 0;
};

Outcome run(const fs::path& folder, const Arguments& arguments, const fs::path& input = "/dev/null");

// Exit code `code`, and on stderr exactly one line, a sentence with each of `words`.
void expect_refusal(const Outcome& outcome, const std::vector<std::string>& words, int code = 1);
// Exit code 0; nothing that looks like an error on stderr.
void expect_success(const Outcome& outcome);

std::string read(const fs::path& path);
void write(const fs::path& path, const std::string& bytes);
// Content of every file below a folder by its name.
std::map<std::string, std::string> files_below(const fs::path& folder);

// English words in random sentences, always the same for the same arguments.
std::string prose(size_t bytes, uint64_t seed = 1);

// Flags of a model of bytes that trains in a moment.
extern const Arguments tiny;
// The same with another tokenizer.
Arguments tiny_with(const std::string& tokenizer);
// Trains it on folder/text.txt (which is written when missing) for so many steps, into folder/run.
void train_tiny(const fs::path& folder, int steps = 3, const Arguments& more = {});

// Writes a tensor file anew after `change` has seen its tensors (data as bytes) and its metadata.
struct EditableTensor {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
  std::string data;
};
using Change = std::function<void(std::vector<EditableTensor>&, std::map<std::string, std::string>&)>;
void rewrite_tensors(const fs::path& path, const Change& change);

// The sanitizers use memory and time of their own.
constexpr bool sanitized =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    true;
#else
    false;
#endif
#else
    false;
#endif

}  // namespace aviary::program
