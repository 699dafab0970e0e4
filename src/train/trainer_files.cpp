// The files of a training run: its checkpoint, its result, its settings.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <span>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "checkpoints/adapter_writer.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/state_writer.h"
#include "formats/safetensors.h"
#include "train/trainer.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr const char* checkpoint_file = "checkpoint.safetensors";
constexpr const char* model_file = "model.safetensors";
constexpr const char* config_file = "config.json";
constexpr const char* fingerprint_key = "aviary.fingerprint";
constexpr const char* optimizer_steps_key = "aviary.optimizer_steps";
constexpr const char *best_key = "aviary.best_validation", *best_step_key = "aviary.best_step",
                     *worse_key = "aviary.validations_since_best", *guard_key = "aviary.losses",
                     *skipped_key = "aviary.skipped_passes", *vocabulary_key = "aviary.vocabulary";

TensorEntry entry_of(const std::string& name, const Tensor& tensor) {
  TensorEntry entry{.name = name, .dtype = tensor.dtype(), .shape = {}, .data = {}};
  for (int i = 0; i < tensor.shape().rank(); ++i) entry.shape.push_back(tensor.shape()[i]);
  entry.data = {static_cast<const std::byte*>(tensor.data()), static_cast<size_t>(tensor.bytes())};
  return entry;
}

// A hash of all data in the order of the file, so that damage anywhere in a checkpoint is detected.
std::string fingerprint_of(std::span<const TensorEntry> entries) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  for (const TensorEntry& entry : entries) XXH3_64bits_update(&state, entry.data.data(), entry.data.size());
  return fmt::format("{:016x}", XXH3_64bits_digest(&state));
}

void read_tensor(const TensorFile& file, const std::string& where, const std::string& name,
                 const Tensor& to) {
  const TensorEntry* entry = file.find(name);
  require(entry && entry->dtype == to.dtype() && static_cast<int64_t>(entry->data.size()) == to.bytes(),
          "{}: {} is missing or of another size: not a checkpoint of this run", where, name);
  std::memcpy(to.data(), entry->data.data(), entry->data.size());
}

std::span<std::byte> bytes_of(const Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data()), static_cast<size_t>(tensor.bytes())};
}

// The same, for all ranks; `file` is that of rank 0.
void read_for_all(const TensorFile& file, const std::string& where, const std::string& name, const Tensor& to,
                  Ranks& ranks) {
  if (ranks.speaks()) read_tensor(file, where, name, to);
  ranks.broadcast(bytes_of(to));
}

// A file with the metadata of rank 0's, except the vocabulary, which every rank has.
TensorFile metadata_for_all(const TensorFile& file, Ranks& ranks) {
  std::string text;
  for (const auto& [key, value] : file.metadata())
    if (key != vocabulary_key) text += fmt::format("{}={}\n", key, value);
  std::istringstream lines(ranks.broadcast(text));
  TensorTable table;
  for (std::string line; std::getline(lines, line);)
    table.metadata[line.substr(0, line.find('='))] = line.substr(line.find('=') + 1);
  return TensorFile({}, std::move(table));
}

int64_t read_number(const TensorFile& file, const std::string& where, const char* name) {
  auto found = file.metadata().find(name);
  require(found != file.metadata().end() && !found->second.empty() &&
              found->second.find_first_not_of("0123456789") == std::string::npos && found->second.size() < 19,
          "{}: the metadata entry {} is missing or not a number: not a checkpoint of a run", where, name);
  return std::stoll(found->second);
}

// The tokenizer of a checkpoint.
TokenizerPtr tokenizer_in(const TensorFile& file, const std::string& where) {
  auto kind = file.metadata().find("aviary.tokenizer"), vocabulary = file.metadata().find(vocabulary_key);
  require(kind != file.metadata().end(), "{}: the checkpoint names no tokenizer", where);
  return make_tokenizer(kind->second,
                        vocabulary == file.metadata().end() ? std::string_view() : vocabulary->second);
}

// Tokens that each carried state has read, as "128 128 0". Release 0.1 did not save them; its runs go on from
// 0.
std::string positions_of(const std::vector<State>& states) {
  std::string text;
  for (const State& state : states) text += fmt::format("{}{}", text.empty() ? "" : " ", state.position());
  return text;
}

void set_positions(std::vector<State>& states, const std::string& text, const std::string& where) {
  std::istringstream numbers(text);
  for (State& state : states) {
    int64_t position = -1;
    require(numbers >> position && position >= 0,
            "{}: the metadata entry aviary.state_positions is \"{}\", expected {} numbers", where, text,
            states.size());
    state.set_position(position);
  }
}

}  // namespace

