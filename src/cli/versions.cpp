// aviary inspect --versions: the versions as a table.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/human.h"
#include "cli/cli.h"
#include "models/registry.h"

namespace aviary::cli {
namespace {

using Json = nlohmann::ordered_json;

// "66 C" with C the width; other numbers unchanged.
std::string in_widths(int64_t numbers, int64_t width) {
  return numbers % width == 0 ? fmt::format("{} C", numbers / width) : with_commas(numbers);
}

std::string text_of_version(const StateSize& size, int64_t width) {
  if (size.per_token == 0) return in_widths(size.fixed, width);
  const std::string history = in_widths(size.per_token, width) + " per token";
  return size.fixed == 0 ? history : in_widths(size.fixed, width) + " + " + history;
}

// "2 C + 2 C per token; outside the layers 257 per token; at most ctx_len tokens"
std::string state_of(const FamilyMember& member, const FamilySizes& sizes) {
  std::string text = text_of_version(member.layer, sizes.width);
  const std::string beside = text_of_version(member.beside, sizes.width);
  if (member.beside.fixed + member.beside.per_token > 0) text += "; outside the layers " + beside;
  if (member.context_limit > 0) text += "; at most ctx_len tokens";
  return text;
}

std::vector<FamilyMember> family(const FamilySizes& sizes) {
  for (auto [flag, value, most] :
       {std::tuple{"layers", sizes.layers, int64_t{1024}}, std::tuple{"width", sizes.width, int64_t{1} << 16},
        std::tuple{"vocabulary", sizes.vocabulary, int64_t{1} << 20}})
    require(value >= 1 && value <= most, "--{} is {}, expected 1 to {}", flag, value, most);
  std::vector<FamilyMember> members;
  for (const ModelVersion* version : model_versions()) members.push_back(family_member(*version, sizes));
  std::stable_sort(members.begin(), members.end(), [](const FamilyMember& a, const FamilyMember& b) {
    return a.version->year < b.version->year;
  });
  return members;
}

std::string sizes_line(const FamilySizes& sizes) {
  return fmt::format("{} layers, width C = {}, vocabulary {}, ctx_len {}", sizes.layers,
                     with_commas(sizes.width), with_commas(sizes.vocabulary), with_commas(sizes.context));
}

std::vector<std::string> option_names(const ModelVersion& version) {
  std::vector<std::string> names;
  for (const ModelOption* option : version.options) names.emplace_back(option->name);
  return names;
}

void print_versions(const std::vector<FamilyMember>& members, const FamilySizes& sizes) {
  fmt::print("Parameters of models with {}.\nState: numbers per layer for one sequence.\n",
             sizes_line(sizes));
  for (const FamilyMember& member : members) {
    const ModelVersion& version = *member.version;
    fmt::print("\n{:<18}{}, {}, {} parameters\n", version.name, version.title, version.year,
               with_commas(member.parameters));
    auto line = [](const char* what, std::string_view text) {
      if (!text.empty()) fmt::print("  {:<16}{}\n", what, text);
    };
    line("recurrence", version.recurrence);
    line("state", state_of(member, sizes));
    line("new", version.news);
    line("recipes", version.recipes.size() > 1 ? fmt::format("{}", fmt::join(version.recipes, ", ")) : "");
    line("options", fmt::format("{}", fmt::join(option_names(version), ", ")));
    line("source", version.source);
  }
}

// The table of docs/versions.md.
void print_markdown(const std::vector<FamilyMember>& members, const FamilySizes& sizes) {
  fmt::print(
      "| name | year | recurrence | state of a layer | new | source | parameters |\n"
      "|---|---|---|---|---|---|---|\n");
  auto cell = [](std::string_view text) {
    std::string out;
    for (char c : text) {
      if (c == '|') out += '\\';  // it would end the cell
      out += c;
    }
    return out;
  };
  for (const FamilyMember& member : members) {
    const ModelVersion& version = *member.version;
    fmt::print("| `{}` | {} | {} | {} | {} | {} | {} |\n", version.name, version.year,
               cell(version.recurrence), cell(state_of(member, sizes)), cell(version.news),
               cell(version.source), with_commas(member.parameters));
  }
  fmt::print("\nParameters: {}. State: numbers of one sequence.\n", sizes_line(sizes));
}

void print_versions_json(const std::vector<FamilyMember>& members, const FamilySizes& sizes) {
  Json list = Json::array();
  for (const FamilyMember& member : members) {
    const ModelVersion& version = *member.version;
    list.push_back({{"name", version.name},
                    {"title", version.title},
                    {"year", version.year},
                    {"recurrence", version.recurrence},
                    {"new", version.news},
                    {"source", version.source},
                    {"recipes", version.recipes},
                    {"options", option_names(version)},
                    {"parameters", member.parameters},
                    {"state_per_layer", member.layer.fixed},
                    {"state_per_layer_and_token", member.layer.per_token},
                    {"state_beside", member.beside.fixed},
                    {"state_beside_per_token", member.beside.per_token},
                    {"bound_to_ctx_len", member.context_limit > 0}});
  }
  const Json json{{"layers", sizes.layers},
                  {"width", sizes.width},
                  {"vocabulary", sizes.vocabulary},
                  {"ctx_len", sizes.context},
                  {"versions", list}};
  fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

int list_versions(const FamilySizes& sizes, ListForm form) {
  const std::vector<FamilyMember> members = family(sizes);
  switch (form) {
    case ListForm::text:
      print_versions(members, sizes);
      break;
    case ListForm::markdown:
      print_markdown(members, sizes);
      break;
    case ListForm::json:
      print_versions_json(members, sizes);
  }
  return 0;
}

}  // namespace aviary::cli
