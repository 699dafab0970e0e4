// Who may use a server, and for what: the flags of aviary serve and aviary watch.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace aviary::cli {

struct AccessFlags {
  std::string host = "127.0.0.1", key_file;
  std::vector<std::string> keys, hosts, origins;
  bool control = false;

  void add_host_to(CLI::App& command);
  // Keys, names, and whether runs may be started and stopped.
  void add_to(CLI::App& command);
  // Pages of other origins.
  void add_origins_to(CLI::App& command);
  // Those of the command line and of the file. Throws Error for an empty key and for a file without keys.
  std::vector<std::string> all_keys() const;
  // Throws Error if other machines without a key, or pages of other origins, could start and stop runs.
  void require_safe() const;
};

}  // namespace aviary::cli
