#include "terminal/text_width.h"

#include <utf8proc.h>

#include "base/utf8.h"

namespace aviary {

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    const auto length = static_cast<size_t>(step.length);
    width += step.kind == Utf8Kind::character
                 ? utf8proc_charwidth(static_cast<utf8proc_int32_t>(utf8_code_point(text.substr(0, length))))
                 : 1;
    text.remove_prefix(length);
  }
  return width;
}

}  // namespace aviary
