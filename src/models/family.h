// A comparison of the registered versions: the size of a model of each, and of its state.
#pragma once

#include "models/registry.h"

namespace aviary {

// Numbers in the state of one sequence: `fixed`, plus `per_token` for every token read.
struct StateSize {
  int64_t fixed = 0, per_token = 0;
};
StateSize state_size(const std::vector<StateSpec>& specs);

struct FamilySizes {
  int64_t layers = 12, width = 768, vocabulary = 65536, context = 1024;
};

struct FamilyMember {
  const ModelVersion* version;
  int64_t parameters = 0;
  StateSize layer;            // of one layer
  StateSize beside;           // outside the layers, without the text itself
  int64_t context_limit = 0;  // Model::context_limit()
};

// A model of this version with these sizes and defaults for everything else.
FamilyMember family_member(const ModelVersion& version, const FamilySizes& sizes);

}  // namespace aviary
