// The number of a run, a study or a draft in the path of a request.
#pragma once

#include <cstdint>

#include "serve/router.h"

namespace aviary {

// What the first {...} of the path stands for; -1 if that is no number.
int64_t number_in_path(const Call& call);

}  // namespace aviary
