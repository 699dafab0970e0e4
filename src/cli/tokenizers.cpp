// Finds, checks and learns the tokenizer of a command.
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "text/vocabulary_trainer.h"

namespace aviary::cli {

namespace {

constexpr int64_t largest_input = int64_t{4} << 30;

}  // namespace

void TokenizerFlags::add_to(CLI::App& command) {
  command.add_option("--model", model, "Take the tokenizer of this model (default: the newest run)");
  command.add_option("--tokenizer", tokenizer,
                     fmt::format("Take this tokenizer: {} (default: that of --model)", tokenizer_kinds));
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
  TokenizerPtr found = open_tokenizer(tokenizer);
  require_fit(*found, config_of(read_tensor_file(path), path.string()), path.string());
  return found;
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

std::string read_input(const std::string& path) {
  if (path != "-") return read_file(path, largest_input);
  std::string content;
  for (;;) {
    constexpr size_t piece = size_t{1} << 16;
    const size_t filled = content.size();
    content.resize(filled + piece);
    const size_t count = std::fread(content.data() + filled, 1, piece, stdin);
    content.resize(filled + count);
    require(!std::ferror(stdin), "the input cannot be read: {}", std::strerror(errno));
    require(std::ssize(content) <= largest_input, "the input is larger than {} bytes; cut it", largest_input);
    if (count == 0) return content;
  }
}

}  // namespace aviary::cli
