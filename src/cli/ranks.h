// The processes that mpirun or srun starts: how they join, speak with one voice, and end.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "ranks/ranks.h"
#include "text/tokenizer.h"

namespace aviary::cli {

// Joins them; this process alone if no launcher started it. limit: seconds after which a rank that does not
// answer is given up. Unless --threads was given, the ranks of a machine then share its cores. Throws Error
// if there are several processes and this program was built without MPI.
Ranks& join_ranks(const CLI::App& command, double limit);
// The group of --help for options of several processes.
inline constexpr const char* several_processes = "Several processes (docs/machines.md)";
// The option --rank-timeout, which gives that limit.
void add_rank_timeout(CLI::App& command, double& limit);
// The processes that a launcher has started; 0: there is none (Facts::processes).
int64_t processes_of_launcher(const Ranks& ranks);
// Whether this process is the one that tells things.
bool speaks();
// Throws Error if several processes were started: for commands that would do the same work in each.
void refuse_several_processes(const std::string& command);

// Throws Error, on rank 0, naming the rank that has another value. what: "another text"; advice: what to do.
void require_same(Ranks& ranks, const std::string& what, const std::string& value, const std::string& advice);

// The tokenizer of rank 0, for all; null if it has none.
TokenizerPtr shared_tokenizer(TokenizerPtr tokenizer, Ranks& ranks);

// Before a process tells why it fails: rank 0 comes first, and ends the others with it, since most failures
// are the same everywhere. What the sentence begins with: "aviary", or "aviary, rank 1 on host-b".
std::string voice();
// At the end of the program; if it failed, so do the other ranks.
void leave_ranks(bool failed);

}  // namespace aviary::cli
