#include "cli/ranks.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "base/platform.h"
#include "base/threads.h"
#include "cli/cli.h"
#include "mpi/mpi.h"

namespace aviary::cli {
namespace {

// OpenMPI; MPICH; PMIx, which srun --mpi=pmix uses, with the number from Slurm.
constexpr const char* rank_variables[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"};
constexpr const char* count_variables[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"};

std::unique_ptr<Ranks> joined;

// The first of some variables of the environment that is a number.
int64_t number_of(std::span<const char* const> variables, int64_t otherwise) {
  for (const char* variable : variables) {
    const std::string text = platform::environment_variable(variable);
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (!text.empty() && error == std::errc() && end == text.data() + text.size()) return number;
  }
  return otherwise;
}

int64_t rank_of_launcher() { return number_of(rank_variables, -1); }  // -1: there is none

// The cores that this rank may use, divided by the ranks of this machine that may use them too.
int share_of_cores(Ranks& ranks) {
  const std::string own = platform::allowed_cores();
  std::string all;
  for (const std::string& line : ranks.gather(ranks.host_of(ranks.rank()) + " " + own)) all += line + "\n";
  std::istringstream lines(ranks.broadcast(all));
  int sharing = 0;
  for (std::string host, cores; lines >> host >> cores;) {
    bool overlap = false;
    for (size_t i = 0; i < std::min(own.size(), cores.size()); ++i)
      overlap = overlap || (own[i] == '1' && cores[i] == '1');
    if (overlap && host == ranks.host_of(ranks.rank())) ++sharing;
  }
  return std::max(1, threads() / std::max(1, sharing));
}

// The first lines in which two texts differ.
std::pair<std::string, std::string> difference(const std::string& a, const std::string& b) {
  std::istringstream lines_of_a(a), lines_of_b(b);
  std::string x, y;
  while (std::getline(lines_of_a, x) && std::getline(lines_of_b, y))
    if (x != y) break;
  const auto without_blanks = [](std::string text) {
    text.erase(0, text.find_first_not_of(' '));
    if (text.ends_with(',')) text.pop_back();
    return text;
  };
  return {without_blanks(x), without_blanks(y)};
}

}  // namespace

int64_t processes_of_launcher(const Ranks& ranks) { return rank_of_launcher() >= 0 ? ranks.count() : 0; }

bool speaks() { return rank_of_launcher() <= 0; }

void add_rank_timeout(CLI::App& command, double& limit) {
  command
      .add_option("--rank-timeout", limit,
                  "Seconds after which a process that does not answer ends the run, four times as many for "
                  "the first one "
                  "(default: 300)")
      ->check(bounds(1, 1e6))
      ->group(several_processes);
}

Ranks& join_ranks(const CLI::App& command, double limit) {
  if (rank_of_launcher() < 0) return alone();
  if (!built_with_mpi()) {
    refuse_several_processes(command.get_name());
    return alone();
  }
  joined = join_mpi(limit);
  const int64_t count = joined->count();
  require((count & (count - 1)) == 0,
          "{} processes were started: the gradients are added in pairs, so their number has to be 1, 2, 4, "
          "8, ...",
          count);
  if (!joined->alone() && command.get_parent()->get_option("--threads")->count() == 0)
    set_threads(share_of_cores(*joined));
  return *joined;
}

void refuse_several_processes(const std::string& command) {
  const int64_t count = number_of(count_variables, 1);
  if (rank_of_launcher() < 0 || count <= 1) return;
  require(
      built_with_mpi(),
      "{} processes of this program were started, but it was built without MPI, so each of them would work "
      "alone: install libopenmpi-dev and openmpi-bin, configure with cmake and build again, or start it once",
      count);
  fail(
      "{} processes were started, but aviary {} works in one; only aviary train and aviary tune work in "
      "several",
      count, command);
}

void require_same(Ranks& ranks, const std::string& what, const std::string& value,
                  const std::string& advice) {
  const std::vector<std::string> values = ranks.gather(value);
  for (size_t rank = 1; rank < values.size(); ++rank) {
    if (values[rank] == values.front()) continue;
    const auto [first, other] = difference(values.front(), values[rank]);
    fail("{} has {}: {}, rank 0 on {} has {}; {}", ranks.name_of(static_cast<int64_t>(rank)), what, other,
         ranks.host_of(0), first, advice);
  }
}

TokenizerPtr shared_tokenizer(TokenizerPtr tokenizer, Ranks& ranks) {
  if (ranks.alone()) return tokenizer;
  const std::string kind = ranks.broadcast(tokenizer ? tokenizer->kind() : "");
  const std::string vocabulary = ranks.broadcast(tokenizer ? tokenizer->serialize() : "");
  if (kind.empty()) return nullptr;
  return tokenizer ? tokenizer : make_tokenizer(kind, vocabulary);
}

std::string voice() {
  const int64_t rank = rank_of_launcher();
  if (rank <= 0) return "aviary";
  // mpirun ends the others about a second after the first.
  std::this_thread::sleep_for(std::chrono::milliseconds(10000 + 200 * std::min<int64_t>(rank, 100)));
  return "aviary, " + (joined ? joined->name_of(rank) : fmt::format("rank {}", rank));
}

void leave_ranks(bool failed) {
  if (joined) joined->leave(failed);
}

}  // namespace aviary::cli
