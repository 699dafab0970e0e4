// The rows of tasks (eval/task.h).
#include <algorithm>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "eval/task.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

// Calls use(row, where) for every line with more than white space.
template <typename Use>
void visit_rows(std::string_view bytes, const std::string& name, Use use) {
  int64_t line = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', at), bytes.size());
    const std::string_view text = bytes.substr(at, end - at);
    at = end + 1;
    ++line;
    if (text.find_first_not_of(" \t\r") == text.npos) continue;
    const std::string where = fmt::format("{}:{}", name, line);
    const Json row = parse_json(text, where);
    require(row.is_object(), "{}: expected an object", where);
    use(row, where);
  }
}

std::string text_at(const Json& row, const char* key, const std::string& where) {
  require(row.contains(key) && row[key].is_string(), "{}: expected \"{}\", a string", where, key);
  return row[key];
}

std::vector<std::string> texts_at(const Json& row, const char* key, const std::string& where) {
  const Json texts = row.value(key, Json());
  const bool strings =
      texts.is_array() && texts.size() >= 2 &&
      std::all_of(texts.begin(), texts.end(), [](const Json& text) { return text.is_string(); });
  require(strings, "{}: expected \"{}\", at least two strings", where, key);
  return texts.get<std::vector<std::string>>();
}

// A whole number, also one in quotes.
int64_t number_at(const Json& row, const char* key, const std::string& where) {
  const Json value = row.value(key, Json());
  int64_t number = 0;
  if (value.is_number_integer()) return value;
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  require(error == std::errc() && end == text.data() + text.size(), "{}: expected \"{}\", a whole number",
          where, key);
  return number;
}

// Choices after one context, each after a space.
TaskItem after(const std::string& context, const std::vector<std::string>& choices, int64_t answer) {
  TaskItem item{.contexts = {}, .targets = {}, .choices = choices, .answer = answer};
  for (const std::string& choice : choices) {
    item.contexts.push_back(context);
    item.targets.push_back(" " + choice);
  }
  return item;
}

std::string question_prompt(const std::string& question) { return "Question: " + question + "\nAnswer:"; }

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size())
    text.replace(at, from.size(), to);
}

// The harness's cleaning of HellaSwag.
std::string cleaned(std::string text) {
  constexpr const char* blanks = " \t\r\n";
  text.erase(0, std::min(text.find_first_not_of(blanks), text.size()));
  text.erase(text.find_last_not_of(blanks) + 1);
  replace_all(text, " [title]", ". ");
  for (size_t open = 0; (open = text.find('[', open)) != text.npos;) {
    const size_t close = text.find(']', open);
    if (close == text.npos) break;
    text.erase(open, close + 1 - open);
  }
  std::string result;  // non-overlapping pairs of spaces, once
  for (size_t i = 0; i < text.size(); ++i) {
    result += text[i];
    if (text[i] == ' ' && i + 1 < text.size() && text[i + 1] == ' ') ++i;
  }
  return result;
}

// As Python's capitalize, of ASCII.
std::string capitalized(std::string text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c < 128) text[i] = static_cast<char>(i == 0 ? std::toupper(c) : std::tolower(c));
  }
  return text;
}

TaskItem arc_item(const Json& row, const std::string& where) {
  const std::vector<std::string> labels = texts_at(row["choices"], "label", where);
  const std::string key = text_at(row, "answerKey", where);
  const auto found = std::find(labels.begin(), labels.end(), key);
  require(found != labels.end(), "{}: no choice has the label \"{}\" of \"answerKey\"", where, key);
  return after(question_prompt(text_at(row, "question", where)), texts_at(row["choices"], "text", where),
               found - labels.begin());
}

TaskItem winogrande_item(const Json& row, const std::string& where) {
  const std::string sentence = text_at(row, "sentence", where);
  const size_t gap = sentence.find('_');
  require(gap != sentence.npos, "{}: \"sentence\" has no \"_\"", where);
  std::string rest = sentence.substr(gap + 1);
  rest.erase(0, std::min(rest.find_first_not_of(' '), rest.size()));
  TaskItem item{.contexts = {}, .targets = {}, .choices = {}, .answer = number_at(row, "answer", where) - 1};
  for (const char* option : {"option1", "option2"}) {
    item.contexts.push_back(sentence.substr(0, gap) + text_at(row, option, where));
    item.targets.push_back(" " + rest);
    item.choices.push_back(rest);
  }
  return item;
}

TaskItem mmlu_item(const Json& row, const std::string& where) {
  const std::vector<std::string> choices = texts_at(row, "choices", where);
  require(choices.size() <= 26, "{}: has {} choices, expected at most 26", where, choices.size());
  std::string prompt = text_at(row, "question", where) + "\n";
  std::vector<std::string> letters;
  for (size_t i = 0; i < choices.size(); ++i) {
    letters.emplace_back(1, static_cast<char>('A' + i));
    prompt += letters.back() + ". " + choices[i] + "\n";
  }
  return after(prompt + "Answer:", letters, number_at(row, "answer", where));
}

TaskItem item_of(const Json& row, const std::string& where) {
  if (row.contains("goal"))
    return after(question_prompt(text_at(row, "goal", where)),
                 {text_at(row, "sol1", where), text_at(row, "sol2", where)}, number_at(row, "label", where));
  if (row.contains("endings")) {
    std::vector<std::string> endings = texts_at(row, "endings", where);
    for (std::string& ending : endings) ending = cleaned(ending);
    const std::string context = text_at(row, "activity_label", where) + ": " + text_at(row, "ctx_a", where) +
                                " " + capitalized(text_at(row, "ctx_b", where));
    return after(cleaned(context), endings, number_at(row, "label", where));
  }
  if (row.contains("sentence")) return winogrande_item(row, where);
  if (row.contains("question") && row.contains("choices") && row["choices"].is_object())
    return arc_item(row, where);
  if (row.contains("question")) return mmlu_item(row, where);
  require(row.contains("context"),
          "{}: has the keys of no known task: ARC, PIQA, HellaSwag, WinoGrande, MMLU, or context, choices "
          "and answer",
          where);
  return after(text_at(row, "context", where), texts_at(row, "choices", where),
               number_at(row, "answer", where));
}

}  // namespace

std::vector<TaskItem> lambada_items(std::string_view bytes, const std::string& name) {
  std::vector<TaskItem> items;
  visit_rows(bytes, name, [&](const Json& row, const std::string& where) {
    const std::string text = text_at(row, "text", where);
    const size_t space = text.rfind(' ');
    require(space != text.npos && space + 1 < text.size(), "{}: \"text\" has no last word after a space",
            where);
    items.push_back({.contexts = {text.substr(0, space)},
                     .targets = {text.substr(space)},
                     .choices = {text.substr(space + 1)},
                     .answer = 0});
  });
  require(!items.empty(), "{}: has no rows", name);
  return items;
}

std::vector<TaskItem> choice_items(std::string_view bytes, const std::string& name) {
  std::vector<TaskItem> items;
  visit_rows(bytes, name, [&](const Json& row, const std::string& where) {
    items.push_back(item_of(row, where));
    const TaskItem& item = items.back();
    require(item.answer >= 0 && item.answer < std::ssize(item.targets),
            "{}: the right answer is number {} of {} choices", where, item.answer, item.targets.size());
  });
  require(!items.empty(), "{}: has no rows", name);
  return items;
}

}  // namespace aviary
