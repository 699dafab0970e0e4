#include "cli/settings.h"

#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/strict_options.h"
#include "models/registry.h"

namespace aviary::cli {
namespace {

const char* heading(SettingGroup group) {
  switch (group) {
    case SettingGroup::first:
      return "Options";
    case SettingGroup::model:
      return "Model";
    case SettingGroup::tuning:
      return "Tuning";
    case SettingGroup::data:
      return "Data";
    case SettingGroup::batches:
      return "Batches";
    case SettingGroup::learning:
      return "Learning";
    case SettingGroup::output:
      return "Output";
  }
  return "";
}

// "blocks.0.=0.5"
std::pair<std::string, double> parse_scale(const Setting& setting, const std::string& text) {
  const size_t equals = text.rfind('=');
  double factor = 0;
  const bool named = equals != text.npos && equals > 0;
  const char *begin = text.data() + (named ? equals + 1 : 0), *end = text.data() + text.size();
  const auto [last, error] = named ? std::from_chars(begin, end, factor) : std::from_chars_result{};
  const bool change = setting.name == std::string_view("changes");
  require(named && error == std::errc() && last == end, "{} {}: expected {}", setting.flag_text(), text,
          change ? "a share of the run, a colon, a setting, =, and its value, as in 0.5:beta2=0.999"
                 : "part of a parameter's name, =, and a factor, as in blocks.0.=0.5");
  return {text.substr(0, equals), factor};
}

// One flag for a member of each type.
class AddFlag {
 public:
  AddFlag(CLI::App& command, const Setting& setting, Asked& asked)
      : command_(command), setting_(setting), asked_(asked) {}

  CLI::Option* operator()(bool& value) const {
    auto set = [this_setting = setting_.name, &asked = asked_, &value, on = !value](int64_t) {
      value = on;
      asked.given.insert(this_setting);
    };
    return command_.add_flag_function(setting_.flag_text(), set, setting_.help);
  }
  CLI::Option* operator()(std::optional<int64_t>& value) const {
    return add<int64_t>([&value](int64_t given) { value = given; });
  }
  CLI::Option* operator()(ScheduleKind& value) const {
    return add<std::string>([&value](const std::string& given) { value = schedule_kind(given); });
  }
  CLI::Option* operator()(kernels::Precision& value) const {
    return add<std::string>([&value](const std::string& given) { value = precision_of(given); })
        ->check(CLI::IsMember({"f32", "bf16"}));
  }
  CLI::Option* operator()(TuneMethod& value) const {
    return add<std::string>([&value](const std::string& given) { value = tune_method(given); })
        ->check(CLI::IsMember({"full", "lora", "pissa", "miss", "state"}));
  }
  CLI::Option* operator()(OptimizerKind& value) const {
    return add<std::string>([&value](const std::string& given) { value = optimizer_kind(given); })
        ->check(CLI::IsMember({"adamw", "lion", "muon"}));
  }
  // Found out by the run: no command has a flag for them.
  CLI::Option* operator()(std::vector<Correction>&) const {
    fail("the setting {} has no flag", setting_.name);
  }
  CLI::Option* operator()(WeightsByName& value) const {
    return add<std::vector<std::string>>(
        [&value, &this_setting = setting_](const std::vector<std::string>& given) {
          for (const std::string& scale : given) value.insert(parse_scale(this_setting, scale));
        });
  }
  template <typename Value>
  CLI::Option* operator()(Value& value) const {
    return add<Value>([&value](const Value& given) { value = given; });
  }

 private:
  template <typename Given, typename Set>
  CLI::Option* add(Set set) const {
    return command_.add_option_function<Given>(
        setting_.flag_text(),
        [set, name = setting_.name, &asked = asked_](const Given& given) {
          set(given);
          asked.given.insert(name);
        },
        setting_.help);
  }

  CLI::App& command_;
  const Setting& setting_;
  Asked& asked_;
};

void add_model_option(CLI::App& command, const ModelOption& option, Options& values) {
  const std::string group = "Options of versions (aviary inspect --versions tells which version takes which)";
  const std::string flag = flag_of(option);
  const std::string help = fmt::format("{} (default: the version's)", option.help);
  if (option.kind == OptionKind::on_off)
    command
        .add_flag_callback(
            flag, [&] { values.set(option.name, 1); }, option.help)
        ->group(group);
  else if (option.kind == OptionKind::text)
    command
        .add_option_function<std::string>(
            flag, [&](const std::string& text) { values.set(option.name, text); }, help)
        ->group(group);
  else
    command
        .add_option_function<int64_t>(
            flag, [&](int64_t number) { values.set(option.name, number); }, help)
        ->check(bounds(0, option.most))
        ->group(group);
}

}  // namespace

void add_settings(CLI::App& command, SettingFlags command_bit, Asked& asked) {
  for (const Setting& setting : settings()) {
    if ((setting.flags & command_bit) == 0) continue;
    setting.visit(asked.values, [&](auto& value) {
      CLI::Option* option = AddFlag(command, setting, asked)(value)->group(heading(setting.group));
      if (setting.in_bytes) option->type_name(size_type);
    });
  }
  command.get_option("--steps")->excludes(command.get_option("--minutes"));
}

void add_model_options(CLI::App& command, Options& values) {
  for (const ModelOption* option : model_options()) add_model_option(command, *option, values);
}

std::string absolute_path(const std::filesystem::path& path) {
  std::string place = std::filesystem::absolute(path).lexically_normal().string();
  require(is_utf8(place),
          "{}: the name is no UTF-8, so the run could not remember it; rename the file or folder",
          path.string());
  return place;
}

Facts::Text text_facts(const TextFile& file) {
  return {.path = file.is_stream() ? file.name() : absolute_path(file.name()),
          .hash = hash_of(file.text()),
          .bytes = std::ssize(file.text())};
}

std::string usual_name(const TextFile& file) {
  return file.is_stream() ? "stdin" : std::filesystem::path(file.name()).stem().string();
}

std::string place_of_text(const TextFile& file, const std::filesystem::path& folder) {
  if (!file.is_stream()) return absolute_path(file.name());
  const std::filesystem::path place = folder / "text.txt";
  require(!std::filesystem::exists(place) || hash_of(TextFile(place).text()) == hash_of(file.text()),
          "{}: {} is to be kept there, but there is another text; name another folder with --out",
          place.string(), file.name());
  return absolute_path(place);
}

void keep_text(const TextFile& file, const std::string& place) {
  if (file.is_stream()) write_file_atomically(place, file.text());
}

Facts::Vocabulary vocabulary_facts(const Tokenizer& tokenizer, int64_t train_tokens, bool chosen) {
  return {.kind = tokenizer.kind(),
          .size = tokenizer.vocab_size(),
          .train_tokens = train_tokens,
          .chosen = chosen};
}

}  // namespace aviary::cli
