// The report of a comparison.
#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>

#include "base/human.h"
#include "compare/html.h"
#include "compare/results.h"

namespace aviary {
namespace {

// One column of the table of members: a number, its text, and whether smaller or larger is better.
struct Column {
  const char *title, *unit;
  enum class Better : uint8_t { less, more, neither } better;
  std::function<double(const MemberResult&)> value;  // NaN: unknown
  std::function<std::string(double)> text;
};

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

double generation_of(const MemberResult& member, size_t which) {
  return member.measures ? member.measures->generation[which].seconds : unknown;
}

std::vector<Column> columns() {
  using enum Column::Better;
  auto bytes = [](double value) { return human_bytes(static_cast<int64_t>(value)); };
  auto milliseconds = [](double value) { return fmt::format("{:.3g}", value * 1e3); };
  return {
      {"validation", "bits per byte", less, [](const auto& m) { return m.validation_bits_per_byte(); },
       [](double value) { return fmt::format("{:.4f}", value); }},
      {"training loss", "nats/token", less, [](const auto& m) { return m.training_loss(); },
       [](double value) { return fmt::format("{:.4f}", value); }},
      {"parameters", "", neither, [](const auto& m) { return static_cast<double>(m.plan.parameters); },
       [](double value) { return with_commas(static_cast<int64_t>(value)); }},
      {"training speed", "tokens/s", more, [](const auto& m) { return m.tokens_per_second(); },
       [](double value) { return with_commas(static_cast<int64_t>(value)); }},
      {"training time", "", less, [](const auto& m) { return m.log.empty() ? unknown : m.seconds(); },
       human_duration},
      {"memory", "training", less,
       [](const auto& m) {
         return m.plan.training_bytes > 0 ? static_cast<double>(m.plan.training_bytes) : unknown;
       },
       bytes},
      {"state", "at 1k tokens", less, [](const auto& m) { return static_cast<double>(m.state_bytes(1024)); },
       bytes},
      {"state", "at 8k tokens", less, [](const auto& m) { return static_cast<double>(m.state_bytes(8192)); },
       bytes},
      {"generation", "ms/token at 1k", less, [](const auto& m) { return generation_of(m, 0); }, milliseconds},
      {"generation", "ms/token at 8k", less, [](const auto& m) { return generation_of(m, 1); }, milliseconds},
  };
}

class Page {
 public:
  explicit Page(const ComparisonResult& result) : result_(result), colors_(colors_of(result.members)) {}

  std::string draw() {
    const std::string title = fmt::format("{} language models, one text", result_.members.size());
    add("{}", page_head(title));
    add_summary();
    add("<div class=\"figures\">\n<div class=\"card wide\">{}</div>\n<div class=\"card wide\">{}</div>\n"
        "<div class=\"card\">{}</div>\n<div class=\"card\">{}</div>\n</div>\n",
        tokens_figure(result_), time_figure(result_), validation_figure(result_), position_figure(result_));
    add_members();
    add_notes();
    add_settings();
    add("{}", page_end());
    return std::move(body_);
  }

 private:
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(body_), format, std::forward<Args>(args)...);
  }

  // Finished members, the best first.
  std::vector<const MemberResult*> ranking() const {
    std::vector<const MemberResult*> ranked;
    for (const MemberResult& member : result_.members)
      if (member.measures && std::isfinite(member.validation_bits_per_byte())) ranked.push_back(&member);
    std::sort(ranked.begin(), ranked.end(), [](const MemberResult* a, const MemberResult* b) {
      return a->validation_bits_per_byte() < b->validation_bits_per_byte();
    });
    return ranked;
  }

  void add_summary() {
    add("<p class=\"quiet\">{}: {} bytes are {} tokens ({}); every model was trained on the same {} windows "
        "of {} "
        "tokens in the same order, {} tokens in all, and started from the same seed.</p>\n",
        html(result_.text_name), with_commas(result_.train_bytes), with_commas(result_.train_tokens),
        result_.shared.tokenizer,
        with_commas(result_.steps * result_.shared.batch * result_.shared.accumulate), result_.shared.context,
        with_commas(result_.steps * result_.shared.tokens_per_step()));
    const auto ranked = ranking();
    if (ranked.size() < 2) return;
    std::vector<std::string> order;
    for (const MemberResult* member : ranked)
      order.push_back(fmt::format("{} {:.3f}", member->member.name, member->validation_bits_per_byte()));
    add("<p>Bits per byte on the validation text, best first: {}.</p>\n", fmt::join(order, ", "));
    add_equal_time(ranked);
  }

  // The ranking at the time when the fastest member is finished.
  void add_equal_time(const std::vector<const MemberResult*>& ranked) {
    const MemberResult& fastest = **std::min_element(
        ranked.begin(), ranked.end(),
        [](const MemberResult* a, const MemberResult* b) { return a->seconds() < b->seconds(); });
    auto loss_after = [](const MemberResult& member, double seconds) {
      double spent = 0, smooth = unknown;
      for (const StepReport& report : member.log) {
        if ((spent += report.seconds) > seconds) break;
        if (std::isfinite(report.loss))
          smooth = std::isfinite(smooth) ? 0.95 * smooth + 0.05 * report.loss : report.loss;
      }
      return smooth;
    };
    const MemberResult* best = &fastest;
    for (const MemberResult* member : ranked)
      if (loss_after(*member, fastest.seconds()) < loss_after(*best, fastest.seconds())) best = member;
    add("<p>{} was the first to finish its tokens, after {}. At that time the lowest training loss was "
        "{}.</p>\n",
        fastest.member.name, human_duration(fastest.seconds()),
        best == &fastest ? "its own" : fmt::format("that of {}", best->member.name));
  }

