// Stop strings in a stream of text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace aviary {

// Passes text on until one of the stop strings appears, and never shows a part of a stop string: a tail that
// may be the beginning of one is held back until the next piece decides. The result does not depend on how
// the text is split into pieces. Of several stop strings, the first complete one ends the text; of those
// complete at the same byte, the longest. The matcher works on bytes; if its input consists of complete UTF-8
// characters, so does its output.
class StopMatcher {
 public:
  // Without stop strings all text passes. Throws Error if one is empty.
  explicit StopMatcher(std::vector<std::string> stops = {});

  // The text that can now be shown. After a match: nothing.
  std::string push(std::string_view text);
  // The text held back, to be shown if no more follows.
  std::string flush();

  bool matched() const { return match_ >= 0; }
  // The stop string that ended the text; empty unless matched().
  std::string_view matched_stop() const;

 private:
  struct Stop {
    std::string text;
    // border[n]: length of the longest proper beginning of `text` that also ends its first n bytes (Knuth,
    // Morris, Pratt); makes the cost per byte independent of the stop string.
    std::vector<size_t> border;
    size_t found = 0;  // number of bytes of `text` that match the end of the stream
  };

  std::vector<Stop> stops_;
  std::string held_;
  int match_ = -1;
};

}  // namespace aviary
