#include "page/model_work.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <thread>

#include "numbers/encoding.h"
#include "page/child.h"
#include "page/file_end.h"
#include "serve/router.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr const char* output_name = "output";
constexpr int64_t most_printed = 64 << 10;  // bytes
constexpr int most_names = 1000;
constexpr auto patience = std::chrono::seconds(5);  // until a process that shall end is ended

// Blocks are stored in GGUF files only.
bool is_block_type(const std::string& type) {
  return std::any_of(block_types.begin(), block_types.end(), [&](Dtype of) { return name_of(of) == type; });
}

// A name beside the model that no file has: "model-q8_0.gguf", "model-q8_0-2.gguf".
fs::path new_file(const fs::path& model, const std::string& type) {
  const fs::path plain = model.lexically_normal();
  const fs::path file = plain.filename().empty() ? plain.parent_path() : plain;
  const char* ending = is_block_type(type) ? ".gguf" : ".safetensors";
  std::error_code error;
  const fs::path name = fs::is_directory(file, error) ? file.filename() : file.stem();
  for (int number = 1; number < most_names; ++number) {
    const fs::path out =
        file.parent_path() /
        fmt::format("{}-{}{}{}", name.string(), type, number == 1 ? "" : fmt::format("-{}", number), ending);
    if (!fs::exists(fs::symlink_status(out, error))) return out;
  }
  refuse_wish(fmt::format("there are too many files of this name beside {}", file.string()));
}

}  // namespace

const std::vector<std::string>& ModelWork::types() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const Dtype type : weight_types) list.emplace_back(name_of(type));
    return list;
  }();
  return names;
}

ModelWork::~ModelWork() {
  const std::lock_guard lock(mutex_);
  process_.interrupt();
  const auto end = std::chrono::steady_clock::now() + patience;
  while (process_.id() != 0 && !process_.exit_code()) {
    if (std::chrono::steady_clock::now() > end) process_.kill();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  forget_output();
}

void ModelWork::forget_output() {
  std::error_code ignored;
  if (!output_.empty()) fs::remove_all(output_, ignored);
  output_.clear();
}

ModelTask ModelWork::begin(ModelTask task, const std::vector<std::string>& command) {
  look();
  if (task_ && task_->state == ModelTask::State::running)
    refuse_wish(fmt::format("{} is being {}; wait until that is done, or stop it", task_->model,
                            task_->kind == ModelTask::Kind::convert ? "converted" : "measured"),
                "busy");
  std::error_code error;
  output_ = fs::temp_directory_path() / new_id("aviary-work-");
  const bool made = fs::create_directory(output_, error);  // not if somebody else has one of this name
  if (made) fs::permissions(output_, fs::perms::owner_all, error);
  if (!made || error)
    refuse_wish(fmt::format("{}: cannot be made: {}", output_.string(),
                            error ? error.message() : "there is something of this name"));
  try {
    process_ = started(program_, command, output_ / output_name);
  } catch (...) {
    forget_output();
    throw;
  }
  task.id = ++tasks_;
  task_ = std::move(task);
  return *task_;
}

ModelTask ModelWork::convert(const ModelFile& model, const std::string& type) {
  const std::lock_guard lock(mutex_);
  const fs::path in = fs::absolute(model.file), out = new_file(in, type);
  return begin({.kind = ModelTask::Kind::convert, .model = model.name, .file = out},
               {"convert", in.string(), out.string(), "--type", type});
}

ModelTask ModelWork::bench(const ModelFile& model) {
  const std::lock_guard lock(mutex_);
  return begin({.kind = ModelTask::Kind::bench, .model = model.name},
               {"bench", fs::absolute(model.file).string(), "--json"});
}

void ModelWork::look() {
  if (!task_ || task_->state != ModelTask::State::running) return;
  const std::optional<int> code = process_.exit_code();
  task_->text = end_of_file(output_ / output_name, most_printed);
  if (!code) return;
  task_->state = *code == 0 ? ModelTask::State::done : ModelTask::State::failed;
  if (*code != 0) task_->text = why_ended(task_->text, *code);
  forget_output();
}

std::optional<ModelTask> ModelWork::last() {
  const std::lock_guard lock(mutex_);
  look();
  return task_;
}

void ModelWork::stop() {
  const std::lock_guard lock(mutex_);
  look();
  process_.interrupt();
}

}  // namespace aviary
