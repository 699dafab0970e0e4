// The keywords of JSON Schema.
#pragma once

#include <cstdint>
#include <string_view>

#include "grammar/grammar.h"

namespace aviary::grammar {

enum class KeywordUse : uint8_t {
  annotation,  // says nothing about instances, or is unknown
  in_place,    // refers to schemas for the same instance
  simple,      // says something about the instance or its children
  refused
};

// How a keyword is treated in schemas of a draft.
KeywordUse use_of_keyword(std::string_view keyword, Draft draft);

}  // namespace aviary::grammar
