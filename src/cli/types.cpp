// The common names of number types.
#include <algorithm>
#include <cctype>

#include "cli/cli.h"
#include "numbers/encoding.h"

namespace aviary::cli {
namespace {

// Other spellings: "FP16", "Q4_K_M".
std::string as_type_names(const std::string& given) {
  std::string name = given;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name.starts_with("fp")) name.erase(1, 1);
  if (name.ends_with("_k_m") || name.ends_with("_k_s")) name.resize(name.size() - 2);
  return name;
}

}  // namespace

std::optional<Dtype> parse_type(const std::string& name) {
  for (Dtype type : weight_types)
    if (aviary::name_of(type) == name) return type;
  return std::nullopt;
}

CLI::Option* add_type_option(CLI::App& command, std::string& type, const std::string& help) {
  std::vector<std::string> names;
  for (Dtype of : weight_types) names.emplace_back(aviary::name_of(of));
  return command.add_option("--type", type, help)->transform(as_type_names)->check(CLI::IsMember(names));
}

}  // namespace aviary::cli
