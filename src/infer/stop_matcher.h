// Stop strings in a stream of text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace aviary {

// Passes text on until one of the stop strings appears, and never shows a part of a stop string: a tail that
// may be the beginning of one is held back until the next piece decides. How the text is cut into pieces
// changes nothing. Of several stop strings the one that is complete first ends the text; of those complete at
// once, the longest. The matcher sees bytes; whole UTF-8 characters in give whole characters out.
class StopMatcher {
 public:
  // Without stop strings everything passes. Throws Error when one is empty.
  explicit StopMatcher(std::vector<std::string> stops = {});

  // The text that is now safe to show. After a match: nothing more.
  std::string push(std::string_view text);
  // The text held back, to be shown when no more follows.
  std::string flush();

  bool matched() const { return match_ >= 0; }
  // The stop string that ended the text; empty unless matched().
  std::string_view matched_stop() const;

 private:
  struct Stop {
    std::string text;
    // border[n]: length of the longest proper beginning of `text` that also ends its first n bytes (Knuth,
    // Morris, Pratt); makes every pushed byte cost the same, whatever the stop string is.
    std::vector<size_t> border;
    size_t found = 0;  // how many bytes of `text` the stream ends with
  };

  std::vector<Stop> stops_;
  std::string held_;
  int match_ = -1;
};

}  // namespace aviary
