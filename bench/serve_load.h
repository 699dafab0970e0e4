// What a server does under load: measurements of serve_bench beyond its speed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace aviary::bench {

struct LoadTarget {
  std::string file;     // of the model
  std::string address;  // "http://127.0.0.1:8080"
  int port = 0;
};

// The body of a completion of these tokens.
std::string body_of(const std::vector<int32_t>& prompt, int64_t tokens);

// The first token of an unknown prompt beside the time that the engine alone needs for it.
void measure_first_token(const LoadTarget& target, int rounds);
// The time between the tokens of 8 streams, alone and while others send long prompts.
void measure_long_prompts(const LoadTarget& target, int rounds);
// 64 streams for so many minutes: errors, memory, the slowest and the fastest.
void measure_streams(const LoadTarget& target, double minutes);
// The 99th percentile of short requests, alone and beside 1,000 idle connections, slow senders and slow
// readers.
void measure_hostile(const LoadTarget& target, int rounds);

}  // namespace aviary::bench
