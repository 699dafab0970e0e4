// A program that was built where MPI is not installed.
#include "base/error.h"
#include "mpi/mpi.h"

namespace aviary {

bool built_with_mpi() { return false; }

std::unique_ptr<Ranks> join_mpi(double) { fail("ranks: this program was built without MPI"); }

}  // namespace aviary
