// A member of a comparison: a version of the family with what is special about it.
#pragma once

#include <string>
#include <vector>

#include "models/registry.h"

namespace aviary {

struct Member {
  std::string name;   // as it was written; also the name of its folder
  ModelConfig model;  // version, recipe, variant, options and sizes of its own; the sizes of all are 0
};

// NAME[+OPTION=VALUE]..., for example "rwkv4+head_qk=64" or "rwkv4+recipe=v4-original". Options are the
// recipe, the variant, the options that the version takes (model_options(); token_shift=4-2-1) and sizes that
// are no one else's, such as head_size or dim_ffn. Throws Error for anything else; whether the values can be
// is for complete() to say.
Member parse_member(const std::string& text);
// Members between commas. Throws Error when there is none, or one twice.
std::vector<Member> parse_members(const std::string& list);

}  // namespace aviary
