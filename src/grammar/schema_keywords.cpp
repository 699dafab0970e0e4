#include "grammar/schema_keywords.h"

#include <algorithm>
#include <iterator>

namespace aviary::grammar {
namespace {

struct Keyword {
  std::string_view name;
  KeywordUse use;
  Draft from = Draft::draft4, to = Draft::draft2020_12;
};

// By name. `dependencies` and the array form of `items` are obeyed in all drafts, since schemas in use have
// them beside newer keywords.
constexpr Keyword keywords[] = {
    {"$dynamicRef", KeywordUse::refused, Draft::draft2020_12},
    {"$recursiveRef", KeywordUse::refused, Draft::draft2019_09},
    {"$ref", KeywordUse::in_place},
    {"additionalItems", KeywordUse::simple},
    {"additionalProperties", KeywordUse::simple},
    {"allOf", KeywordUse::in_place},
    {"anyOf", KeywordUse::in_place},
    {"const", KeywordUse::simple, Draft::draft6},
    // Later drafts do not let them restrict texts.
    {"contentEncoding", KeywordUse::refused, Draft::draft7, Draft::draft7},
    {"contentMediaType", KeywordUse::refused, Draft::draft7, Draft::draft7},
    {"contains", KeywordUse::simple, Draft::draft6},
    {"dependencies", KeywordUse::in_place},
    {"dependentRequired", KeywordUse::in_place, Draft::draft2019_09},
    {"dependentSchemas", KeywordUse::in_place, Draft::draft2019_09},
    {"disallow", KeywordUse::refused},
    {"divisibleBy", KeywordUse::refused},
    {"else", KeywordUse::in_place, Draft::draft7},
    {"enum", KeywordUse::simple},
    {"exclusiveMaximum", KeywordUse::simple},
    {"exclusiveMinimum", KeywordUse::simple},
    {"extends", KeywordUse::refused},
    {"format", KeywordUse::simple},
    {"if", KeywordUse::in_place, Draft::draft7},
    {"items", KeywordUse::simple},
    {"maxContains", KeywordUse::refused, Draft::draft2019_09},
    {"maxItems", KeywordUse::simple},
    {"maxLength", KeywordUse::simple},
    {"maxProperties", KeywordUse::simple},
    {"maximum", KeywordUse::simple},
    {"minContains", KeywordUse::simple, Draft::draft2019_09},
    {"minItems", KeywordUse::simple},
    {"minLength", KeywordUse::simple},
    {"minProperties", KeywordUse::simple},
    {"minimum", KeywordUse::simple},
    {"multipleOf", KeywordUse::simple},
    {"not", KeywordUse::in_place},
    {"oneOf", KeywordUse::in_place},
    {"pattern", KeywordUse::simple},
    {"patternProperties", KeywordUse::simple},
    {"prefixItems", KeywordUse::simple, Draft::draft2020_12},
    {"properties", KeywordUse::simple},
    {"propertyNames", KeywordUse::simple, Draft::draft6},
    {"required", KeywordUse::simple},
    {"then", KeywordUse::in_place, Draft::draft7},
    {"type", KeywordUse::simple},
    {"unevaluatedItems", KeywordUse::refused, Draft::draft2019_09},
    {"unevaluatedProperties", KeywordUse::refused, Draft::draft2019_09},
    {"uniqueItems", KeywordUse::simple},
};

}  // namespace

KeywordUse use_of_keyword(std::string_view keyword, Draft draft) {
  const auto* found = std::find_if(std::begin(keywords), std::end(keywords),
                                   [&](const Keyword& known) { return known.name == keyword; });
  if (found == std::end(keywords) || draft < found->from || draft > found->to) return KeywordUse::annotation;
  return found->use;
}

}  // namespace aviary::grammar
