// The processes that mpirun or srun starts: how they join, speak with one voice, and end.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "ranks/ranks.h"

namespace aviary::cli {

// Whether a launcher of MPI programs has started this process.
bool by_launcher();

// Joins them; this process alone if no launcher started it. limit: seconds after which a rank that does not
// answer is given up. Unless --threads was given, the ranks of a machine then share its cores. Throws Error
// if there are several processes and this program was built without MPI.
Ranks& join_ranks(const CLI::App& command, double limit);
// Throws Error if several processes were started: for commands that would do the same work in each.
void refuse_several_processes(const std::string& command);

// Throws Error, on rank 0, naming the rank that has another value. what: "another text"; advice: what to do.
void require_same(Ranks& ranks, const std::string& what, const std::string& value, const std::string& advice);

// Before a process tells why it fails: rank 0 comes first, and ends the others with it, since most failures
// are the same everywhere. What the sentence begins with: "aviary", or "aviary, rank 1 on host-b".
std::string voice();
// At the end of the program; if it failed, so do the other ranks.
void leave_ranks(bool failed);

}  // namespace aviary::cli
