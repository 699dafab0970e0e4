#include "cli/train_inputs.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/human.h"
#include "cli/settings.h"
#include "cli/tune_inputs.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

// A text may have a comma in its name.
fs::path path_in(const std::string& text) { return text.substr(0, text.find(',')); }

bool names_tokens(const std::string& text) {
  const fs::path path = path_in(text);
  if (names_token_file(path)) return true;
  if ((path.extension() != ".bin" && path.extension() != ".idx") || !fs::exists(path)) return false;
  const TokenPaths paths(path);
  fail("{}: tokens are two files, and {} is not there; aviary data build makes both", path.string(),
       (fs::exists(paths.bin) ? paths.idx : paths.bin).string());
}

std::shared_ptr<const TokenData> read(const std::vector<DataRequest>& requests, const Tokenizer& tokenizer,
                                      int64_t validation_bytes) {
  TokenCorpus corpus(requests, tokenizer, validation_bytes);
  if (corpus.repeated() > 0)
    tell(fmt::format(
        "{} documents that are kept for validation are also in the part that is trained on, so the "
        "validation says too little (was the file built with --epochs?)",
        with_commas(corpus.repeated())));
  return std::make_shared<TokenData>(std::move(corpus));
}

}  // namespace

bool name_tokens(const std::vector<std::string>& texts) {
  const auto tokens = std::count_if(texts.begin(), texts.end(), names_tokens);
  require(
      tokens > 0 || texts.size() == 1,
      "train: learns from one text, but {} are named; join them (cat A B > both.txt), or make tokens of them "
      "(aviary data build A B --out both.bin)",
      texts.size());
  require(tokens == 0 || tokens == std::ssize(texts),
          "train: there are texts beside files of tokens; make tokens of all (aviary data build)");
  return tokens > 0;
}

std::shared_ptr<const TokenData> read_tokens(const std::vector<std::string>& texts,
                                             const Tokenizer& tokenizer, int64_t validation_bytes) {
  std::vector<DataRequest> requests;
  std::set<fs::path> seen;
  for (const std::string& text : texts) {
    requests.push_back(data_request(text));
    const std::string place = absolute_path(TokenPaths(requests.back().path).bin);
    require(seen.insert(place).second, "{}: the file is named twice; give it a weight instead", place);
  }
  return read(requests, tokenizer, validation_bytes);
}

Facts::Text facts_of(const TokenData& data) {
  const TokenCorpus& corpus = data.corpus();
  Facts::Text facts;
  facts.hash = corpus.hash();
  for (const TokenCorpus::Part& part : corpus.parts()) {
    facts.path = absolute_path(part.file.name());
    facts.files[facts.path] = part.weight;
    facts.bytes += part.bytes;
  }
  return facts;
}

TrainConfig with_tokens_at(const TrainConfig& config, const std::vector<std::string>& texts) {
  std::vector<std::string> places;
  for (const std::string& text : texts)
    places.push_back(names_token_file(text) ? TokenPaths(text).bin.string() : text);
  return with_data_at(config, places, "--text");
}

std::shared_ptr<const TokenData> read_tokens_of_run(const TrainConfig& config, const Tokenizer& tokenizer,
                                                    bool moved) {
  std::vector<DataRequest> requests;
  for (const auto& [path, weight] : config.data) {
    require(fs::exists(path),
            "{}: No such file or directory: the run learned from it; if it has moved, say where it is now: "
            "--text FILE",
            path);
    requests.push_back({path, weight});
  }
  auto data = read(requests, tokenizer, config.validation_bytes);
  require(data->corpus().hash() == config.text_hash, "{}: {}", config.data.begin()->first,
          moved ? "these are not the tokens of the run; name those, or start a new run"
                : "the tokens have changed since the run began; restore them, or start a new run");
  return data;
}

}  // namespace aviary::cli
