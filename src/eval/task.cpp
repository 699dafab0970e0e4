#include "eval/task.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"

namespace aviary {
namespace {

constexpr size_t items_at_once = 64;

double characters_of(std::string_view text) {
  return static_cast<double>(std::count_if(text.begin(), text.end(),
                                           [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; }));
}

size_t best_of(std::span<const Score> scores, const std::function<double(size_t)>& divisor) {
  size_t best = 0;
  auto value = [&](size_t i) { return scores[i].log_likelihood / std::max(1.0, divisor(i)); };
  for (size_t i = 1; i < scores.size(); ++i)
    if (value(i) > value(best)) best = i;
  return best;
}

ItemResult result_of(const TaskItem& item, std::span<const Score> scores) {
  const auto answer = static_cast<size_t>(item.answer);
  ItemResult result{.log_likelihood = scores[answer].log_likelihood};
  if (scores.size() == 1) {
    result.right = scores[0].greedy();
    return result;
  }
  result.right = best_of(scores, [](size_t) { return 1.0; }) == answer;
  result.right_by_characters =
      best_of(scores, [&](size_t i) { return characters_of(item.choices[i]); }) == answer;
  result.right_by_bytes =
      best_of(scores, [&](size_t i) { return static_cast<double>(item.choices[i].size()); }) == answer;
  return result;
}

double share_of(const std::vector<ItemResult>& items, bool ItemResult::*right) {
  const auto count =
      std::count_if(items.begin(), items.end(), [&](const ItemResult& item) { return item.*right; });
  return items.empty() ? 0 : static_cast<double>(count) / static_cast<double>(items.size());
}

}  // namespace

double TaskResult::accuracy() const { return share_of(items, &ItemResult::right); }
double TaskResult::accuracy_by_characters() const {
  return share_of(items, &ItemResult::right_by_characters);
}
double TaskResult::accuracy_by_bytes() const { return share_of(items, &ItemResult::right_by_bytes); }

double TaskResult::perplexity() const {
  double sum = 0;
  for (const ItemResult& item : items) sum += item.log_likelihood;
  return items.empty() ? 0 : std::exp(-sum / static_cast<double>(items.size()));
}

double TaskResult::error_of(double share) const {
  return items.size() < 2 ? 0 : std::sqrt(share * (1 - share) / static_cast<double>(items.size() - 1));
}

TaskResult run_task(Runner& runner, const Tokenizer& tokenizer, const std::vector<TaskItem>& items,
                    TaskForm form, std::optional<int32_t> begin,
                    const std::function<bool(int64_t)>& progress) {
  TaskResult result;
  for (size_t first = 0; first < items.size(); first += items_at_once) {
    const size_t last = std::min(items.size(), first + items_at_once);
    std::vector<Continuation> continuations;
    for (size_t i = first; i < last; ++i)
      for (size_t choice = 0; choice < items[i].targets.size(); ++choice)
        continuations.push_back((form == TaskForm::joined ? joined : apart)(
            items[i].contexts[choice], items[i].targets[choice], tokenizer, begin));
    const std::vector<Score> scores = score(runner, continuations);
    size_t at = 0;
    for (size_t i = first; i < last; ++i) {
      const size_t count = items[i].targets.size();
      result.items.push_back(result_of(items[i], std::span(scores).subspan(at, count)));
      at += count;
    }
    if (progress && !progress(std::ssize(result.items))) break;
  }
  return result;
}

}  // namespace aviary
