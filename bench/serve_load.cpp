#include "serve_load.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <mutex>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <thread>

#include "base/error.h"
#include "base/human.h"
#include "base/json.h"
#include "base/platform.h"
#include "checkpoints/open_model.h"
#include "http/client.h"
#include "infer/engine.h"

namespace aviary::bench {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

// Different from all prompts before.
std::vector<int32_t> new_prompt(int length) {
  static std::atomic<int> number = 0;
  const int which = ++number;
  std::vector<int32_t> tokens;
  for (int i = 0; i < length; ++i) tokens.push_back(100 + (i * i + which * 77 + i * which) % 150);
  return tokens;
}

// Streams a completion; `token` is called for each event with text. The status.
int stream(const LoadTarget& target, const std::string& body, const std::function<bool()>& token) {
  const http::HttpClient client(target.address);
  return client
      .stream("POST", "/v1/completions", {{"Content-Type", "application/json"}}, body,
              [&](std::string_view bytes) {
                bool goes_on = true;
                constexpr std::string_view text = "\"text\":";
                for (size_t at = bytes.find(text); at != bytes.npos && goes_on; at = bytes.find(text, at + 1))
                  goes_on = token();
                return goes_on;
              })
      .status;
}

double engine_prompt_seconds(Engine& engine, std::vector<int32_t> prompt) {
  double seconds = 0;
  engine.submit({.tokens = std::move(prompt),
                 .writing = {.tokens = 1, .stop_at_end_of_text = false},
                 .done = [&](Finished end) { seconds = end.prompt_seconds; }});
  while (engine.step()) {
  }
  return seconds;
}

// Clients that run until `ended`.
class Clients {
 public:
  explicit Clients(int count, const std::function<void(int client, const std::atomic<bool>& ended)>& work) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this, work, i] { work(i, ended_); });
  }
  ~Clients() {
    ended_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  std::atomic<bool> ended_ = false;
  std::vector<std::thread> threads_;
};

// Seconds between the tokens of 8 streams.
std::vector<double> token_seconds(const LoadTarget& target) {
  constexpr int streams = 8, tokens = 96;
  std::mutex mutex;
  std::vector<double> all;
  std::vector<std::thread> clients;
  for (int i = 0; i < streams; ++i)
    clients.emplace_back([&] {
      std::vector<double> own;
      Clock::time_point last = Clock::now();
      bool first = true;
      stream(target, body_of(new_prompt(8), tokens), [&] {
        if (!std::exchange(first, false)) own.push_back(seconds_since(last));
        last = Clock::now();
        return true;
      });
      const std::lock_guard lock(mutex);
      all.insert(all.end(), own.begin(), own.end());
    });
  for (std::thread& client : clients) client.join();
  return all;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Seconds of `count` short requests of 4 clients.
std::vector<double> request_seconds(const LoadTarget& target, int count) {
  std::mutex mutex;
  std::vector<double> all;
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i)
    clients.emplace_back([&] {
      std::vector<double> own;
      for (int k = 0; k < count / 4; ++k) {
        const Clock::time_point start = Clock::now();
        stream(target, body_of(new_prompt(8), 8), [] { return true; });
        own.push_back(seconds_since(start));
      }
      const std::lock_guard lock(mutex);
      all.insert(all.end(), own.begin(), own.end());
    });
  for (std::thread& client : clients) client.join();
  return all;
}

class Peer {
 public:
  explicit Peer(int port) : socket_(platform::Socket::connect("127.0.0.1", port, 10, error_)) {
    require(!error_, "a connection was refused: {}", error_.message());
  }
  bool send(std::string_view bytes) {
    socket_.write(std::as_bytes(std::span(bytes)), 10, error_);
    return !error_;
  }

 private:
  std::error_code error_;
  platform::Socket socket_;
};

