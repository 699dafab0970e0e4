// aviary serve: answers requests of clients of OpenAI, Anthropic, ollama and llama.cpp over HTTP.
#include <aviary/version.h>
#include <fmt/format.h>

#include <atomic>
#include <limits>
#include <thread>

#include "base/error.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "base/quotes.h"
#include "chat/chat_template.h"
#include "cli/access.h"
#include "cli/cli.h"
#include "cli/snapshots.h"
#include "cli/training_view.h"
#include "http/server.h"
#include "page/inside.h"
#include "page/page.h"
#include "serve/anthropic.h"
#include "serve/local_service.h"
#include "serve/ollama.h"
#include "serve/protocols.h"
#include "serve/responses.h"
#include "serve/states.h"
#include "serve/web.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct ServeFlags {
  ModelFlags model;  // what all models have in common
  AccessFlags access;
  std::vector<std::string> models, aliases;
  std::string chat_template, state;
  std::string cache_size = "1G", states_folder, folder_size = "4G", kept_size = "1G";
  int64_t port = 8080, texts = 64, loaded = 1, max_tokens = 4096, waiting = 256;
  SamplerOptions sampling = ServiceOptions().sampling;
};

std::string served_name(const fs::path& path) {
  const fs::path file = fs::is_directory(path) ? path.lexically_normal() : path;
  const std::string name = file.filename().empty()  ? file.parent_path().filename().string()
                           : fs::is_directory(file) ? file.filename().string()
                                                    : file.stem().string();
  return name.empty() ? "model" : name;
}

void tell_in_brackets(const std::string& sentence) { fmt::print(stderr, "[{}]\n", sentence); }

ServedModel served_model(const ServeFlags& flags, const std::string& path) {
  const fs::path file = find_model(path);
  ServedModel served{.name = served_name(path.empty() ? file.parent_path() : fs::path(path))};
  served.host.file = file;
  served.host.open = [model = flags.model, file] {
    Checkpoint checkpoint = model.open(file);
    print_notes(checkpoint.notes);
    return checkpoint;
  };
  served.host.any_base = flags.model.force;
  served.host.state = flags.state;
  served.host.chat_template = flags.chat_template.empty()
                                  ? chat_template_of_tuning(flags.model.adapters, flags.state)
                                  : flags.chat_template;
  served.host.engine.texts = flags.texts;
  served.host.cache.bytes = *parse_bytes(flags.cache_size);
  served.host.states_folder = flags.states_folder;
  served.host.states_folder_bytes = *parse_bytes(flags.folder_size);
  served.host.tell = tell_in_brackets;
  served.host.adapters = identity_of_tuning(flags.model.adapters, flags.state);
  return served;
}

std::vector<ModelFile> model_files(const ServiceOptions& options) {
  std::vector<ModelFile> models;
  for (const ServedModel& model : options.models) models.push_back({model.name, model.host.file});
  return models;
}