const char* result_file_of(const TrainConfig& config) {
  switch (config.tuning.method) {
    case TuneMethod::full:
      return model_file;
    case TuneMethod::state:
      return "state.safetensors";
    default:
      return "adapter.safetensors";
  }
}

const char* Trainer::result_file() const { return result_file_of(config_); }

// The weights in a checkpoint: what is trained, and with TuneMethod::full the rest of the model as well.
std::vector<TrainedWeight> Trainer::saved_weights() const {
  if (config_.tuning.method != TuneMethod::full) return optimizer_.weights();
  std::vector<TrainedWeight> weights;
  for (Parameter& parameter : model_->parameters()) weights.emplace_back(parameter);
  return weights;
}

// Ranks that train by themselves have moments of the same names.
std::vector<Optimizer::Moment> Trainer::moments() const {
  const std::vector<Optimizer::Moment> own = optimizer_.moments();
  if (!outer_) return own;
  std::vector<Optimizer::Moment> all;
  for (int64_t rank = 0; rank < ranks_.count(); ++rank)
    for (Optimizer::Moment moment : own) {
      if (rank > 0) moment.name = fmt::format("rank{}.{}", rank, moment.name);
      if (rank != ranks_.rank()) moment.values = Tensor();
      moment.owner = rank;
      all.push_back(moment);
    }
  return all;
}

// Rank 0 needs memory for them only while it writes.
std::vector<OwnedTensor> Trainer::collect_moments(std::vector<Optimizer::Moment>& moments) const {
  std::vector<OwnedTensor> received;
  for (Optimizer::Moment& moment : moments) {
    if (moment.owner == 0) continue;
    if (ranks_.speaks()) {
      received.emplace_back(moment.shape, moment.dtype);
      moment.values = received.back().view();
      ranks_.exchange(moment.owner, {}, bytes_of(moment.values));
    } else if (moment.owner == ranks_.rank()) {
      ranks_.exchange(0, bytes_of(moment.values), {});
    }
  }
  return received;
}

// Of ranks that train by themselves, "12 12 11": one that met a gradient that was not finite has made fewer.
std::string Trainer::steps_of_optimizers() const {
  const std::string own = std::to_string(optimizer_.steps());
  if (!outer_) return own;
  std::string all;
  for (const std::string& steps : ranks_.gather(own)) all += (all.empty() ? "" : " ") + steps;
  return all;
}

void Trainer::set_steps_of_optimizers(const TensorFile& facts, const std::string& where) {
  auto found = facts.metadata().find(optimizer_steps_key);
  std::istringstream numbers(found == facts.metadata().end() ? "" : found->second);
  int64_t steps = -1;
  for (int64_t rank = 0; rank <= (outer_ ? ranks_.rank() : 0); ++rank)
    if (!(numbers >> steps)) steps = -1;
  require(steps >= 0, "{}: the metadata entry {} is missing or not a number: not a checkpoint of a run",
          where, optimizer_steps_key);
  optimizer_.set_steps(steps);
}

void Trainer::collect_states() const {
  const int64_t sequences = std::ssize(states_), each = config_.workers / ranks_.count();
  auto exchange = [&](int64_t partner, std::span<std::byte> bytes) {
    ranks_.speaks() ? ranks_.exchange(partner, {}, bytes) : ranks_.exchange(partner, bytes, {});
  };
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t worker = ((s + 1) * config_.workers - 1) / sequences, owner = worker / each;
    if (owner == 0 || (!ranks_.speaks() && owner != ranks_.rank())) continue;
    const int64_t partner = ranks_.speaks() ? owner : 0;
    State& state = states_[static_cast<size_t>(s)];
    int64_t sizes[] = {state.position(), state.capacity()};
    exchange(partner, std::as_writable_bytes(std::span(sizes)));
    state.reserve(sizes[1]);
    state.set_position(sizes[0]);
    for (size_t part = 0; part < state.size(); ++part) exchange(partner, bytes_of(state[part]));
  }
}

