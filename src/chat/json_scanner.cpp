#include "chat/json_scanner.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/json.h"

namespace aviary {
namespace {

constexpr size_t deepest = 64;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }
bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_scalar(char c) {
  return is_hex(c) || std::string_view("+-.lnrstu").find(c) != std::string_view::npos;
}

}  // namespace

JsonScanner::State JsonScanner::break_off() { return state_ = State::broken; }

JsonScanner::State JsonScanner::close(char c) {
  if (open_.empty() || open_.back() != (c == '}' ? '{' : '[')) return break_off();
  open_.pop_back();
  expect_ = Expect::comma;
  if (open_.empty()) state_ = State::complete;
  return state_;
}

JsonScanner::State JsonScanner::begin_value(char c) {
  if (c == '{' || c == '[') {
    if (open_.size() == deepest) return break_off();
    open_ += c;
    expect_ = c == '{' ? Expect::first_key : Expect::first_value;
    return state_;
  }
  if (open_.empty()) return break_off();
  if (c == '"') {
    expect_ = Expect::text;
    key_ = false;
    return state_;
  }
  if (!is_scalar(c)) return break_off();
  scalar_ = c;
  expect_ = Expect::scalar;
  return state_;
}

JsonScanner::State JsonScanner::push_in_string(char c) {
  if (expect_ == Expect::hex) {
    if (!is_hex(c)) return break_off();
    if (--hex_left_ == 0) expect_ = Expect::text;
  } else if (expect_ == Expect::escape) {
    if (std::string_view("\"\\/bfnrtu").find(c) == std::string_view::npos) return break_off();
    hex_left_ = 4;
    expect_ = c == 'u' ? Expect::hex : Expect::text;
  } else if (c == '"') {
    expect_ = key_ ? Expect::colon : Expect::comma;
  } else if (c == '\\') {
    expect_ = Expect::escape;
  } else if (static_cast<unsigned char>(c) < 0x20) {
    return break_off();
  }
  return state_;
}

JsonScanner::State JsonScanner::push_between(char c) {
  if (is_space(c)) return state_;
  const bool key = expect_ == Expect::key || expect_ == Expect::first_key;
  if ((c == '}' && expect_ == Expect::first_key) || (c == ']' && expect_ == Expect::first_value))
    return close(c);
  if (key) {
    if (c != '"') return break_off();
    expect_ = Expect::text;
    key_ = true;
    return state_;
  }
  if (expect_ == Expect::colon) {
    if (c != ':') return break_off();
    expect_ = Expect::value;
    return state_;
  }
  if (expect_ != Expect::comma) return begin_value(c);
  if (c != ',') return c == '}' || c == ']' ? close(c) : break_off();
  expect_ = open_.back() == '{' ? Expect::key : Expect::value;
  return state_;
}

JsonScanner::State JsonScanner::push(char c) {
  if (state_ != State::open) return state_;
  if (expect_ == Expect::text || expect_ == Expect::escape || expect_ == Expect::hex)
    return push_in_string(c);
  if (expect_ == Expect::scalar) {
    if (is_scalar(c)) {
      scalar_ += c;
      return scalar_.size() > 1000 ? break_off() : state_;
    }
    if (!try_parse_json(scalar_)) return break_off();
    expect_ = Expect::comma;
  }
  return push_between(c);
}

}  // namespace aviary
