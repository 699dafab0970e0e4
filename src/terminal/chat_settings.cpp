// /set NAME VALUE.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/error.h"
#include "terminal/chat_session.h"

namespace aviary {
namespace {

template <typename Number>
Number number(std::string_view name, std::string_view value, double least, double most) {
  Number parsed = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  require(error == std::errc() && end == value.data() + value.size() &&
              static_cast<double>(parsed) >= least && static_cast<double>(parsed) <= most,
          "{} is {}, expected {} from {} to {}", name, in_quotes(value),
          std::is_integral_v<Number> ? "a whole number" : "a number", least, most);
  return parsed;
}

template <typename Number>
void assign(std::optional<Number>& setting, std::string_view name, std::string_view value, double least,
            double most) {
  if (value == "usual")
    setting.reset();
  else
    setting = number<Number>(name, value, least, most);
}

template <typename Number>
std::string shown(std::string_view name, const std::optional<Number>& setting) {
  return fmt::format("  {:<18} {}", name, setting ? fmt::format("{}", *setting) : "usual");
}

}  // namespace

void ChatSession::set(const std::string& argument) {
  ReplySettings& reply = settings_.reply;
  const size_t space = argument.find_first_of(" \t");
  const std::string name = argument.substr(0, space);
  const std::string value =
      space == std::string::npos ? "" : argument.substr(argument.find_first_not_of(" \t", space));
  require(argument.empty() || !value.empty(), "/set takes a name and a value; \"usual\" is the usual value");
  if (name == "temperature")
    assign(reply.temperature, name, value, 0, 100);
  else if (name == "top_p")
    assign(reply.top_p, name, value, 1e-6, 1);
  else if (name == "top_k")
    assign(reply.top_k, name, value, 0, 1e9);
  else if (name == "presence_penalty")
    assign(reply.presence_penalty, name, value, -100, 100);
  else if (name == "frequency_penalty")
    assign(reply.frequency_penalty, name, value, -100, 100);
  else if (name == "max_tokens")
    assign(reply.max_tokens, name, value, 1, 1e9);
  else if (name == "seed")
    assign(reply.seed, name, value, 0, 9e18);
  else
    require(argument.empty(),
            "there is no setting {}, but temperature, top_p, top_k, presence_penalty, frequency_penalty, "
            "max_tokens and seed",
            in_quotes(name));
  screen_.tell(shown("temperature", reply.temperature));
  screen_.tell(shown("top_p", reply.top_p));
  screen_.tell(shown("top_k", reply.top_k));
  screen_.tell(shown("presence_penalty", reply.presence_penalty));
  screen_.tell(shown("frequency_penalty", reply.frequency_penalty));
  screen_.tell(shown("max_tokens", reply.max_tokens));
  screen_.tell(shown("seed", reply.seed));
}

}  // namespace aviary
