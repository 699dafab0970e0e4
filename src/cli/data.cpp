// aviary data: prepares texts.
#include <fmt/format.h>

#include "base/files.h"
#include "base/human.h"
#include "cli/cli.h"
#include "cli/data_build.h"
#include "cli/outputs.h"
#include "cli/rdata.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* held_out = "persuasion";

struct DataFlags {
  std::string rdb, out = "downloads/austen";
};

// Five novels to train on, and the sixth, Persuasion, for evaluation.
int write_novels(const DataFlags& flags) {
  const fs::path train_file = fs::path(flags.out) / "train.txt",
                 test_file = fs::path(flags.out) / "persuasion.txt";
  require_apart({train_file, test_file}, {flags.rdb});
  std::string train, test;
  for (const Novel& novel : read_novels(flags.rdb))
    (novel.name == held_out ? test : train) += unwrap(novel.lines);
  make_folders(flags.out);
  write_file_atomically(train_file, train);
  write_file_atomically(test_file, test);
  fmt::print("{}: train.txt (five novels, {} bytes) and persuasion.txt ({} bytes)\n", flags.out,
             with_commas(static_cast<int64_t>(train.size())), with_commas(static_cast<int64_t>(test.size())));
  return 0;
}

Action add_data(CLI::App& command) {
  auto flags = std::make_shared<DataFlags>();
  command.require_subcommand(1);
  CLI::App* austen =
      command.add_subcommand("austen", "Jane Austen's novels from Debian's package r-cran-janeaustenr");
  austen->add_option("rdb", flags->rdb, "Its file data/Rdata.rdb")->required();
  austen->add_option("--out", flags->out, "The folder to write to")->capture_default_str();
  CLI::App* build =
      command.add_subcommand("build", "Texts to the .bin and .idx of tokens that training reads");
  CLI::App* inspect =
      command.add_subcommand("inspect", "What is in a .bin of tokens: sizes, and samples as text");
  const Action run_build = add_data_build(*build), run_inspect = add_data_inspect(*inspect);
  return [=] {
    if (build->parsed()) return run_build();
    return inspect->parsed() ? run_inspect() : write_novels(*flags);
  };
}

const Registration data_command({"data", CommandGroup::text, 4, "Prepare texts", add_data});

}  // namespace
}  // namespace aviary::cli
