// Trains members of the family one after the other on the same batches, and writes a page about them.
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
  // Text, sizes, batches and schedule of all. With minutes > 0 the steps are chosen so that all members
  // together take about so long. Betas, epsilon, clipping and whether matrices decay are each version's own.
  TrainConfig shared;
  bool own_recipes = false;   // learning rates, too
  bool warmup_given = false;  // else it is at most a fifth of the steps
  std::filesystem::path folder;
  std::FILE* out = stdout;
};

enum class ComparisonEnd : uint8_t { finished, some_failed, interrupted };

// The settings of a member's run; `steps` 0: as many as options.shared says. Throws Error when they cannot
// be.
TrainConfig member_config(const ComparisonOptions& options, const Member& member, int64_t steps);

// What the folder remembers of the comparison that is to go on in it, or the beginning of a new one; writes
// nothing. Throws Error when the folder has a comparison with other settings, or files of something else.
Ledger open_comparison(const std::filesystem::path& folder, const std::string& asked);

// Throws Error when there is too little text to train on or to measure with.
void check_corpus(const Corpus& data, const TrainConfig& shared);

// The folder holds
//   compare.json               what was asked for, and the steps of every member
//   <member>/                  its run folder, and what was measured of it (measures.json)
//   compare.html, *.csv, *.svg the page and its numbers, written anew after every member
// Called again after Ctrl-C, a kill or with more members, it does only what is not done yet.
ComparisonEnd run_comparison(const ComparisonOptions& options, Ledger ledger, const TokenizerPtr& tokenizer,
                             const Corpus& data);

}  // namespace aviary
