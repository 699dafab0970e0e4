// The registered versions side by side: how large a model of each is, and what it remembers.
#pragma once

#include "models/registry.h"

namespace aviary {

// Numbers in the state of one sequence: `fixed`, and `per_token` more for every token that was read.
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
  StateSize beside;           // of what belongs to no layer, without the text itself
  int64_t context_limit = 0;  // Model::context_limit()
};

// A model of this version with these sizes and everything else as the version chooses it.
FamilyMember family_member(const ModelVersion& version, const FamilySizes& sizes);

}  // namespace aviary