// Connections that are in the way until the end of the scope.
class Crowd {
 public:
  Crowd(const LoadTarget& target, const std::string& large_file) : target_(target) {
    for (int i = 0; i < 1000 - 2 * slow; ++i) idle_.emplace_back(target.port);
    for (int i = 0; i < slow; ++i)
      readers_.emplace_back(target.port).send("GET " + large_file + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    sender_ = std::thread([this] { drip(); });
  }
  ~Crowd() {
    ended_ = true;
    sender_.join();
  }

 private:
  static constexpr int slow = 64;

  // Slow senders: a byte of a body each, now and then; one that the server has dropped comes back.
  void drip() {
    std::list<Peer> senders;
    while (!ended_) {
      while (std::ssize(senders) < slow)
        senders.emplace_back(target_.port)
            .send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n");
      for (auto sender = senders.begin(); sender != senders.end();)
        sender = sender->send("a") ? std::next(sender) : senders.erase(sender);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

  const LoadTarget& target_;
  std::list<Peer> idle_, readers_;
  std::atomic<bool> ended_ = false;
  std::thread sender_;
};

}  // namespace

std::string body_of(const std::vector<int32_t>& prompt, int64_t tokens) {
  return fmt::format(
      "{{\"prompt\": [{}], \"max_tokens\": {}, \"stream\": true, \"ignore_eos\": true, \"top_p\": 0.85}}",
      fmt::join(prompt, ","), tokens);
}

void measure_first_token(const LoadTarget& target, int rounds) {
  const Checkpoint checkpoint = open_model(target.file);
  Runner runner(*checkpoint.model);
  Engine engine(runner, *checkpoint.tokenizer);
  for (const int length : {8, 128, 1024}) {
    std::vector<double> alone, served, later;
    for (int round = 0; round < rounds; ++round) {
      alone.push_back(engine_prompt_seconds(engine, new_prompt(length)));
      const Clock::time_point start = Clock::now();
      stream(target, body_of(new_prompt(length), 1), [&] {
        served.push_back(seconds_since(start));
        return false;
      });
      later.push_back(served.back() - alone.back());
    }
    fmt::print(
        "prompt of {:4} tokens: engine {:7.1f} ms, first token over HTTP {:7.1f} ms, {:.1f} ms later\n",
        length, 1000 * quantile(alone, 0.5), 1000 * quantile(served, 0.5), 1000 * quantile(later, 0.5));
  }
}

void measure_long_prompts(const LoadTarget& target, int rounds) {
  std::vector<double> alone, beside, ratios, longest;
  for (int round = 0; round < rounds; ++round) {
    alone.push_back(mean(token_seconds(target)));
    const Clients readers(2, [&](int, const std::atomic<bool>& ended) {
      while (!ended) stream(target, body_of(new_prompt(2000), 1), [] { return true; });
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const std::vector<double> times = token_seconds(target);
    beside.push_back(mean(times));
    longest.push_back(quantile(times, 0.99));
    ratios.push_back(beside.back() / alone.back());
  }
  fmt::print(
      "8 streams: {:.1f} ms a token; beside prompts of 2,000 tokens {:.1f} ms (p99 {:.1f} ms), {:.2f} "
      "times\n",
      1000 * quantile(alone, 0.5), 1000 * quantile(beside, 0.5), 1000 * quantile(longest, 0.5),
      quantile(ratios, 0.5));
}

void measure_streams(const LoadTarget& target, double minutes) {
  constexpr int streams = 64;
  std::vector<std::atomic<int64_t>> tokens(streams);
  std::atomic<int64_t> errors = 0, texts = 0;
  const Clock::time_point start = Clock::now();
  int64_t memory_early = 0;
  {
    const Clients clients(streams, [&](int client, const std::atomic<bool>& ended) {
      while (!ended) {
        const int status = stream(target, body_of(new_prompt(32), 64), [&] {
          ++tokens[static_cast<size_t>(client)];
          return true;
        });
        ++(status == 200 ? texts : errors);
      }
    });
    while (seconds_since(start) < 60 * minutes) {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));
      if (memory_early == 0 && seconds_since(start) > 60 * minutes / 5)
        memory_early = platform::current_memory();
    }
    fmt::print("memory after a fifth of the time {}, at the end {}\n", human_bytes(memory_early),
               human_bytes(platform::current_memory()));
  }
  const auto [least, most] = std::minmax_element(tokens.begin(), tokens.end());
  int64_t all = 0;
  for (const auto& count : tokens) all += count;
  fmt::print(
      "{} streams for {:.1f} minutes: {} texts, {} errors, {:.0f} tokens/s; fastest / slowest {:.2f}\n",
      streams, seconds_since(start) / 60, texts.load(), errors.load(),
      static_cast<double>(all) / seconds_since(start),
      static_cast<double>(*most) / static_cast<double>(std::max<int64_t>(*least, 1)));
}

void measure_hostile(const LoadTarget& target, int rounds) {
  constexpr int requests = 400;
  platform::allow_open_files(4096);
  const http::HttpClient client(target.address);
  const http::ClientReply made =
      client.post("/v1/states", {{"Content-Type", "application/json"}}, R"({"input": "a text"})");
  require(made.status == 200, "the server answers {}: {}", made.status, made.body);
  const std::string id = parse_json(made.body, "the answer")["id"].get<std::string>();
  std::vector<double> alone, crowded, ratios;
  request_seconds(target, 100);
  for (int round = 0; round < rounds; ++round) {
    alone.push_back(quantile(request_seconds(target, requests), 0.99));
    const Crowd crowd(target, "/v1/states/" + id + "/content");
    crowded.push_back(quantile(request_seconds(target, requests), 0.99));
    ratios.push_back(crowded.back() / alone.back());
  }
  fmt::print(
      "short requests, p99: alone {:.2f} ms, beside 1,000 idle and slow connections {:.2f} ms, {:.2f} "
      "times\n",
      1000 * quantile(alone, 0.5), 1000 * quantile(crowded, 0.5), quantile(ratios, 0.5));
}

}  // namespace aviary::bench
