#include "train/log.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "plot/plot.h"

namespace aviary {
namespace {

using Json = nlohmann::json;

constexpr const char *log_file = "log.jsonl", *samples_file = "samples.jsonl";
constexpr int64_t steps_between_layer_norms = 10;  // a model of 48 layers makes a line four times as long
constexpr double fade = 0.98;                      // points of the smoothed training loss

// Null for what is not finite.
nlohmann::ordered_json four_digits(std::span<const double> numbers) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const double x : numbers) {
    const std::string text = fmt::format("{:.4g}", x);
    double short_x = 0;
    std::from_chars(text.data(), text.data() + text.size(), short_x);
    list.push_back(std::isfinite(x) ? nlohmann::ordered_json(short_x) : nlohmann::ordered_json());
  }
  return list;
}

// NaN and infinity cannot be written in JSON; such numbers are omitted.
std::string line_of(const StepReport& report, int64_t tokens, std::span<const double> layer_norms) {
  nlohmann::ordered_json json{{"step", report.step}, {"tokens", tokens}};
  auto put = [&](const char* name, double value) {
    if (std::isfinite(value)) json[name] = value;
  };
  put("loss", report.loss);
  put("learning_rate", report.learning_rate);
  put("gradient_norm", report.gradient_norm);
  if (!layer_norms.empty() && (report.step == 1 || report.step % steps_between_layer_norms == 0))
    json["layer_norms"] = four_digits(layer_norms);
  put("seconds", report.seconds);
  if (report.validation_bits_per_byte >= 0) put("validation_bits_per_byte", report.validation_bits_per_byte);
  if (report.average_bits_per_byte >= 0) put("average_bits_per_byte", report.average_bits_per_byte);
  return json.dump() + "\n";
}

// Opening a pipe would wait for its other end.
bool is_in_the_way(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored);
}

void require_place(const std::filesystem::path& path) {
  require(!is_in_the_way(path), "{}: cannot be written: it is no regular file", path.string());
}

// Calls visit(report, line) for every complete line.
template <typename Visit>
void visit_log(const std::filesystem::path& path, int64_t steps_done, Visit visit) {
  if (is_in_the_way(path)) return;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const Json json = try_parse_json(line).value_or(Json());
    // Incomplete after a kill.
    if (!json.is_object() || !json.value("step", Json()).is_number_integer()) continue;
    const int64_t step = json["step"];
    if (step > steps_done) continue;
    auto number = [&](const char* name, double otherwise) {
      const Json value = json.value(name, Json());
      return value.is_number() ? value.get<double>() : otherwise;
    };
    StepReport report{.step = step};
    report.loss = number("loss", std::nan(""));
    report.learning_rate = number("learning_rate", 0);
    report.gradient_norm = number("gradient_norm", std::nan(""));
    report.seconds = number("seconds", 0);
    report.validation_bits_per_byte = number("validation_bits_per_byte", -1);
    report.average_bits_per_byte = number("average_bits_per_byte", -1);
    visit(report, line);
  }
}

}  // namespace

std::vector<StepReport> read_log(const std::filesystem::path& folder, int64_t steps_done) {
  std::vector<StepReport> reports;
  visit_log(folder / log_file, steps_done,
            [&](const StepReport& report, const std::string&) { reports.push_back(report); });
  return reports;
}

RunLog::RunLog(const std::filesystem::path& folder, int64_t steps_done) : folder_(folder) {
  visit_log(folder_ / log_file, steps_done, [&](const StepReport& report, const std::string& line) {
    reports_.push_back(report);
    kept_ += line + "\n";
  });
}

void RunLog::drop_repeated() {
  const std::filesystem::path path = folder_ / log_file;
  require_place(path);
  if (std::filesystem::exists(path)) write_file_atomically(path, kept_);
  kept_ = {};
}

void RunLog::add(const StepReport& report, int64_t tokens_per_step, std::span<const double> layer_norms) {
  reports_.push_back(report);
  const std::filesystem::path path = folder_ / log_file;
  require_place(path);
  std::ofstream file(path, std::ios::app);
  if (torn_) file << '\n';
  file << line_of(report, report.step * tokens_per_step, layer_norms);
  file.flush();
  torn_ = !file.good();
  require(!torn_, "{}: cannot be written (is the disk full?)", path.string());
}

void RunLog::add_sample(int64_t step, const std::string& text) const {
  const std::filesystem::path path = folder_ / samples_file;
  require_place(path);
  std::ofstream file(path, std::ios::app);
  file << nlohmann::ordered_json{{"step", step}, {"text", text}}.dump(
              -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
       << "\n";
  file.flush();
  require(file.good(), "{}: cannot be written (is the disk full?)", path.string());
}

void RunLog::draw(double bits_per_byte_of_a_nat) const {
  Series train{.name = "training (smoothed)", .x = {}, .y = {}},
      validation{.name = "validation", .x = {}, .y = {}};
  double smooth = std::nan("");
  for (const StepReport& report : reports_) {
    if (std::isfinite(report.loss))
      smooth = std::isfinite(smooth) ? fade * smooth + (1 - fade) * report.loss : report.loss;
    train.x.push_back(static_cast<double>(report.step));
    train.y.push_back(smooth * bits_per_byte_of_a_nat);
    if (report.validation_bits_per_byte < 0) continue;
    validation.x.push_back(static_cast<double>(report.step));
    validation.y.push_back(report.validation_bits_per_byte);
  }
  const std::vector<Series> series{train, validation};
  write_file_atomically(folder_ / "loss.svg", line_plot("Loss", "step", "bits per byte", series));
}

}  // namespace aviary