  void add_members() {
    const std::vector<Column> all = columns();
    add("<h2>The models</h2>\n<div class=\"card\"><table>\n<thead><tr><th>model</th>");
    for (const Column& column : all) add("<th>{}<small>{}</small></th>", column.title, column.unit);
    add("</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < result_.members.size(); ++i) {
      const MemberResult& member = result_.members[i];
      const std::string status = !member.failure.empty() ? "failed"
                                 : member.measures       ? ""
                                 : member.log.empty()
                                     ? "not started"
                                     : fmt::format("at step {}", with_commas(member.log.back().step));
      add("<tr><td><span class=\"swatch\" style=\"background:{}\"></span>{}<small>{}, {}{}</small></td>",
          colors_[i], html(member.member.name), html(member.version().title), member.version().year,
          status.empty() ? "" : "; " + status);
      for (const Column& column : all) add_cell(column, member);
      add("</tr>\n");
    }
    add("</tbody>\n</table></div>\n");
  }

  void add_cell(const Column& column, const MemberResult& member) {
    const double value = column.value(member);
    double most = 0, best = unknown;
    for (const MemberResult& other : result_.members) {
      const double number = column.value(other);
      if (!std::isfinite(number)) continue;
      most = std::max(most, number);
      const bool better = column.better == Column::Better::less ? number < best : number > best;
      if (!std::isfinite(best) || better) best = number;
    }
    if (!std::isfinite(value)) {
      add("<td>–</td>");
      return;
    }
    add("<td{}>{}<span class=\"bar\" style=\"width:{:.0f}%\"></span></td>",
        value == best && column.better != Column::Better::neither ? " class=\"best\"" : "",
        column.text(value), most > 0 ? 100 * value / most : 0);
  }

  void add_notes() {
    add("<h2>How it was measured</h2>\n<ul>\n<li>The validation text is the last {} bytes of the text ({} "
        "tokens), read in windows of {} tokens that begin with a fresh state, as in training.</li>\n",
        with_commas(result_.validation_bytes), with_commas(result_.validation_tokens),
        result_.shared.context);
    add("<li>Curves of the training loss are means over parts of the run, each a sixtieth of it. All members "
        "see the same batches, so their noise is the same.</li>\n");
    add("<li>Training memory is the peak of the whole process during the first steps.</li>\n");
    add("<li>Generation is one sequence, token by token, in float32 with all threads.");
    std::vector<std::string> limited;
    for (const MemberResult& member : result_.members)
      if (member.cost.context_limit > 0 && member.measures)
        limited.push_back(fmt::format("{} after {} tokens", html(member.member.name),
                                      with_commas(member.measures->generation[0].context)));
    if (!limited.empty())
      add(" Models limited to the trained length ({} tokens) were measured within it: {}. Beyond it they "
          "read their last {} tokens again for every new token, and their states contain only these.",
          result_.shared.context, fmt::join(limited, ", "), result_.shared.context);
    add("</li>\n");
    for (const MemberResult& member : result_.members)
      if (!member.failure.empty()) add("<li>{}: {}</li>\n", html(member.member.name), html(member.failure));
    add("</ul>\n");
  }

  void add_settings() {
    const TrainConfig& shared = result_.shared;
    add("<h2>Settings</h2>\n<p>{} layers of width {}, {} tokens ({}); {} steps of {} x {} tokens; {} "
        "products; seed {}. {}; the other optimizer settings are those of each version.</p>\n",
        shared.model.n_layer, shared.model.n_embd, with_commas(shared.model.vocab_size), shared.tokenizer,
        with_commas(result_.steps), shared.batch * shared.accumulate, shared.context,
        shared.precision == kernels::Precision::bf16 ? "bfloat16" : "float32", shared.seed,
        result_.own_recipes ? "Learning rates are those of each version's own recipe"
                            : "One learning rate and one schedule for all");
    add("<div class=\"card\"><table>\n<thead><tr><th>model</th><th>learning rate</th><th>schedule</th>"
        "<th>betas</th><th>epsilon</th><th>weight "
        "decay</th><th>clip</th><th>heads</th><th>feed-forward</th></tr></thead>\n"
        "<tbody>\n");
    for (const MemberResult& member : result_.members) {
      const TrainConfig& config = member.config;
      const ModelConfig& model = config.model;
      add("<tr><td>{}</td><td>{:g} to {:g}</td><td>{}, warm-up {}</td><td>{:g}, "
          "{:g}</td><td>{:g}</td><td>{:g}</td>"
          "<td>{:g}</td><td>{}</td><td>{}</td></tr>\n",
          html(member.member.name), config.schedule.start, config.schedule.end, name_of(config.schedule.kind),
          config.schedule.warmup, config.beta1, config.beta2, config.epsilon, config.weight_decay,
          config.clip,
          model.head_size ? fmt::format("{} of {}", model.n_embd / model.head_size, model.head_size) : "–",
          model.dim_ffn ? with_commas(model.dim_ffn) : "–");
    }
    add("</tbody>\n</table></div>\n");
  }

  const ComparisonResult& result_;
  std::vector<std::string> colors_;
  std::string body_;
};

}  // namespace

std::string page_of(const ComparisonResult& result) { return Page(result).draw(); }

}  // namespace aviary
