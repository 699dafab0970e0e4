// A member of a comparison: a version with its own options.
#pragma once

#include <string>
#include <vector>

#include "models/registry.h"

namespace aviary {

struct Member {
  std::string name;   // as written by the user; also the name of its folder
  ModelConfig model;  // version, recipe, variant, options; shared sizes are 0
};

// NAME[+OPTION=VALUE]..., for example "rwkv4+head_qk=64" or "rwkv4+recipe=v4-original". Options are the
// recipe, the variant, the options that the version takes (model_options(); token_shift=4-2-1) and sizes that
// are not shared, such as head_size or dim_ffn. Throws Error for anything else; complete() checks the values.
Member parse_member(const std::string& text);
// A comma-separated list of members. Throws Error if it is empty or contains a member twice.
std::vector<Member> parse_members(const std::string& list);

}  // namespace aviary
