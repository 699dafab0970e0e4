// Finds, checks and learns the tokenizer of a command.
#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "text/vocabulary_trainer.h"

namespace aviary::cli {

void TokenizerFlags::add_to(CLI::App& command) {
  command.add_option("--model", model, "Take the tokenizer of this model (default: the newest run)");
  command.add_option("--tokenizer", tokenizer,
                     fmt::format("Take this tokenizer: {} (default: that of --model)", tokenizer_kinds));
  command.add_flag("--force", force, "Take --tokenizer also where --model was trained with another one");
}

TokenizerPtr TokenizerFlags::open() const {
  if (model.empty() && !tokenizer.empty()) return open_tokenizer(tokenizer);
  if (model.empty() && !newest_run())
    fail(
        "no tokenizer was named (--tokenizer FILE, or --model FILE for that of a model) and there is no run "
        "below {}/ to take it from",
        runs_folder);
  const std::filesystem::path path = find_model(model);
  if (tokenizer.empty()) {
    TokenizerPtr its = tokenizer_of_model(path);
    require(its != nullptr, "{}: the file carries no tokenizer; name its vocabulary with --tokenizer FILE",
            path.string());
    return its;
  }
  const TensorFile file = read_tensor_file(path);
  const ModelConfig config = config_of(file, path.string());
  const TokenizerPtr own = tokenizer_of(file, path.string(), config);
  return open_tokenizer_for(tokenizer, config, known_tokenizer_hash(file.metadata(), own.get()),
                            path.string(), force);
}

std::string learn_vocabulary(std::string_view text, int32_t size) {
  const InterruptGuard guard;
  constexpr int64_t all = 1000;
  Progress progress({.label = "vocabulary", .total = all, .unit = "", .summary = false});
  return train_vocabulary(text, size, {.progress = [&](double done) {
                            progress.update(static_cast<int64_t>(done * all));
                            return !guard.interrupted();
                          }});
}

}  // namespace aviary::cli
