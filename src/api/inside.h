// Aliases of the internal classes that the public ones use: <aviary/aviary.hpp>, included after this header,
// also has a Model and a State.
#pragma once

#include "base/files.h"
#include "checkpoints/open_model.h"
#include "checkpoints/state_file.h"
#include "infer/generate.h"
#include "models/run.h"

namespace aviary::inside {

using Network = Model;
using NetworkState = State;
using Generated = Generation;
using Request = GenerateOptions;

}  // namespace aviary::inside
