// The start of PiSSA (Meng et al. 2024, arXiv 2404.02948): the part of a matrix with its largest singular
// values.
#pragma once

#include "base/random.h"
#include "ops/weight.h"

namespace aviary {

// W ~ B A for a matrix W [out, in] of products y = x W^T: B = U sqrt(S) and A = sqrt(S) V^T of the `rank`
// largest singular values, which are found by products with W alone (randomized subspace iteration: Halko,
// Martinsson, Tropp 2011, arXiv 0909.4061), so that W may be packed.
struct PrincipalPart {
  OwnedTensor a;  // [rank, in], of the type of the weight
  OwnedTensor b;  // [out, rank]
};
PrincipalPart principal_part(Weight& weight, int64_t rank, kernels::Precision precision, Random random);

}  // namespace aviary
