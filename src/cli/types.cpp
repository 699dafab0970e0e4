// The types of numbers as people name them.
#include <algorithm>
#include <cctype>

#include "cli/cli.h"

namespace aviary::cli {
namespace {

constexpr Dtype types[] = {Dtype::f32,  Dtype::f16,  Dtype::bf16, Dtype::q8_0, Dtype::q6_k, Dtype::q5_k,
                           Dtype::q5_1, Dtype::q5_0, Dtype::q4_k, Dtype::q4_1, Dtype::q4_0};

// Of the many ways to write them: "FP16", "Q4_K_M".
std::string as_type_names(const std::string& given) {
  std::string name = given;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name.starts_with("fp")) name.erase(1, 1);
  if (name.ends_with("_k_m") || name.ends_with("_k_s")) name.resize(name.size() - 2);
  return name;
}

}  // namespace

std::optional<Dtype> parse_type(const std::string& name) {
  for (Dtype type : types)
    if (aviary::name_of(type) == name) return type;
  return std::nullopt;
}

CLI::Option* add_type_option(CLI::App& command, std::string& type, const std::string& help) {
  std::vector<std::string> names;
  for (Dtype of : types) names.emplace_back(aviary::name_of(of));
  return command.add_option("--type", type, help)->transform(as_type_names)->check(CLI::IsMember(names));
}

}  // namespace aviary::cli
