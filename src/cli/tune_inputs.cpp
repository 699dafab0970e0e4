#include "cli/tune_inputs.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "base/human.h"
#include "base/platform.h"
#include "base/quotes.h"
#include "cli/cli.h"
#include "cli/ranks.h"
#include "cli/settings.h"
#include "cli/texts.h"
#include "formats/format.h"
#include "models/registry.h"

namespace aviary::cli {

namespace fs = std::filesystem;

namespace {

TokenizerPtr tokenizer_of_base(const TensorFile& file, const Base& base, const std::string& name, bool any) {
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

// All but the tokenizer.
Base read_base_file(const TensorFile& file, const fs::path& path) {
  Base base{.path = path,
            .config = config_of(file, path.string()),
            .metadata = file.metadata(),
            .info = base_info_of(file, path)};
  for (const TensorEntry& tensor : file.tensors()) {
    base.parameters += count_of(tensor);
    base.quantized = base.quantized || is_quantized(tensor.dtype);
  }
  return base;
}

}  // namespace

Base read_base(const fs::path& path, const std::string& tokenizer, bool any_tokenizer, TuneMethod method) {
  const fs::path place = model_file_at(path);
  const TensorFile file = read_tensor_file(place);
  print_notes(file.notes());
  Base base = read_base_file(file, place);
  base.set_tokenizer(tokenizer_of_base(file, base, tokenizer, any_tokenizer), method);
  return base;
}

Base read_base_of_run(const fs::path& path, TokenizerPtr tokenizer, TuneMethod method) {
  const fs::path place = model_file_at(path);
  Base base = read_base_file(read_tensor_file(place), place);
  require_fit(*tokenizer, base.config, place.string());
  base.set_tokenizer(std::move(tokenizer), method);
  return base;
}

void Base::set_tokenizer(TokenizerPtr of_base, TuneMethod method) {
  tokenizer = std::move(of_base);
  if (method != TuneMethod::state) begin_token = begin_token_of(metadata, *tokenizer, path.string());
}

namespace {

void require_kept(const InputFile& input) {
  require(!input.is_stream(),
          "{}: a run must be able to read its data again, so it cannot come from a pipe; write it to a file",
          input.name());
}

struct HashedFile {
  std::string hash;
  DataFile file;
};

// Files of rows are read in the order of the hashes of their contents, so that a run that goes on reads the
// same documents in the same order, wherever its files are now.
std::vector<HashedFile> hashed_files(const WeightsByName& paths) {
  std::vector<HashedFile> files;
  for (const auto& [path, weight] : paths) {
    DataFile file(DataRequest{path, weight});
    require_kept(file.input);
    const std::string hash = hash_of(file.input.bytes());
    files.push_back({hash, std::move(file)});
  }
  std::sort(files.begin(), files.end(), [](const HashedFile& a, const HashedFile& b) {
    return std::tie(a.hash, a.file.weight) < std::tie(b.hash, b.file.weight);
  });
  return files;
}

Data read_rows_of(const WeightsByName& paths, const Base& base, const TrainConfig& asked, bool has_context) {
  Data data{.files = paths};
  std::vector<DataFile> files;
  for (HashedFile& one : hashed_files(paths)) {
    data.hash += one.hash;
    if (one.file.weight != 1) data.hash += fmt::format(" {}", one.file.weight);
    files.push_back(std::move(one.file));
  }
  data.hash = hash_of(data.hash);
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
  if (!documents.ignored_keys.empty()) {
    std::string keys;
    for (const std::string& key : documents.ignored_keys) keys += (keys.empty() ? "" : ", ") + in_quotes(key);
    tell("keys of the rows that are not read: " + keys + "; docs/texts.md lists those that are");
  }
  require(!documents.train.empty(), "{}: there is no document to train on", files[0].input.name());
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

void tell(const std::string& note) {
  if (speaks()) fmt::print(stderr, "note: {}\n", note);
}

Data read_data(const std::vector<std::string>& requests, const Asked& asked, const Base& base) {
  WeightsByName paths;
  bool rows = false;
  for (const std::string& text : requests) {
    const DataRequest request = data_request(text);
    const InputFile input(request.path);
    require_kept(input);
    rows = holds_rows(input.bytes(), input.name());
    require(rows || requests.size() == 1,
            "{} is plain text: it can only be trained on alone; several files must hold rows of documents "
            "(jsonl)",
            input.name());
    require(rows || request.weight == 1,
            "{}: a weight has no meaning for plain text, which is trained on alone", input.name());
    require(paths.emplace(absolute_path(request.path), request.weight).second,
            "{}: the file is named twice; give it a weight instead", input.name());
  }
  if (rows) return read_rows_of(paths, base, asked.values, asked.has("context"));
  const TextFile text(data_request(requests[0]).path);
  tell_rows(text);
  return read_text_of(text, base, asked.values.validation_bytes);
}

namespace {

// Which file of the run has moved to `place`: the only one, or that of the same name.
WeightsByName::const_iterator file_like(const WeightsByName& data, const fs::path& place,
                                        std::string_view flag) {
  if (data.size() == 1) return data.begin();
  auto name_of = [](const auto& file) { return fs::path(file.first).filename().string(); };
  auto same_name = [&](const auto& file) { return name_of(file) == place.filename().string(); };
  std::string names;
  for (const auto& file : data) names += (names.empty() ? "" : ", ") + name_of(file);
  require(std::count_if(data.begin(), data.end(), same_name) == 1,
          "{} {}: the run reads several files and knows them by their names, {}; which of them is this? "
          "Name a file that is called so",
          flag, in_quotes(place.string()), names);
  return std::find_if(data.begin(), data.end(), same_name);
}

void require_there(const std::string& path) {
  require(fs::exists(path),
          "{}: No such file or directory: this was data of the run; if it has moved, say where it is now: "
          "--data FILE",
          path);
}

}  // namespace

TrainConfig with_data_at(TrainConfig config, const std::vector<std::string>& requests,
                         std::string_view flag) {
  const bool is_text = !config.text.empty();
  const size_t count = is_text ? 1 : config.data.size();
  require(requests.size() == count, "{}: the run reads {} file{}, and {} {} named", flag, count,
          count == 1 ? "" : "s", requests.size(), requests.size() == 1 ? "is" : "are");
  WeightsByName moved;
  for (const std::string& text : requests) {
    const DataRequest request = data_request(text);
    require(request.weight == 1, "{} {}: the run keeps its weights; name the file alone", flag,
            in_quotes(text));
    const std::string place = absolute_path(request.path);
    if (is_text) {
      config.text = place;
      break;
    }
    const auto old = file_like(config.data, request.path, flag);
    require(moved.emplace(place, old->second).second, "{}: the file is named twice", place);
  }
  if (!is_text) config.data = moved;
  return config;
}

Data read_data_of_run(const TrainConfig& config, const Base& base, bool moved) {
  const bool is_text = !config.text.empty();
  if (is_text) require_there(config.text);
  for (const auto& [path, weight] : config.data) require_there(path);
  // A limit of the length decided only which documents were cut or left out.
  const Data data = is_text ? read_text_of(TextFile(config.text), base, config.validation_bytes)
                            : read_rows_of(config.data, base, config, config.truncate || config.skip_broken);
  require(data.hash == config.text_hash, "{}: {}", is_text ? config.text : config.data.begin()->first,
          moved ? "this is not the data of the run; name that, or start a new run"
                : "the data has changed since the run began; restore it, or start a new run");
  return data;
}

TuningFacts facts_of(const Base& base, const Data& data) {
  TuningFacts facts{.model = base.config,
                    .base = absolute_path(base.path),
                    .base_hash = base.info.hash,
                    .base_type = base.info.type,
                    .base_name = base.info.name,
                    .quantized = base.quantized,
                    .parameters = base.parameters,
                    .tokenizer = base.tokenizer->kind(),
                    .text = data.facts,
                    .documents = data.files,
                    .data_hash = data.hash,
                    .tokens = data.any()->tokens(),
                    .free_memory = platform::available_memory()};
  auto read_tokens = [](const Document& document) { return std::ssize(document.tokens) - 1; };
  if (data.documents) {
    for (const Document& document : data.documents->documents().train) {
      if (document.conversation) facts.chat_template = "world";
      facts.sequences += document.weight;
      facts.read_tokens += document.weight * static_cast<double>(read_tokens(document));
      facts.longest = std::max(facts.longest, read_tokens(document));
    }
    for (const Document& document : data.documents->documents().validation)
      facts.longest = std::max(facts.longest, read_tokens(document));
  }
  const auto model = create_model_without_numbers(base.config, Dtype::f32);
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

std::unique_ptr<Trainer> make_trainer(const TrainConfig& config, const Base& base, const Data& data,
                                      Ranks& ranks) {
  auto trainer =
      std::make_unique<Trainer>(config, open_base(base, config), base.tokenizer, data.any(), nullptr, ranks);
  std::map<std::string, std::string> metadata = {
      {begin_token_key, base.begin_token ? begin_with_end_of_text : begin_with_nothing}};
  keep_metadata(base.metadata, metadata);
  trainer->set_result_metadata(metadata);
  return trainer;
}

}  // namespace aviary::cli
