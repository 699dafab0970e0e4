#include "program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

#include "base/random.h"
#include "formats/safetensors.h"

namespace aviary::program {

const char* const program_path = AVIARY_PROGRAM;

void sleep_for(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Only async-signal-safe calls, since this runs after fork.
[[noreturn]] void become(const char* folder, const char* in, const char* out, const char* err,
                         char* const* arguments) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::signal(SIGHUP, SIG_DFL);  // the tests may run under nohup
  const int to = ::open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600),
            errors = ::open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (::chdir(folder) != 0 || ::dup2(::open(in, O_RDONLY), 0) < 0 || ::dup2(to, 1) < 0 ||
      ::dup2(errors, 2) < 0)
    ::_exit(126);
  ::execv(program_path, arguments);
  ::_exit(127);
}

// With the instructions of AVIARY_TEST_ISA.
Arguments command_of(const Arguments& arguments) {
  Arguments all{"aviary"};
  const char* isa = std::getenv("AVIARY_TEST_ISA");
  if (isa && std::ranges::find(arguments, "--isa") == arguments.end()) all = all + Arguments{"--isa", isa};
  return all + arguments;
}

std::vector<char*> pointers_to(Arguments& arguments) {
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

Arguments operator+(Arguments first, const Arguments& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

Process::Process(const fs::path& folder, const Arguments& arguments, const fs::path& input) {
  Arguments all = command_of(arguments);
  const std::vector<char*> pointers = pointers_to(all);
  const std::string in = folder.string(), from = input.string(), out = (captured_ / "out").string(),
                    err = (captured_ / "err").string();
  started_ = now();
  pid_ = ::fork();
  if (pid_ == 0) become(in.c_str(), from.c_str(), out.c_str(), err.c_str(), pointers.data());
  EXPECT_GT(pid_, 0) << "cannot start a process";
}

Process::~Process() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void Process::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

bool Process::ended() const {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid_;
}

std::string Process::output() const { return read(captured_ / "out"); }

Outcome Process::wait(double limit) {
  Outcome outcome;
  int status = 0;
  struct rusage usage {};
  bool late = false;
  while (::wait4(pid_, &status, WNOHANG, &usage) == 0) {
    if (now() - started_ > limit && !late) {
      late = true;
      ADD_FAILURE() << "the program did not end within " << limit << " seconds";
      signal(SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  pid_ = -1;
  outcome.seconds = now() - started_;
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  outcome.peak_bytes = int64_t{usage.ru_maxrss} * 1024;
  outcome.out = read(captured_ / "out");
  outcome.err = read(captured_ / "err");
  return outcome;
}

Terminal::Terminal(const fs::path& folder, const Arguments& arguments) {
  Arguments all = command_of(arguments);
  const std::vector<char*> pointers = pointers_to(all);
  termios raw{};
  ::cfmakeraw(&raw);  // the output is not changed
  pid_ = ::forkpty(&terminal_, nullptr, &raw, nullptr);
  if (pid_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::signal(SIGHUP, SIG_DFL);
    if (::chdir(folder.c_str()) != 0) ::_exit(126);
    ::execv(program_path, pointers.data());
    ::_exit(127);
  }
  EXPECT_GT(pid_, 0) << "cannot start a process with a terminal";
}

Terminal::~Terminal() {
  close();
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

std::string Terminal::read_all() {
  std::string text;
  for (char piece[4096];;) {
    const ssize_t count = ::read(terminal_, piece, sizeof piece);
    if (count <= 0) return text;  // an error: the program has ended
    text.append(piece, static_cast<size_t>(count));
  }
}

std::string Terminal::read_until(const std::string& text, double limit) {
  std::string all;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(limit);
  while (all.find(text) == std::string::npos) {
    pollfd descriptor = {terminal_, POLLIN, 0};
    char piece[4096];
    const bool ready = ::poll(&descriptor, 1, 100) > 0;
    const ssize_t count = ready ? ::read(terminal_, piece, sizeof piece) : 0;
    if (count > 0) all.append(piece, static_cast<size_t>(count));
    if (ready && count <= 0) break;
    if (std::chrono::steady_clock::now() > end) break;
  }
  EXPECT_NE(all.find(text), std::string::npos) << "expected \"" << text << "\" in: " << all;
  return all;
}

void Terminal::type(const std::string& keys) {
  EXPECT_EQ(::write(terminal_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
}

void Terminal::close() {
  if (terminal_ >= 0) ::close(terminal_);
  terminal_ = -1;
}

int Terminal::wait() {
  int status = 0;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

Outcome run(const fs::path& folder, const Arguments& arguments, const fs::path& input) {
  return Process(folder, arguments, input).wait();
}

void expect_refusal(const Outcome& outcome, const std::vector<std::string>& words, int code) {
  EXPECT_EQ(outcome.code, code) << outcome.out << outcome.err;
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_TRUE(outcome.err.starts_with("aviary")) << outcome.err;
  EXPECT_TRUE(outcome.err.ends_with("\n")) << outcome.err;
  EXPECT_LT(outcome.err.size(), 400u) << outcome.err;
  EXPECT_EQ(outcome.err.find("unexpected error"), std::string::npos) << outcome.err;
  for (const std::string& word : words)
    EXPECT_NE(outcome.err.find(word), std::string::npos) << "expected \"" << word << "\" in: " << outcome.err;
}

void expect_success(const Outcome& outcome) {
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_EQ(outcome.err.find("aviary:"), std::string::npos) << outcome.err;
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  ASSERT_TRUE(file.flush().good()) << path;
}

std::map<std::string, std::string> files_below(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder).string()] = read(entry.path());
  return files;
}

std::string prose(size_t bytes, uint64_t seed) {
  static const char* const words[] = {"the",   "bird",  "sings", "over", "a",    "river", "and",
                                      "its",   "song",  "goes",  "from", "tree", "to",    "tree",
                                      "while", "rain",  "falls", "on",   "old",  "roofs", "of",
                                      "this",  "quiet", "town",  "he",   "said"};
  Random random(seed);
  std::string text;
  for (int64_t word = 1; text.size() < bytes; ++word) {
    text += words[random.below(std::ssize(words))];
    text += word % 120 == 0 ? ".\n\n" : word % 12 == 0 ? ". " : " ";
  }
  text.resize(bytes);
  return text;
}

const Arguments tiny = {"--tokenizer",    "bytes", "--layers",  "2", "--width",     "16",
                        "--context",      "16",    "--batch",   "2", "--precision", "f32",
                        "--sample-every", "0",     "--threads", "1"};

Arguments tiny_with(const std::string& tokenizer) {
  Arguments arguments = tiny;
  arguments[1] = tokenizer;
  return arguments;
}

void train_tiny(const fs::path& folder, int steps, const Arguments& more) {
  if (!fs::exists(folder / "text.txt")) write(folder / "text.txt", prose(4000));
  expect_success(
      run(folder,
          Arguments{"train", "text.txt", "--out", "run", "--steps", std::to_string(steps)} + tiny + more));
}

void rewrite_tensors(const fs::path& path, const Change& change) {
  std::vector<EditableTensor> tensors;
  std::map<std::string, std::string> metadata;
  {
    const TensorFile file = read_tensor_file(path);
    metadata = file.metadata();
    for (const TensorEntry& entry : file.tensors())
      tensors.push_back({entry.name,
                         entry.dtype,
                         entry.shape,
                         {reinterpret_cast<const char*>(entry.data.data()), entry.data.size()}});
  }
  change(tensors, metadata);
  std::vector<TensorEntry> entries;
  for (const EditableTensor& tensor : tensors)
    entries.push_back({tensor.name, tensor.dtype, tensor.shape, std::as_bytes(std::span(tensor.data))});
  write_safetensors(path, unchanged(entries), metadata);
}

}  // namespace aviary::program
