#include "compare/member.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "models/registry.h"

namespace aviary {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts{""};
  for (char c : text)
    if (c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

// Sizes that all members share.
bool is_shared(std::string_view name) {
  return name == "n_layer" || name == "n_embd" || name == "vocab_size" || name == "ctx_len";
}

// The names allowed before "=" for this version.
std::vector<std::string> names_of_settings(const ModelVersion& version) {
  std::vector<std::string> names{"recipe"};
  if (!version.variants.empty()) names.emplace_back("variant");
  for (const ConfigNumber& number : config_numbers())
    if (!is_shared(number.name)) names.emplace_back(number.name);
  for (const ModelOption* option : version.options) names.emplace_back(option->name);
  return names;
}

int64_t number_of(const std::string& text, const std::string& value, const std::string& name) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  require(error == std::errc() && end == value.data() + value.size() && number >= 0 && number <= 1 << 20,
          "--versions: {} in \"{}\" is \"{}\", expected a number from 0 to {}", name, text, value, 1 << 20);
  return number;
}

}  // namespace

Member parse_member(const std::string& text) {
  require(std::all_of(text.begin(), text.end(),
                      [](unsigned char c) { return std::isalnum(c) || std::strchr("._-+=", c); }),
          "--versions: \"{}\" contains an invalid character; write NAME or NAME+OPTION=VALUE", text);
  const std::vector<std::string> parts = split(text, '+');
  const ModelVersion& version = model_version(parts[0]);
  Member member{.name = text, .model = {.version = version.name}};
  const std::vector<std::string> known = names_of_settings(version);
  for (size_t i = 1; i < parts.size(); ++i) {
    const size_t equals = parts[i].find('=');
    const std::string name = parts[i].substr(0, equals);
    require(equals != std::string::npos && std::find(known.begin(), known.end(), name) != known.end(),
            "--versions: \"{}\" is nothing that {} takes; written as OPTION=VALUE it takes {}", parts[i],
            version.name, fmt::join(known, ", "));
    std::string value = parts[i].substr(equals + 1);
    if (name == "recipe") {
      member.model.recipe = value;
    } else if (name == "variant") {
      member.model.variant = value;
    } else if (const ModelOption* option = version.find_option(name)) {
      if (option->kind == OptionKind::text) {
        std::replace(value.begin(), value.end(), '-', ',');  // members are separated by commas
        member.model.set(*option, value);
      } else {
        member.model.set(*option, number_of(text, value, name));
      }
    } else {
      for (const ConfigNumber& number : config_numbers())
        if (name == number.name) member.model.*number.member = number_of(text, value, name);
    }
  }
  return member;
}

std::vector<Member> parse_members(const std::string& list) {
  std::vector<Member> members;
  for (const std::string& text : split(list, ',')) {
    require(!text.empty(), "--versions is \"{}\", expected names between commas, such as rwkv4,rwkv7", list);
    members.push_back(parse_member(text));
    require(std::count_if(members.begin(), members.end(),
                          [&](const Member& member) { return member.name == text; }) == 1,
            "--versions: {} is there twice", text);
  }
  return members;
}

}  // namespace aviary
