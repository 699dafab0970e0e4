// Other processes: programs that are started, and who holds a lock.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/platform.h"

namespace aviary::platform {
namespace {

// The n-th word of a line, or "".
std::string_view word_of(std::string_view line, int n) {
  for (;; --n) {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    const std::string_view word = line.substr(0, line.find(' '));
    if (n == 0 || word.empty()) return word;
    line.remove_prefix(word.size());
  }
}

// What the file of the system's locks says of a file: "fe:01:1234", device and number.
std::string name_in_locks(const struct stat& status) {
  std::ostringstream name;
  name << std::hex;
  for (const unsigned part : {::major(status.st_dev), ::minor(status.st_dev)}) {
    name.width(2);
    name.fill('0');
    name << part << ':';
  }
  name << std::dec << status.st_ino;
  return std::move(name).str();
}

// How a child differs from this process when it begins; `error` is the first of the system.
class Beginning {
 public:
  explicit Beginning(const std::filesystem::path& output) {
    check(::posix_spawn_file_actions_init(&files_));
    check(::posix_spawnattr_init(&attributes_));
    check(::posix_spawn_file_actions_addopen(&files_, STDIN_FILENO, "/dev/null", O_RDONLY, 0));
    check(::posix_spawn_file_actions_addopen(&files_, STDOUT_FILENO, output.c_str(),
                                             O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0666));
    check(::posix_spawn_file_actions_adddup2(&files_, STDOUT_FILENO, STDERR_FILENO));
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    check(::posix_spawn_file_actions_addclosefrom_np(&files_, STDERR_FILENO + 1));
#endif
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    check(::posix_spawnattr_setsigmask(&attributes_, &none));
    check(::posix_spawnattr_setsigdefault(&attributes_, &all));
    check(::posix_spawnattr_setflags(&attributes_,
                                     POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
  }
  Beginning(const Beginning&) = delete;
  Beginning& operator=(const Beginning&) = delete;
  ~Beginning() {
    ::posix_spawn_file_actions_destroy(&files_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  pid_t start(const std::filesystem::path& program, char* const* words) {
    pid_t id = 0;
    if (!error_) check(::posix_spawn(&id, program.c_str(), &files_, &attributes_, words, environ));
    return error_ ? 0 : id;
  }
  std::error_code error() const { return error_; }

 private:
  void check(int number) {
    if (number != 0 && !error_) error_ = std::error_code(number, std::generic_category());
  }

  std::error_code error_;
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

}  // namespace

std::filesystem::path program_file() {
  std::error_code none;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", none);
  // A program whose file was replaced while it runs can still be started by this name.
  return none || std::filesystem::exists(path, none) ? path : "/proc/self/exe";
}

int64_t lock_holder(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return 0;
  const std::string name = name_in_locks(status);
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {  // "1: FLOCK  ADVISORY  WRITE 4321 fe:01:1234 0 EOF"
    if (word_of(line, 1) != "FLOCK" || word_of(line, 5) != name) continue;
    const std::string_view process = word_of(line, 4);
    int64_t id = 0;
    std::from_chars(process.data(), process.data() + process.size(), id);
    return std::max<int64_t>(id, 0);
  }
  return 0;
}

bool interrupt_process(int64_t id) { return id > 1 && ::kill(static_cast<pid_t>(id), SIGINT) == 0; }

ChildProcess::ChildProcess(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                           const std::filesystem::path& output, std::error_code& error) {
  std::vector<std::string> all{program.filename().string()};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> words;
  for (std::string& word : all) words.push_back(word.data());
  words.push_back(nullptr);
  Beginning beginning(output);
  id_ = beginning.start(program, words.data());
  error = beginning.error();
}

std::optional<int> ChildProcess::exit_code() {
  if (id_ == 0) return code_;
  int status = 0;
  pid_t ended = 0;
  do ended = ::waitpid(static_cast<pid_t>(id_), &status, WNOHANG);
  while (ended < 0 && errno == EINTR);
  if (ended == 0) return {};
  constexpr int unknown = 255, of_signal = 128;
  code_ = ended < 0 ? unknown : WIFEXITED(status) ? WEXITSTATUS(status) : of_signal + WTERMSIG(status);
  id_ = 0;
  return code_;
}

void ChildProcess::interrupt() {
  if (id_ > 0) ::kill(static_cast<pid_t>(id_), SIGINT);
}

void ChildProcess::kill() {
  if (id_ > 0) ::kill(static_cast<pid_t>(id_), SIGKILL);
}

}  // namespace aviary::platform
