// The numbers of a comparison as CSV files. Names of members contain neither commas nor quotes.
#include <cmath>
#include <iterator>

#include "compare/results.h"

namespace aviary {
namespace {

// Empty for what is unknown.
std::string number(double value) { return std::isfinite(value) ? fmt::format("{:.7g}", value) : ""; }

std::string members_table(const ComparisonResult& result) {
  std::string csv =
      "member,version,year,layers,width,head_size,dim_ffn,vocabulary,context,batch,steps,tokens,parameters,"
      "validation_bits_per_byte,training_loss,tokens_per_second,training_seconds,training_bytes,"
      "state_bytes_1k,state_bytes_8k,context_limit,generation_context_1k,generation_seconds_1k,"
      "generation_context_8k,generation_seconds_8k,learning_rate,final_learning_rate,beta1,beta2,epsilon,"
      "weight_decay,clip,seed,precision\n";
  for (const MemberResult& m : result.members) {
    const ModelConfig& model = m.config.model;
    auto put = [&](const auto&... values) { (fmt::format_to(std::back_inserter(csv), "{},", values), ...); };
    put(m.member.name, m.version().name, m.version().year, model.n_layer, model.n_embd, model.head_size,
        model.dim_ffn, model.vocab_size, m.config.context, m.config.batch * m.config.accumulate,
        m.log.empty() ? 0 : m.log.back().step, m.tokens(), m.plan.parameters);
    put(number(m.validation_bits_per_byte()), number(m.training_loss()), number(m.tokens_per_second()),
        number(m.seconds()), m.plan.training_bytes, m.state_bytes(1024), m.state_bytes(8192),
        m.cost.context_limit);
    for (size_t i = 0; i < std::size(timed_contexts); ++i)
      put(m.measures ? fmt::to_string(m.measures->generation[i].context) : "",
          m.measures ? number(m.measures->generation[i].seconds) : "");
    put(m.config.schedule.start, m.config.schedule.end, m.config.beta1, m.config.beta2, m.config.epsilon,
        m.config.weight_decay, m.config.clip, m.config.seed);
    csv += m.config.precision == kernels::Precision::bf16 ? "bf16\n" : "f32\n";
  }
  return csv;
}

// One line per step that `take` accepts.
template <typename Take, typename Value>
std::string steps_table(const ComparisonResult& result, const char* column, Take take, Value value) {
  std::string csv = fmt::format("member,step,tokens,seconds,{}\n", column);
  for (const MemberResult& m : result.members) {
    double seconds = 0;
    for (const StepReport& report : m.log) {
      seconds += report.seconds;
      if (take(report))
        csv += fmt::format("{},{},{},{},{}\n", m.member.name, report.step,
                           report.step * m.config.tokens_per_step(), number(seconds), number(value(report)));
    }
  }
  return csv;
}

std::string positions_table(const ComparisonResult& result) {
  std::string csv = "member,tokens_of_context,loss\n";
  for (const MemberResult& m : result.members)
    for (size_t t = 0; m.measures && t < m.measures->loss_by_position.size(); ++t)
      csv += fmt::format("{},{},{}\n", m.member.name, t + 1, number(m.measures->loss_by_position[t]));
  return csv;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> tables_of(const ComparisonResult& result) {
  return {
      {"members.csv", members_table(result)},
      {"loss.csv", steps_table(
                       result, "loss", [](const StepReport&) { return true; },
                       [](const StepReport& report) { return report.loss; })},
      {"validation.csv", steps_table(
                             result, "bits_per_byte",
                             [](const StepReport& report) { return report.validation_bits_per_byte >= 0; },
                             [](const StepReport& report) { return report.validation_bits_per_byte; })},
      {"positions.csv", positions_table(result)},
  };
}

}  // namespace aviary
