// Writes adapters (checkpoints/adapter_file.h): Aviary's own file, and those of other programs.
#pragma once

#include <filesystem>
#include <span>

#include "checkpoints/adapter_file.h"
#include "checkpoints/tuning_info.h"

namespace aviary {

// Aviary's own adapter file, .safetensors, which read_adapter() reads: P.lora_A [r, in] and P.lora_B [out,
// r], or for MiSS P.miss [out, r], where the matrix of the model is P.weight; whole tensors under their own
// names; and `info` in the metadata. Atomic. Throws Error, beginning with the path, if it cannot be written,
// if there is nothing to write, if two tensors have the same name, if sizes do not match the ranks, if a
// number is NaN or infinite, and if the method does not fit the matrices: "miss" has matrices without `a`
// (and with `in`), "parts" none, the others both parts.
void write_adapter(const std::filesystem::path& path, const AdapterInfo& info,
                   std::span<const AdapterMatrix> matrices, std::span<const TensorEntry> whole = {});

// What a training that began with B0 A0 taken out of the base (PiSSA) added to the base itself, so that this
// stays as it is: B A - B0 A0 as one pair of twice the rank. If the scale of the training was s, the alpha of
// the file is s * 2 r. Throws Error if the matrices are not of the same parameter, or have other sizes.
AdapterMatrix difference(const AdapterMatrix& trained, const AdapterMatrix& start);

}  // namespace aviary
