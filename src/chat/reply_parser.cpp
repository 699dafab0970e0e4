#include "chat/reply_parser.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/json.h"

namespace aviary {
namespace {

constexpr std::string_view thought_begin = "<think>", thought_end = "</think>", call_open = "```json",
                           call_close = "```", white = " \t\r\n";
constexpr size_t longest_head = 1000;  // bytes from the opening of a call to its arguments

// Bytes at the end of `text` that may be the beginning of `marker`.
size_t begun(std::string_view text, std::string_view marker) {
  for (size_t length = std::min(text.size(), marker.size() - 1); length > 0; --length)
    if (marker.starts_with(text.substr(text.size() - length))) return length;
  return 0;
}

// The length of `text` without the white space at its end.
size_t length_without_space(std::string_view text) {
  const size_t last = text.find_last_not_of(white);
  return last == std::string_view::npos ? 0 : last + 1;
}

// Reads the beginning of a call.
struct Head {
  std::string_view text;
  size_t at = 0;
  bool incomplete = false;  // the text ended

  bool skip_space() {
    at = std::min(text.find_first_not_of(white, at), text.size());
    return true;
  }
  bool take(std::string_view expected) {
    const std::string_view rest = text.substr(at);
    if (rest.size() < expected.size() && expected.starts_with(rest)) {
      incomplete = true;
      return false;
    }
    if (!rest.starts_with(expected)) return false;
    at += expected.size();
    return true;
  }
  std::optional<std::string> take_string() {
    const size_t begin = at;
    if (!take("\"")) return {};
    for (; at < text.size(); ++at) {
      if (text[at] == '\\') {
        ++at;
      } else if (text[at] == '"') {
        const auto value = try_parse_json(text.substr(begin, ++at - begin));
        return value && value->is_string() ? std::optional(value->get<std::string>()) : std::nullopt;
      }
    }
    incomplete = true;
    return {};
  }
  // The name of the tool, if the text is {"name": NAME, "arguments": and at least one more byte.
  std::optional<std::string> read() {
    skip_space();
    if (!take("{") || !skip_space() || !take("\"name\"") || !skip_space() || !take(":") || !skip_space())
      return {};
    std::optional<std::string> name = take_string();
    if (!name || !skip_space() || !take(",") || !skip_space() || !take("\"arguments\"") || !skip_space() ||
        !take(":") || !skip_space())
      return {};
    incomplete = at == text.size();
    return incomplete || text[at] != '{' ? std::nullopt : name;
  }
};

}  // namespace

ReplyParser::ReplyParser(ReplyForm form) : form_(std::move(form)), trimming_(form_.trims) {}

std::vector<ReplyEvent> ReplyParser::push(std::string_view text) {
  held_ += text;
  while (step()) {
  }
  return std::exchange(events_, {});
}

std::vector<ReplyEvent> ReplyParser::finish() {
  finished_ = true;
  while (step()) {
  }
  if (part_ == Part::arguments) end_call(false);
  emit(ReplyEvent::Kind::content, std::exchange(space_, {}));
  return std::exchange(events_, {});
}

void ReplyParser::emit(ReplyEvent::Kind kind, std::string text) {
  if (text.empty() && kind != ReplyEvent::Kind::call_end) return;
  const bool piece = kind != ReplyEvent::Kind::call_begin && kind != ReplyEvent::Kind::call_end;
  if (piece && !events_.empty() && events_.back().kind == kind)
    events_.back().text += text;
  else
    events_.push_back({kind, std::move(text), true});
}

bool ReplyParser::step() {
  switch (part_) {
    case Part::rest:
      return read_rest();
    case Part::opening:
      return read_opening();
    case Part::thought:
      return read_thought();
    case Part::content:
      return read_content();
    case Part::head:
      return read_head();
    case Part::arguments:
      return read_arguments();
    case Part::tail:
      return read_tail();
  }
  return false;
}

bool ReplyParser::read_rest() {
  const std::string& rest = form_.marker_rest;
  if (held_.size() < rest.size() && rest.starts_with(held_) && !finished_) return false;
  if (held_.starts_with(rest)) held_.erase(0, rest.size());
  thought_allowed_ = form_.thoughts && form_.trims && rest.empty() && !form_.thought_open;
  part_ = form_.thought_open ? Part::thought : Part::opening;
  return true;
}

bool ReplyParser::read_opening() {
  if (trimming_) held_.erase(0, held_.find_first_not_of(white));
  if (held_.empty() && trimming_) return false;
  const std::string_view begin = std::string_view(held_).substr(0, thought_begin.size());
  if (thought_allowed_ && begin != thought_begin && thought_begin.starts_with(begin) && !finished_)
    return false;
  const bool thought = thought_allowed_ && begin == thought_begin;
  if (thought) held_.erase(0, thought_begin.size());
  thought_allowed_ = false;
  trimming_ = thought;
  part_ = thought ? Part::thought : Part::content;
  return true;
}

bool ReplyParser::read_thought() {
  if (trimming_) held_.erase(0, held_.find_first_not_of(white));
  const size_t end = held_.find(thought_end);
  const bool ends = end != std::string::npos;
  const size_t marker = ends ? end : held_.size() - (finished_ ? 0 : begun(held_, thought_end));
  const size_t length = length_without_space(std::string_view(held_).substr(0, marker));
  if (length > 0) trimming_ = false;
  emit(ReplyEvent::Kind::reasoning, held_.substr(0, length));
  held_.erase(0, ends ? end + thought_end.size() : finished_ ? held_.size() : length);
  if (!ends) return false;
  trimming_ = true;
  part_ = Part::opening;
  return true;
}

bool ReplyParser::read_content() {
  if (form_.tools.empty()) {
    emit(ReplyEvent::Kind::content, std::exchange(held_, {}));
    return false;
  }
  const size_t call = held_.find(call_open);
  const bool calls = call != std::string::npos;
  const size_t marker = calls ? call : held_.size() - (finished_ ? 0 : begun(held_, call_open));
  const size_t length =
      finished_ && !calls ? marker : length_without_space(std::string_view(held_).substr(0, marker));
  emit(ReplyEvent::Kind::content, held_.substr(0, length));
  held_.erase(0, length);
  if (!calls) return false;
  space_ = held_.substr(0, marker - length);
  held_.erase(0, space_.size() + call_open.size());
  part_ = Part::head;
  return true;
}

bool ReplyParser::read_head() {
  Head head{.text = std::string_view(held_).substr(0, longest_head)};
  const std::optional<std::string> name = head.read();
  if (!name && head.incomplete && !finished_ && held_.size() < longest_head) return false;
  if (!name || std::find(form_.tools.begin(), form_.tools.end(), *name) == form_.tools.end()) {
    emit(ReplyEvent::Kind::content, std::exchange(space_, {}) + std::string(call_open));
    part_ = Part::content;
    return true;
  }
  space_.clear();
  held_.erase(0, head.at);
  scanner_.reset();
  emit(ReplyEvent::Kind::call_begin, *name);
  part_ = Part::arguments;
  return true;
}

bool ReplyParser::read_arguments() {
  size_t length = 0;
  JsonScanner::State state = JsonScanner::State::open;
  while (length < held_.size() && state == JsonScanner::State::open) {
    state = scanner_.push(held_[length]);
    if (state != JsonScanner::State::broken) ++length;
  }
  emit(ReplyEvent::Kind::call_arguments, held_.substr(0, length));
  held_.erase(0, length);
  if (state == JsonScanner::State::open) return false;
  if (state == JsonScanner::State::complete)
    part_ = Part::tail;
  else
    end_call(false);
  return true;
}

// The end of a block, "}\n```", and the white space after it. A model that writes something else has still
// made its call.
bool ReplyParser::read_tail() {
  Head tail{.text = held_};
  tail.skip_space();
  if (tail.take("}")) {
    tail.skip_space();
    if (tail.take(call_close)) {
      held_.erase(0, tail.at);
      end_call(true);
      return true;
    }
  }
  if (tail.incomplete && !finished_) return false;
  held_.erase(0, tail.incomplete ? held_.size() : tail.at);
  end_call(true);
  return true;
}

void ReplyParser::end_call(bool complete) {
  events_.push_back({ReplyEvent::Kind::call_end, {}, complete});
  trimming_ = true;
  part_ = Part::opening;
}

}  // namespace aviary