void Trainer::save(const fs::path& folder) const {
  tell(Order::save, 0);
  std::vector<Optimizer::Moment> moments = this->moments();
  const std::vector<OwnedTensor> received = collect_moments(moments);
  const std::string optimizer_steps = steps_of_optimizers();
  if (config_.carry_state) collect_states();
  if (!ranks_.speaks()) return;
  std::map<std::string, std::string> metadata = {
      {"aviary.step", std::to_string(step_)},
      {optimizer_steps_key, optimizer_steps},
      {"aviary.dropout_counter", std::to_string(dropout_random_.counter())},
  };
  std::vector<TensorEntry> entries;
  std::vector<OwnedTensor> carried;
  for (const TrainedWeight& saved : saved_weights())
    entries.push_back(entry_of(saved.spec->name, saved.weight->value()));
  for (const Optimizer::Moment& moment : moments) entries.push_back(entry_of(moment.name, moment.values));
  if (outer_)
    for (const OuterStep::Momentum& momentum : outer_->momenta())
      entries.push_back(entry_of(momentum.name, momentum.values));
  for (size_t i = 0; i < averages_.size(); ++i)
    entries.push_back(entry_of("ema." + optimizer_.weights()[i].spec->name, averages_[i].view()));
  if (config_.carry_state)
    for (size_t i = 0; i < model_->state_specs().size(); ++i) {
      carried.push_back(stacked(states_, i));
      entries.push_back(entry_of("state." + model_->state_specs()[i].name, carried.back().view()));
    }
  if (config_.carry_state) metadata["aviary.state_positions"] = positions_of(states_);
  if (best_ >= 0) {
    metadata[best_key] = fmt::format("{}", best_);  // the shortest text that gives the same number
    metadata[best_step_key] = std::to_string(best_step_);
    metadata[worse_key] = std::to_string(worse_);
  }
  metadata[guard_key] = guard_.text();
  if (skipped_passes_ > 0) metadata[skipped_key] = std::to_string(skipped_passes_);
  metadata["aviary.tokenizer"] = tokenizer_->kind();
  if (std::string vocabulary = tokenizer_->serialize(); !vocabulary.empty())
    metadata[vocabulary_key] = vocabulary;
  metadata[fingerprint_key] = fingerprint_of(entries);
  write_safetensors(folder / checkpoint_file, unchanged(entries), metadata);
  if (!keeps_best()) save_result(folder);
  if (averages_.empty()) return;
  swap_averages();
  save_result_to(folder / fmt::format("ema-{}", result_file()));
  swap_averages();
}

void Trainer::save_result(const fs::path& folder) const { save_result_to(folder / result_file()); }

void Trainer::save_result_to(const fs::path& path) const {
  // Names alone: where they lie on this machine is nobody's business, and changes.
  std::string trained_on = fs::path(config_.text).filename().string();
  for (const auto& [file, weight] : config_.data)
    trained_on += (trained_on.empty() ? "" : ", ") + fs::path(file).filename().string();
  const Tuning& tuning = config_.tuning;
  const BaseInfo base{.hash = tuning.base_hash,
                      .type = tuning.base_type,
                      .name = tuning.base_name,
                      .version = config_.model.version};
  if (tuning.method == TuneMethod::full) {
    std::map<std::string, std::string> metadata = result_metadata_;
    metadata["aviary.step"] = std::to_string(step_);
    if (!tuning.chat_template.empty()) metadata["tokenizer.chat_template"] = tuning.chat_template;
    return save_checkpoint(path, *model_, tokenizer_.get(), metadata);
  }
  if (tuning.method == TuneMethod::state)
    return save_state(path, first_state(), *model_,
                      {.base = base, .trained_on = trained_on, .chat_template = tuning.chat_template});
  std::vector<TensorEntry> whole;
  for (const TrainedWeight& parameter : parts_.parameters())
    whole.push_back(entry_of(parameter.spec->name, parameter.weight->value()));
  const int64_t rank = tuning.method == TuneMethod::pissa ? 2 * tuning.rank : tuning.rank;
  write_adapter(path,
                {.method = name_of(tuning.method),
                 .alpha = tuning.method == TuneMethod::lora ? tuning.alpha : static_cast<double>(rank),
                 .rank_stabilized = false,
                 .base = base,
                 .trained_on = trained_on,
                 .chat_template = tuning.chat_template},
                parts_.matrices(), whole);
}

namespace {

RunProgress progress_in(const TensorFile& file, const std::string& where) {
  RunProgress progress{.steps = read_number(file, where, "aviary.step")};
  if (auto best = file.metadata().find(best_key); best != file.metadata().end()) {
    std::istringstream(best->second) >> progress.best;
    progress.best_step = read_number(file, where, best_step_key);
  }
  return progress;
}

}  // namespace

