// Ranks that MPI connects. Whether the program was built with it is decided by CMake, which compiles
// mpi_ranks.cpp or without_mpi.cpp.
#pragma once

#include <memory>

#include "ranks/ranks.h"

namespace aviary {

bool built_with_mpi();

// Joins the processes that mpirun or srun has started; once per process, on the main thread. limit: seconds
// after which a rank that does not answer is given up. Throws Error if this program was built without MPI.
std::unique_ptr<Ranks> join_mpi(double limit);

}  // namespace aviary
