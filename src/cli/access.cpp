#include "cli/access.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "http/origin.h"

namespace aviary::cli {
namespace {

constexpr const char* access_group = "Access";

}  // namespace

void AccessFlags::add_host_to(CLI::App& command) {
  command.add_option("--host", host, "Address to listen on; 0.0.0.0: reachable from other machines")
      ->capture_default_str();
}

void AccessFlags::add_to(CLI::App& command) {
  command
      .add_option("--api-key", keys,
                  "A key that clients must send; may be repeated (default: none is needed)")
      ->group(access_group);
  command.add_option("--api-key-file", key_file, "A file with one key in each line (default: none)")
      ->group(access_group);
  command
      .add_option("--allowed-host", hosts,
                  "A name by which clients may reach this server besides localhost and --host; may be "
                  "repeated (default: none)")
      ->group(access_group);
  command
      .add_flag(
          "--control", control,
          "Let the page stop training runs, go on with them, begin runs of aviary tune, and convert and "
          "measure models (default: it only shows them)")
      ->group(access_group);
}

void AccessFlags::add_origins_to(CLI::App& command) {
  command
      .add_option("--cors-origin", origins,
                  "An origin, as https://chat.example, whose pages may use the server; may be repeated "
                  "(default: none)")
      ->group(access_group);
}

std::vector<std::string> AccessFlags::all_keys() const {
  std::vector<std::string> all = keys;
  for (const std::string& key : all)
    require(!key.empty(), "--api-key is empty, and would let in every client; give a key, or leave it out");
  if (key_file.empty()) return all;
  constexpr int64_t most = 1 << 20;
  const std::string text = read_file(key_file, most);
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (!line.empty()) all.emplace_back(line.ends_with('\r') ? line.substr(0, line.size() - 1) : line);
  }
  require(!all.empty(), "{}: has no keys; expected one in each line", key_file);
  return all;
}

void AccessFlags::require_safe() const {
  const bool this_machine_only = host == "::1" || http::is_allowed_host(host, {});
  require(!control || this_machine_only || !keys.empty() || !key_file.empty(),
          "--control beside --host {} would let everybody who reaches this machine start and stop runs; give "
          "--api-key or --api-key-file, too",
          host);
  require(!control || origins.empty(),
          "--control and --cors-origin cannot be given together: pages of other origins could start and stop "
          "runs");
}

}  // namespace aviary::cli
