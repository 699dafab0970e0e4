// What trainers put around the names of a model when they save it, and beside its tensors.
#pragma once

#include <string>

#include "formats/tensor_table.h"

namespace aviary {

// The table with the names that the model itself gives: without the wrappers of data-parallel training,
// compilation and checkpointing ("_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.",
// "_checkpoint_wrapped_module.", wherever they are), and without "module." and "model." where all names begin
// with it. Single numbers outside the blocks that count or measure the training, such as n_averaged, are left
// out with a note. Throws Error, beginning with `where`, if two tensors would have the same name.
TensorTable without_wrappers(TensorTable table, const std::string& where);

}  // namespace aviary