void Trainer::load(const fs::path& folder) {
  tell(Order::load, 0);
  load_checkpoint(folder);
}

void Trainer::go_back(const fs::path& folder) {
  tell(Order::go_back, 0);
  const int64_t next = first_pass();
  load_checkpoint(folder);
  skipped_passes_ += next - first_pass();
}

// What rank 0 reads.
void Trainer::load_weights(const TensorFile& file, const std::string& where) {
  for (const TrainedWeight& saved : saved_weights()) {
    read_for_all(file, where, saved.spec->name, saved.weight->value(), ranks_);
    saved.weight->changed();
  }
  for (const Optimizer::Moment& moment : moments()) {
    if (moment.owner == ranks_.rank()) {
      ranks_.speaks() ? read_tensor(file, where, moment.name, moment.values)
                      : ranks_.exchange(0, {}, bytes_of(moment.values));
    } else if (ranks_.speaks()) {
      const OwnedTensor values(moment.shape, moment.dtype);
      read_tensor(file, where, moment.name, values.view());
      ranks_.exchange(moment.owner, bytes_of(values.view()), {});
    }
  }
  if (outer_) {
    for (const OuterStep::Momentum& momentum : outer_->momenta())
      read_for_all(file, where, momentum.name, momentum.values, ranks_);
    outer_->begin_round();
  }
  for (size_t i = 0; i < averages_.size(); ++i)
    read_for_all(file, where, "ema." + optimizer_.weights()[i].spec->name, averages_[i].view(), ranks_);
  if (config_.carry_state)
    for (size_t i = 0; i < model_->state_specs().size(); ++i) {
      const OwnedTensor carried = stacked(states_, i);
      read_for_all(file, where, "state." + model_->state_specs()[i].name, carried.view(), ranks_);
      for (size_t b = 0; b < states_.size(); ++b)
        copy(part_of(carried.view(), static_cast<int64_t>(b)), states_[b][i]);
    }
}

void Trainer::load_checkpoint(const fs::path& folder) {
  const std::string where = (folder / checkpoint_file).string();
  const TensorFile file = ranks_.speaks() ? read_tensor_file(where) : TensorFile({}, {});
  if (ranks_.speaks()) {
    auto fingerprint = file.metadata().find(fingerprint_key);
    require(fingerprint != file.metadata().end() && fingerprint->second == fingerprint_of(file.tensors()),
            "{}: the file is damaged: its content does not have the fingerprint that was written with it; "
            "start the run again in another folder",
            where);
    require(tokenizer_in(file, where)->hash() == tokenizer_->hash(),
            "{}: the run was trained with another tokenizer; give the one that it began with, or begin a new "
            "run",
            where);
  }
  load_weights(file, where);
  const TensorFile facts = metadata_for_all(file, ranks_);
  if (auto positions = facts.metadata().find("aviary.state_positions"); positions != facts.metadata().end())
    set_positions(states_, positions->second, where);
  set_steps_of_optimizers(facts, where);
  dropout_random_ = Random(dropout_random_.seed(),
                           static_cast<uint64_t>(read_number(facts, where, "aviary.dropout_counter")));
  if (auto losses = facts.metadata().find(guard_key); losses != facts.metadata().end())
    guard_.set(losses->second);
  skipped_passes_ = facts.metadata().contains(skipped_key) ? read_number(facts, where, skipped_key) : 0;
  const RunProgress progress = progress_in(facts, where);
  step_ = round_began_ = progress.steps;
  ranks_.note_steps(step_);
  best_ = progress.best;
  best_step_ = progress.best_step;
  if (best_ >= 0) worse_ = read_number(facts, where, worse_key);
}

RunProgress read_run_progress(const fs::path& folder) {
  const fs::path path = folder / checkpoint_file;
  return progress_in(read_tensor_file(path), path.string());
}

TrainConfig read_run_config(const fs::path& folder) {
  const fs::path path = folder / config_file;
  require(fs::exists(path), "{}: not the folder of a training run (there is no {})", folder.string(),
          config_file);
  return train_config_from_json(read_file(path, 1 << 20), path.string());
}

void write_run_config(const fs::path& folder, const TrainConfig& config) {
  write_file_atomically(folder / config_file, to_json(config));
}

TokenizerPtr read_run_tokenizer(const fs::path& folder) {
  const fs::path path = folder / checkpoint_file;
  return tokenizer_in(read_tensor_file(path), path.string());
}

}  // namespace aviary
