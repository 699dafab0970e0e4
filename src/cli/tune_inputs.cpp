#include "cli/tune_inputs.h"

#include <algorithm>

#include "base/error.h"
#include "base/human.h"
#include "base/platform.h"
#include "base/quotes.h"
#include "cli/cli.h"
#include "cli/settings.h"
#include "formats/format.h"
#include "models/registry.h"

namespace aviary::cli {

namespace fs = std::filesystem;

namespace {

TokenizerPtr tokenizer_for(const TensorFile& file, const Base& base, const std::string& name, bool any) {
  const std::string where = base.path.string();
  const TokenizerPtr own = tokenizer_of(file, where, base.config);
  if (!name.empty())
    return open_tokenizer_for(name, base.config, known_tokenizer_hash(file.metadata(), own.get()), where,
                              any);
  if (!own && base.config.vocab_size == 256) return make_bytes_tokenizer();
  require(own != nullptr, "{}: the file has no tokenizer; name it with --tokenizer: {}", where,
          tokenizer_kinds);
  return own;
}

}  // namespace

Base read_base(const fs::path& path, const std::string& tokenizer, bool any_tokenizer, bool after_state) {
  Base base{.path = model_file_at(path),
            .config = {},
            .metadata = {},
            .info = {},
            .tokenizer = {},
            .begin_token = {}};
  const TensorFile file = read_tensor_file(base.path);
  const std::string where = base.path.string();
  base.config = config_of(file, where);
  base.metadata = file.metadata();
  base.info = base_info_of(file, base.path);
  for (const TensorEntry& tensor : file.tensors()) {
    int64_t count = 1;
    for (int64_t size : tensor.shape) count *= size;
    base.parameters += count;
    base.bytes += std::ssize(tensor.data);
    base.quantized = base.quantized || is_quantized(tensor.dtype);
  }
  base.tokenizer = tokenizer_for(file, base, tokenizer, any_tokenizer);
  if (!after_state) base.begin_token = begin_token_of(base.metadata, *base.tokenizer, where);
  return base;
}

namespace {

std::map<std::string, std::string> renames(const std::string& list) {
  std::map<std::string, std::string> result;
  for (size_t begin = 0; begin < list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const std::string pair = list.substr(begin, end - begin);
    const size_t equals = pair.find('=');
    require(equals != pair.npos && equals > 0 && equals + 1 < pair.size(),
            "--map {}: expected pairs of a key of the rows and the key that it is read as, as in "
            "question=prompt,answer=completion",
            in_quotes(list));
    result[pair.substr(0, equals)] = pair.substr(equals + 1);
    begin = end + 1;
  }
  return result;
}

Data read_rows_of(std::span<const DataFile> files, const Base& base, const TrainConfig& asked,
                  bool has_context) {
  DocumentOptions options{.begin_token = base.begin_token,
                          .end_token = base.tokenizer->end_of_text(),
                          .context = has_context ? asked.context : 0,
                          .truncate = asked.truncate,
                          .validation_share = asked.validation_share,
                          .seed = asked.seed};
  options.rows.rename = renames(asked.rename);
  options.rows.skip_broken = asked.skip_broken;
  options.rows.report = tell;
  Documents documents = read_documents(files, *base.tokenizer, options);
  if (documents.skipped > 0)
    tell(fmt::format("{} broken rows were left out", with_commas(documents.skipped)));
  require(!documents.train.empty(), "{}: there is no document to train on", files[0].input.name());
  Data data;
  std::map<std::string, std::string> hashes;  // in the order of config.json
  for (const DataFile& file : files) {
    const std::string path = fs::absolute(file.input.name()).lexically_normal().string();
    data.files[path] = file.weight;
    hashes[path] = hash_of(file.input.bytes());
  }
  for (const auto& [path, hash] : hashes) data.hash += hash;
  data.hash = hash_of(data.hash);
  data.documents = std::make_shared<DocumentData>(std::move(documents));
  return data;
}

Data read_text_of(const TextFile& file, const Base& base, int64_t validation_bytes) {
  file.require_words();
  return {.text = std::make_shared<TextData>(Corpus(file.text(), *base.tokenizer, validation_bytes)),
          .facts = text_facts(file),
          .hash = hash_of(file.text())};
}

}  // namespace

void tell(const std::string& note) { fmt::print(stderr, "note: {}\n", note); }

Data read_data(const std::vector<std::string>& requests, const Asked& asked, const Base& base) {
  std::vector<DataFile> files;
  for (const std::string& request : requests) {
    files.emplace_back(data_request(request));
    require(
        !files.back().input.is_stream(),
        "{}: a run must be able to read its data again, so it cannot come from a pipe; write it to a file",
        files.back().input.name());
  }
  const bool rows = holds_rows(files[0].input.bytes(), files[0].input.name());
  if (rows) return read_rows_of(files, base, asked.values, asked.has("context"));
  require(
      files.size() == 1,
      "{} is plain text: it can only be trained on alone; several files must hold rows of documents (jsonl)",
      files[0].input.name());
  return read_text_of(TextFile(data_request(requests[0]).path), base, asked.values.validation_bytes);
}

Data read_data_of_run(const TrainConfig& config, const Base& base) {
  Data data;
  if (config.text.empty()) {
    std::vector<DataFile> files;
    for (const auto& [path, weight] : config.data) files.emplace_back(DataRequest{path, weight});
    data = read_rows_of(files, base, config, config.truncate);
  } else {
    data = read_text_of(TextFile(config.text), base, config.validation_bytes);
  }
  require(data.hash == config.text_hash,
          "{}: the data has changed since the run began; restore it, or start a new run",
          config.text.empty() ? config.data.begin()->first : config.text);
  return data;
}

TuningFacts facts_of(const Base& base, const Data& data) {
  TuningFacts facts{.model = base.config,
                    .base = fs::absolute(base.path).lexically_normal().string(),
                    .base_hash = base.info.hash,
                    .base_type = base.info.type,
                    .quantized = base.quantized,
                    .base_bytes = base.bytes,
                    .parameters = base.parameters,
                    .tokenizer = base.tokenizer->kind(),
                    .text = data.facts,
                    .documents = data.files,
                    .data_hash = data.hash,
                    .tokens = data.any()->tokens(),
                    .free_memory = platform::available_memory()};
  if (data.documents)
    for (const Document& document : data.documents->documents().train) {
      facts.sequences += document.weight;
      facts.longest = std::max(facts.longest, std::ssize(document.tokens) - 1);
    }
  const auto model = create_model(base.config);
  const auto& state = model->state_specs();
  facts.carries_gradients =
      std::none_of(state.begin(), state.end(), [](const StateSpec& part) { return part.is_history(); });
  return facts;
}

namespace {

// The base, ready to be tuned: float32 numbers where all of it is trained, otherwise as it is stored.
std::unique_ptr<Model> open_base(const Base& base, const TrainConfig& config) {
  if (config.tuning.method == TuneMethod::full) return load_checkpoint(base.path).model;
  return open_checkpoint(base.path, config.precision).model;
}

}  // namespace

std::unique_ptr<Trainer> make_trainer(const TrainConfig& config, const Base& base, const Data& data) {
  auto trainer = std::make_unique<Trainer>(config, open_base(base, config), base.tokenizer, data.any());
  std::map<std::string, std::string> metadata = {
      {begin_token_key, base.begin_token ? begin_with_end_of_text : begin_with_nothing}};
  keep_metadata(base.metadata, metadata);
  trainer->set_result_metadata(metadata);
  return trainer;
}

}  // namespace aviary::cli
