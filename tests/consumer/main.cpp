// Uses the installed library as any other program would: consumer MODEL runs the model and catches an error.
#include <aviary/aviary.hpp>

#include <cmath>
#include <cstdio>
#include <cstring>

namespace {

bool throws_error(aviary::Model& model) {
  aviary::State state = model.new_state();
  const int32_t outside = -1;
  try {
    model.forward({&outside, 1}, state);
  } catch (const aviary::Error& error) {
    std::printf("as expected: %s\n", error.what());
    return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  std::printf("aviary %s\n", aviary::version());
  if (argc != 2 || std::strcmp(aviary::version(), AVIARY_VERSION) != 0) return 1;
  aviary::Model model = aviary::Model::load(argv[1]);
  aviary::State state = model.new_state();
  const std::vector<int32_t> tokens{1, 2, 3};
  const std::vector<float> logits = model.forward(tokens, state);
  double sum = 0;
  for (float logit : logits) sum += static_cast<double>(logit);
  std::printf("%zu logits, their sum is %f\n", logits.size(), sum);
  return static_cast<int64_t>(logits.size()) == model.vocab_size() && std::isfinite(sum) &&
                 throws_error(model)
             ? 0
             : 1;
}
