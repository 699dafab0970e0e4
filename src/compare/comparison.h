// Trains several versions ("members"), one after another, on the same batches, and writes a report about
// them.
#pragma once

#include <cstdio>
#include <filesystem>
#include <vector>

#include "compare/ledger.h"
#include "compare/member.h"
#include "data/corpus.h"
#include "text/tokenizer.h"

namespace aviary {

struct ComparisonOptions {
  std::vector<Member> members;
  // Text, sizes, batches and schedule of all members. With minutes > 0 the number of steps is chosen so that
  // all members together take about that long. Betas, epsilon, clipping and whether matrices have weight
  // decay are those of each version.
  TrainConfig shared;
  bool own_recipes = false;   // learning rates are those of each version, too
  bool warmup_given = false;  // else it is at most a fifth of the steps
  std::filesystem::path folder;
  std::FILE* out = stdout;
};

enum class ComparisonEnd : uint8_t { finished, some_failed, interrupted };

// The settings of a member's run; `steps` 0: as in options.shared. Throws Error if they are invalid.
TrainConfig member_config(const ComparisonOptions& options, const Member& member, int64_t steps);

// The ledger of the comparison to be continued in the folder, or that of a new one; writes nothing. Throws
// Error if the folder has a comparison with other settings, or unrelated files.
Ledger open_comparison(const std::filesystem::path& folder, const std::string& asked);

// Throws Error if there is too little text for training or measuring.
void check_corpus(const Corpus& data, const TrainConfig& shared);

// The folder contains
//   compare.json               the requested settings, and the number of steps
//   <member>/                  its run folder, with its measurements (measures.json)
//   compare.html, *.csv, *.svg the report and its numbers, rewritten after every member
// Called again, after Ctrl-C or a kill or with more members, it does only what has not been done yet.
ComparisonEnd run_comparison(const ComparisonOptions& options, Ledger ledger, const TokenizerPtr& tokenizer,
                             const Corpus& data);

// The files of a comparison in its folder, without the runs of its members.
std::vector<std::filesystem::path> files_of_comparison(const std::filesystem::path& folder);

}  // namespace aviary
