#include "chat/conversation.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view roles[] = {"system", "user", "assistant", "tool"};

Json json_of(const Message& message) {
  Json json = {{"role", roles[static_cast<size_t>(message.role)]}, {"content", message.content}};
  if (!message.reasoning.empty()) json["reasoning"] = message.reasoning;
  return json;
}

const Json& member(const Json& object, const char* name, Json::value_t type, std::string_view where) {
  require(object.is_object() && object.contains(name) && object[name].type() == type,
          "{}: not a conversation of aviary: '{}' is missing or of another type", where, name);
  return object[name];
}

Message message_of(const Json& json, std::string_view where) {
  const std::string role = member(json, "role", Json::value_t::string, where);
  const auto found = std::find(std::begin(roles), std::end(roles), role);
  require(found != std::end(roles), "{}: a message has the role {}, expected system, user, assistant or tool",
          where, in_quotes(role));
  Message message{.role = static_cast<Role>(found - std::begin(roles)),
                  .content = member(json, "content", Json::value_t::string, where)};
  if (json.contains("reasoning")) message.reasoning = member(json, "reasoning", Json::value_t::string, where);
  return message;
}

}  // namespace

Conversation::Conversation() { branches_.push_back({"main"}); }

Conversation::Conversation(std::string_view text, std::string_view where) {
  const Json json = parse_ordered_json(text, where);
  require(member(json, "format", Json::value_t::string, where) == "aviary-chat",
          "{}: not a conversation of aviary", where);
  for (const Json& branch : member(json, "branches", Json::value_t::array, where)) {
    branches_.push_back({member(branch, "name", Json::value_t::string, where)});
    for (const Json& message : member(branch, "messages", Json::value_t::array, where))
      branches_.back().messages.push_back(message_of(message, where));
  }
  require(!branches_.empty(), "{}: the conversation has no branches", where);
  go_to(member(json, "branch", Json::value_t::string, where).get<std::string>());
}

const Conversation::Branch* Conversation::find(std::string_view name) const {
  const auto found =
      std::find_if(branches_.begin(), branches_.end(), [&](const Branch& one) { return one.name == name; });
  return found == branches_.end() ? nullptr : &*found;
}

void Conversation::branch(const std::string& name) {
  require(!name.empty() && name.find_first_of(" \t\n") == std::string::npos,
          "the name of a branch is one word, got {}", in_quotes(name));
  require(find(name) == nullptr, "there is a branch {} already; /goto {} goes there", in_quotes(name), name);
  branches_.push_back({name, messages()});
  current_ = branches_.size() - 1;
}

void Conversation::go_to(std::string_view name) {
  const Branch* found = find(name);
  std::string known;
  for (const Branch& one : branches_) known += (known.empty() ? "" : ", ") + one.name;
  require(found != nullptr, "there is no branch {}, but {}", in_quotes(name), known);
  current_ = static_cast<size_t>(found - branches_.data());
}

std::vector<std::string> Conversation::names() const {
  std::vector<std::string> all;
  for (const Branch& one : branches_) all.push_back(one.name);
  return all;
}

size_t Conversation::length(std::string_view name) const {
  const Branch* found = find(name);
  return found == nullptr ? 0 : found->messages.size();
}

int64_t Conversation::undo(int64_t n) {
  int64_t undone = 0;
  while (undone < n && forget_reply()) {
    messages().pop_back();
    ++undone;
  }
  return undone;
}

bool Conversation::forget_reply() {
  std::vector<Message>& all = messages();
  const auto last =
      std::find_if(all.rbegin(), all.rend(), [](const Message& one) { return one.role == Role::user; });
  if (last == all.rend()) return false;
  all.erase(last.base(), all.end());
  return true;
}

void Conversation::clear() {
  std::vector<Message>& all = messages();
  all.erase(std::find_if(all.begin(), all.end(), [](const Message& one) { return one.role != Role::system; }),
            all.end());
}

std::string Conversation::json() const {
  Json list = Json::array();
  for (const Branch& one : branches_) {
    Json all = Json::array();
    for (const Message& message : one.messages) all.push_back(json_of(message));
    list.push_back({{"name", one.name}, {"messages", std::move(all)}});
  }
  const Json json = {
      {"format", "aviary-chat"}, {"version", 1}, {"branch", current()}, {"branches", std::move(list)}};
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace aviary