int serve(const ServeFlags& flags) {
  flags.access.require_safe();
  ServiceOptions options{.loaded_models = flags.loaded,
                         .waiting_tasks = flags.waiting,
                         .max_tokens = flags.max_tokens,
                         .sampling = flags.sampling};
  std::vector<std::string> paths = flags.models;
  if (paths.empty()) paths.emplace_back();
  require(flags.aliases.size() <= paths.size(), "{} of --alias, but {} models; give one for each",
          flags.aliases.size(), paths.size());
  for (size_t i = 0; i < paths.size(); ++i) {
    options.models.push_back(served_model(flags, paths[i]));
    if (i >= flags.aliases.size()) continue;
    options.models.back().aliases.push_back(options.models.back().name);
    options.models.back().name = flags.aliases[i];
  }
  options.states.bytes = *parse_bytes(flags.kept_size);
  if (!flags.states_folder.empty()) options.states.folder = fs::path(flags.states_folder) / "kept";
  options.states.tell = tell_in_brackets;
  LocalService service(options);
  load_model(service, options.models.front().name);
  Router router(service, {.keys = flags.access.all_keys(), .version = version(), .max_tokens = 0});
  add_openai(router);
  add_responses(router, std::make_shared<ResponseStore>(ResponseStore::Limits{}));
  add_states(router);
  add_page(router);
  add_training(router, {fs::path(runs_folder)}, flags.access.control, model_files(options));
  const auto inside = std::make_shared<Inside>(service);
  inside->add_to(router, inside);
  add_anthropic(router);
  add_ollama(router);
  add_llama(router);
  Web web(router);
  http::ServerOptions server{.host = flags.access.host, .port = static_cast<int>(flags.port)};
  server.origins.hosts = flags.access.hosts;
  server.origins.cors_origins = flags.access.origins;
  http::HttpServer listening(server, web);
  InterruptGuard guard;
  std::atomic<bool> done = false;
  std::thread watch([&] {
    while (!done && !guard.interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (!done) fmt::print(stderr, "Ending: running requests have 10 s (Ctrl-C again: at once).\n");
    listening.stop(10);
  });
  const ModelInfo model = service.model(options.models.front().name);
  fmt::print(stderr, "{}: {} with {} parameters, {}, chat template {}.\n", model.name, model.version,
             with_commas(model.parameters), model.type, model.chat_template);
  for (size_t i = 1; i < options.models.size(); ++i)
    fmt::print(stderr, "{}: loaded when it is asked for.\n", options.models[i].name);
  fmt::print("Listening on {}\n", listening.address());
  std::fflush(stdout);
  listening.run();
  done = true;
  watch.join();
  return 0;
}

// What is written, and how much at once.
void add_texts(CLI::App& command, ServeFlags& flags) {
  const std::string group = "Texts";
  auto add = [&](const char* name, auto& value, const CLI::Validator& limits, const char* help) {
    command.add_option(name, value, help)->check(limits)->capture_default_str()->group(group);
  };
  command
      .add_option("--chat-template", flags.chat_template,
                  fmt::format("How conversations are written: {} (default: found from the model)",
                              fmt::join(chat_template_names(), ", ")))
      ->check(CLI::IsMember(chat_template_names()))
      ->group(group);
  add("--temperature", flags.sampling.temperature, number_bounds(0, 100, "0 or more"),
      "Where a request names none; 0: always the most probable token");
  add("--top-p", flags.sampling.top_p, number_bounds(std::numeric_limits<double>::min(), 1, "above 0, to 1"),
      "Where a request names none");
  add("--max-tokens", flags.max_tokens, bounds(1), "Tokens of a text whose request has no limit");
  add("--parallel", flags.texts, bounds(1, 4096), "Texts that are written at the same time; others wait");
  add("--queue", flags.waiting, bounds(1), "Requests that may run or wait; more are refused with 429");
  add("--loaded-models", flags.loaded, bounds(1),
      "Models in memory at the same time; the one that was not used for longest goes");
  const CLI::Validator is_size(
      [](const std::string& text) {
        return parse_bytes(text) ? std::string()
                                 : fmt::format("{} is not a size, as 512M or 2G", in_quotes(text));
      },
      "SIZE");
  command
      .add_option("--state-cache", flags.cache_size,
                  "Memory for states of texts that were read, so that they are not read again; 0: none")
      ->check(is_size)
      ->capture_default_str()
      ->group(group);
  command
      .add_option(
          "--state-folder", flags.states_folder,
          "Keep states of ends of messages in this folder, for the time after a restart (default: no)")
      ->group(group);
  command
      .add_option("--kept-states", flags.kept_size,
                  "Size of all states that clients keep (/v1/states), also in --state-folder; those that "
                  "were not used for longest go")
      ->check(is_size)
      ->capture_default_str()
      ->group(group);
  command.add_option("--state-folder-size", flags.folder_size, "Largest size of that folder")
      ->check(is_size)
      ->capture_default_str()
      ->needs("--state-folder")
      ->group(group);
}

Action add_serve(CLI::App& command) {
  auto flags = std::make_shared<ServeFlags>();
  command.add_option("models", flags->models,
                     "Model files or folders; the first is loaded at once, others when they are asked for "
                     "(default: the newest run)");
  flags->access.add_host_to(command);
  command.add_option("--port", flags->port, "Port; 0: any free one")
      ->check(bounds(0, 65535))
      ->capture_default_str();
  command.add_option("--alias", flags->aliases,
                     "Name for clients, one for each model in order (default: that of the file)");
  add_texts(command, *flags);
  flags->access.add_to(command);
  flags->access.add_origins_to(command);
  flags->model.add_running_to(command);
  command
      .add_option(
          "--state", flags->state,
          "Begin every text with this tuned state (aviary tune --method state; default: the model's own)")
      ->group(model_group);
  return [flags] { return serve(*flags); };
}

const Registration serve_command({"serve", CommandGroup::first, 5,
                                  "Answer clients of OpenAI, Anthropic, ollama and llama.cpp", add_serve});

}  // namespace
}  // namespace aviary::cli
