// aviary vocab: vocabularies.
#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "cli/cli.h"
#include "cli/outputs.h"

namespace aviary::cli {
namespace {

struct VocabFlags {
  std::string text, out;
  int32_t size = 8192;
};

int train_vocabulary_file(const VocabFlags& flags) {
  require_apart(flags.out, {flags.text});
  const TextFile file = open_text_to_learn(flags.text);
  AtomicFile out(flags.out);  // checks that it can be written before the work starts
  const std::string vocabulary = learn_vocabulary(file.text(), flags.size);
  if (vocabulary.empty()) {
    fmt::print("Stopped; nothing was written.\n");
    return interrupt_exit_code();
  }
  out.write(vocabulary);
  out.commit();
  const TokenizerPtr tokenizer = make_world_tokenizer(vocabulary);
  const auto tokens = std::ssize(tokenizer->encode(file.text()));
  fmt::print("{}: {} tokens. The text, {} bytes, is {} of them: {:.2f} bytes each\n", flags.out,
             with_commas(tokenizer->vocab_size()), with_commas(std::ssize(file.text())), with_commas(tokens),
             static_cast<double>(file.text().size()) / static_cast<double>(tokens));
  if (tokenizer->vocab_size() < flags.size)
    fmt::print("The text is too short for {} tokens worth having.\n", with_commas(flags.size));
  return 0;
}

Action add_vocab(CLI::App& command) {
  auto flags = std::make_shared<VocabFlags>();
  command.require_subcommand(1);
  CLI::App* train = command.add_subcommand("train", "Learn a vocabulary from a text, in the World format");
  train
      ->add_option("text", flags->text, "The file with the text to learn from (UTF-8); -: the standard input")
      ->required();
  train->add_option("--size", flags->size, "Tokens, with the 256 bytes and the end of text")
      ->check(bounds(257, 65536))
      ->capture_default_str();
  train->add_option("--out", flags->out, "The vocabulary file to write")->required();
  return [flags] { return train_vocabulary_file(*flags); };
}

const Registration vocab_command({"vocab", CommandGroup::text, 3, "Learn a vocabulary", add_vocab});

}  // namespace
}  // namespace aviary::cli
