// Texts through HTTP beside the same texts from the engine alone, in one process: tokens/s of 1, 8 and 32
// streams, and how much sooner a known prompt begins. The two take turns; medians.
//   aviary train TEXT --tokenizer VOCABULARY --layers 12 --width 768 --steps 1 --out big
//   aviary convert big big.safetensors --type bf16
//   serve_bench big.safetensors
// --first, --long-prompts, --hostile and --minutes measure other things instead (serve_load.h).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/error.h"
#include "checkpoints/open_model.h"
#include "http/client.h"
#include "serve/local_service.h"
#include "serve/protocols.h"
#include "serve/states.h"
#include "serve/web.h"
#include "serve_load.h"

namespace {

using namespace aviary;
using bench::body_of;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

constexpr int prompt_tokens = 8;

std::vector<int32_t> prompt_of(int stream) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < prompt_tokens; ++i) tokens.push_back(100 + (stream * 31 + i * 7) % 150);
  return tokens;
}

// Seconds that the engine needs for all texts.
double engine_seconds(const std::string& file, int streams, int64_t tokens) {
  static const Checkpoint checkpoint = open_model(file);
  Runner runner(*checkpoint.model);
  Engine engine(runner, *checkpoint.tokenizer);
  for (int i = 0; i < streams; ++i)
    engine.submit({.tokens = prompt_of(i),
                   .writing = {.tokens = tokens,
                               .sampling = {.presence_penalty = 0, .frequency_penalty = 0},
                               .stop_at_end_of_text = false}});
  const Clock::time_point start = Clock::now();
  while (engine.step()) {
  }
  return seconds_since(start);
}

struct Served {
  double seconds = 0;        // of all texts
  double first_seconds = 0;  // until the first event of the first text
};

Served http_seconds(const std::string& address, const std::vector<std::string>& bodies) {
  const Clock::time_point start = Clock::now();
  std::vector<double> first(bodies.size(), 0);
  std::vector<std::thread> clients;
  for (size_t i = 0; i < bodies.size(); ++i)
    clients.emplace_back([&, i] {
      const http::HttpClient client(address);
      client.stream("POST", "/v1/completions", {{"Content-Type", "application/json"}}, bodies[i],
                    [&, i](std::string_view bytes) {
                      if (first[i] == 0 && bytes.find("\"text\":") != std::string_view::npos)
                        first[i] = seconds_since(start);
                      return true;
                    });
    });
  for (std::thread& client : clients) client.join();
  return {seconds_since(start), first[0]};
}

void compare_speed(const std::string& file, const std::string& address, int64_t tokens, int rounds) {
  fmt::print("streams  engine tokens/s  HTTP tokens/s  share\n");
  for (const int streams : {1, 8, 32}) {
    std::vector<double> engine, served, shares;
    for (int round = 0; round < rounds; ++round) {
      std::vector<std::string> bodies;
      for (int i = 0; i < streams; ++i) bodies.push_back(body_of(prompt_of(i + 100 * (round + 1)), tokens));
      const auto all = static_cast<double>(tokens * streams);
      engine.push_back(all / engine_seconds(file, streams, tokens));
      served.push_back(all / http_seconds(address, bodies).seconds);
      shares.push_back(served.back() / engine.back());
    }
    fmt::print("{:7}  {:15.1f}  {:13.1f}  {:4.0f} %\n", streams, median(engine), median(served),
               100 * median(shares));
  }
}

void compare_first_token(const std::string& address) {
  constexpr int length = 4000, rounds = 3;
  std::vector<double> unknown, known;
  for (int round = 0; round < rounds; ++round) {
    std::vector<int32_t> prompt;
    for (int i = 0; i < length; ++i) prompt.push_back(100 + (i * i + round * 77) % 150);
    const std::vector<std::string> body{body_of(prompt, 1)};
    unknown.push_back(http_seconds(address, body).first_seconds);
    known.push_back(http_seconds(address, body).first_seconds);
  }
  fmt::print("first token of a prompt of {} tokens: {:.1f} ms, known {:.2f} ms, {:.0f} times sooner\n",
             length, 1000 * median(unknown), 1000 * median(known), median(unknown) / median(known));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Texts through HTTP beside the same texts from the engine alone.");
  std::string file;
  int64_t tokens = 64;
  int rounds = 5;
  app.add_option("model", file, "A model file with its tokenizer")->required();
  app.add_option("--tokens", tokens, "Tokens of each text")->capture_default_str();
  app.add_option("--rounds", rounds, "Pairs of measurements")->capture_default_str();
  bool first = false, long_prompts = false, hostile = false;
  double minutes = 0;
  app.add_flag("--first", first, "The first token of a prompt beside the engine's time for it");
  app.add_flag("--long-prompts", long_prompts, "The time of tokens beside long prompts");
  app.add_flag("--hostile", hostile, "Short requests beside idle connections, slow senders and slow readers");
  app.add_option("--minutes", minutes, "64 streams for so long (default: not)");
  CLI11_PARSE(app, argc, argv);
  try {
    ServedModel served{.name = "model"};
    served.host.file = file;
    served.host.open = [&] { return open_model(file); };
    LocalService service({.models = {served}});
    service.load("model");
    Router router(service, {});
    add_openai(router);
    add_states(router);
    Web web(router);
    http::HttpServer server({.port = 0, .limits = {.connections = 2000}}, web);
    std::thread network([&] { server.run(); });
    const bench::LoadTarget target{.file = file, .address = server.address(), .port = server.port()};
    if (first) measure_first_token(target, rounds);
    if (long_prompts) measure_long_prompts(target, rounds);
    if (hostile) measure_hostile(target, rounds);
    if (minutes > 0) measure_streams(target, minutes);
    if (!first && !long_prompts && !hostile && minutes == 0) {
      compare_speed(file, server.address(), tokens, rounds);
      compare_first_token(server.address());
    }
    server.stop(1);
    network.join();
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
