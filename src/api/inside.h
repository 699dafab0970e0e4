// What the public classes are made of, under names of their own: <aviary/aviary.hpp>, included after this
// header, has a Model and a State too.
#pragma once

#include "base/files.h"
#include "checkpoints/open_model.h"
#include "infer/generate.h"
#include "models/run.h"

namespace aviary::inside {

using Network = Model;
using NetworkState = State;
using Generated = Generation;
using Request = GenerateOptions;

}  // namespace aviary::inside
