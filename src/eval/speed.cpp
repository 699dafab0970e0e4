#include "eval/speed.h"

#include <algorithm>
#include <chrono>

#include "base/random.h"
#include "base/threads.h"
#include "models/cost.h"

namespace aviary {
namespace {

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::vector<int32_t> random_tokens(int64_t count, int64_t vocabulary) {
  Random random(3);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(vocabulary));
  return tokens;
}

class Measurement {
 public:
  Measurement(Runner& runner, const SpeedRequest& request)
      : runner_(runner),
        request_(request),
        cost_(token_cost(runner.model(), runner.precision())),
        meter_(cost_.weight_bytes, threads()),
        tokens_(random_tokens(repeat_after + most_tokens(request), runner.model().config().vocab_size)) {}

  Speed run(const std::function<bool(double)>& progress) {
    Speed speed;
    speed.peak = kernels::measure_peak(threads());
    speed.weight_bytes = cost_.weight_bytes;
    for (const Parameter& parameter : runner_.model().parameters())
      speed.stored_bytes += parameter.weight.bytes();
    speed.multiplications = cost_.multiplications;
    speed.of_head = cost_.of_head;
    speed.state_bytes = cost_.state_bytes;
    State warm = runner_.new_state();
    decode(Sequences::uniform(1, 1), warm);  // packs the weights
    std::vector<double> reads;
    const size_t steps = 1 + request_.batches.size();
    double done = 0;
    auto go_on = [&] { return !progress || progress(++done / static_cast<double>(steps * rounds())); };
    if (request_.prompt > 0) {
      prompt_rate(speed);  // allocates the memory
      speed.prompt = measure(
          request_.prompt, [&] { return prompt_rate(speed); }, go_on);
      speed.prompt.batch = 1;
    }
    for (const int64_t batch : request_.batches)
      speed.decode.push_back(measure(
          batch, [&] { return decode_rate(batch, speed, reads); }, go_on));
    speed.read_rate = median(reads);
    return speed;
  }

 private:
  static constexpr int64_t repeat_after = 2048;  // tokens

  static int64_t most_tokens(const SpeedRequest& request) {
    int64_t most = request.prompt;
    for (const int64_t batch : request.batches) most = std::max(most, batch);
    return most;
  }

  size_t rounds() const { return static_cast<size_t>(request_.rounds); }

  // Rounds of rate(): tokens/s and share.
  Rate measure(int64_t batch, const std::function<Rate()>& rate, const std::function<bool()>& go_on) {
    std::vector<double> rates, shares;
    for (size_t round = 0; round < rounds(); ++round) {
      const Rate now = rate();
      rates.push_back(now.tokens_per_second);
      shares.push_back(now.share);
      if (!go_on()) break;
    }
    return {batch, median(rates), median(shares)};
  }

  // Mean seconds per call, over as many calls as fill the time of a measurement.
  double seconds_per(const std::function<void()>& work) {
    double spent = 0;
    int64_t times = 0;
    while (spent < request_.seconds) {
      spent += seconds_of(work);
      ++times;
    }
    return spent / static_cast<double>(times);
  }

  // The peak is a constant of the machine: the best of all measurements, since other programs can only lower
  // it.
  static void measure_again(kernels::MachinePeak& peak) {
    const kernels::MachinePeak now = kernels::measure_peak(threads());
    peak.f32_gflops = std::max(peak.f32_gflops, now.f32_gflops);
    peak.bf16_gflops = std::max(peak.bf16_gflops, now.bf16_gflops);
    peak.int8_gigaops = std::max(peak.int8_gigaops, now.int8_gigaops);
    peak.read_gigabytes = std::max(peak.read_gigabytes, now.read_gigabytes);
  }

  double products_peak(const kernels::MachinePeak& peak) const {
    return 1e9 * (peak.bf16_gflops > 0 ? peak.bf16_gflops : peak.f32_gflops);
  }

  Rate prompt_rate(Speed& speed) {
    measure_again(speed.peak);
    State state = runner_.new_state();
    const std::span<const int32_t> tokens = part(request_.prompt);
    const Sequences sequences = Sequences::uniform(1, request_.prompt);
    const double seconds = seconds_per([&] {
      state.reset();
      runner_.last_logits(tokens, sequences, state);
    });
    const auto count = static_cast<double>(request_.prompt);
    const double flops = 2 * (static_cast<double>(cost_.multiplications - cost_.of_head) * count +
                              static_cast<double>(cost_.of_head));
    return {1, count / seconds, flops / seconds / products_peak(speed.peak)};
  }

  Rate decode_rate(int64_t batch, const Speed& speed, std::vector<double>& reads) {
    std::vector<State> states = runner_.new_states(batch);
    const Sequences sequences = Sequences::uniform(batch, 1);
    decode(sequences, states);
    const double bandwidth = meter_.measure();
    const double seconds = seconds_per([&] { decode(sequences, states); });
    reads.push_back(std::max(bandwidth, meter_.measure()));
    const double flops = 2 * static_cast<double>(cost_.multiplications * batch);
    const double least =
        std::max(static_cast<double>(cost_.weight_bytes) / reads.back(), flops / products_peak(speed.peak));
    return {batch, static_cast<double>(batch) / seconds, least / seconds};
  }

  void decode(const Sequences& sequences, StateSpan states) {
    at_ = (at_ + sequences.count()) % repeat_after;
    runner_.last_logits(part(sequences.count(), at_), sequences, states);
  }

  std::span<const int32_t> part(int64_t count, int64_t from = 0) const {
    return {tokens_.data() + from, static_cast<size_t>(count)};
  }

  Runner& runner_;
  const SpeedRequest& request_;
  const TokenCost cost_;
  const kernels::ReadMeter meter_;
  const std::vector<int32_t> tokens_;
  int64_t at_ = 0;
};

}  // namespace

Speed measure_speed(Runner& runner, const SpeedRequest& request,
                    const std::function<bool(double)>& progress) {
  return Measurement(runner, request).run(progress);
}

}  // namespace aviary
