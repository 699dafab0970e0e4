#include "eval/generation_time.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"

namespace aviary {
namespace {

constexpr int64_t chunk = 256;        // of the context
constexpr int64_t fewest_tokens = 8;  // timed at least, however long they take
constexpr double enough_seconds = 1;

}  // namespace

std::optional<GenerationTime> time_generation(Runner& runner, std::span<const int32_t> text, int64_t context,
                                              int64_t tokens, const std::function<bool()>& go_on) {
  using Clock = std::chrono::steady_clock;
  require(!text.empty() && tokens >= 1, "generation time: there is nothing to read");
  State state = runner.new_state();
  std::vector<int32_t> piece;
  for (int64_t done = 0; done < context; done += chunk) {
    piece.clear();
    for (int64_t i = done; i < std::min(done + chunk, context); ++i)
      piece.push_back(text[static_cast<size_t>(i) % text.size()]);
    runner.last_logits(piece, Sequences::uniform(1, std::ssize(piece)), state);
    if (go_on && !go_on()) return {};
  }
  const Sequences one = Sequences::uniform(1, 1);
  std::vector<double> times;
  double sum = 0;
  for (int64_t i = 0; i < tokens && (i < fewest_tokens || sum < enough_seconds); ++i) {
    const auto begin = Clock::now();
    runner.last_logits(text.subspan(static_cast<size_t>(context + i) % text.size(), 1), one, state);
    times.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
    sum += times.back();
    if (go_on && !go_on()) return {};
  }
  std::nth_element(times.begin(), times.begin() + std::ssize(times) / 2, times.end());
  return GenerationTime{.context = context, .seconds = times[times.size() / 2]};
}

}  // namespace aviary
