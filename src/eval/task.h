// Tasks with items that have a right answer: LAMBADA and multiple choice, in the definitions of
// lm-evaluation-harness, and LAMBADA in BlinkDL's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "eval/scoring.h"

namespace aviary {

// One item: a target after a context for each choice. LAMBADA's items have one choice.
struct TaskItem {
  std::vector<std::string> contexts, targets;  // of equal size
  std::vector<std::string> choices;            // whose length normalizes: the targets without their space
  int64_t answer = 0;
};

// Rows of JSON lines with "text": the last word, after the last space, is the target. Throws Error beginning
// with "FILE:LINE: " for anything else.
std::vector<TaskItem> lambada_items(std::string_view bytes, const std::string& name);

// Rows of JSON lines, each recognized by its keys:
//   ARC         question, choices {text, label}, answerKey
//   PIQA        goal, sol1, sol2, label
//   HellaSwag   activity_label, ctx_a, ctx_b, endings, label
//   WinoGrande  sentence with "_", option1, option2, answer: the options are in the context
//   MMLU        question, choices (of any number up to 26), answer: the letters are the targets
//   any         context, choices, answer (a number from 0): targets are a space and the choice
std::vector<TaskItem> choice_items(std::string_view bytes, const std::string& name);

enum class TaskForm : uint8_t { joined, apart };  // eval/scoring.h

// What became of one item.
struct ItemResult {
  double log_likelihood = 0;  // of the right answer
  bool right = false;         // LAMBADA: greedy; choices: the likeliest
  bool right_by_characters = false,
       right_by_bytes = false;  // the likeliest per character, per byte of the choice
};

struct TaskResult {
  std::vector<ItemResult> items;

  double accuracy() const;
  double accuracy_by_characters() const;
  double accuracy_by_bytes() const;
  // e^(-mean log-likelihood): LAMBADA's perplexity, per word.
  double perplexity() const;
  // The standard error of a share: sqrt(p (1 - p) / (n - 1)).
  double error_of(double share) const;
};

// Of equal likelihoods the first choice counts. `progress` gets the number of items that are done.
TaskResult run_task(Runner& runner, const Tokenizer& tokenizer, const std::vector<TaskItem>& items,
                    TaskForm form, std::optional<int32_t> begin,
                    const std::function<bool(int64_t)>& progress = {});

}  // namespace aviary
