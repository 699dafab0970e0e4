// What `aviary convert` does with the files of a tuning: adapters and tuned states.
#pragma once

#include <optional>
#include <string>

#include "checkpoints/adapter_file.h"

namespace aviary::cli {

struct TunedFlags {
  std::string in, out, base;
  std::optional<Dtype> type;
  bool force = false;
};

// The request for an adapter that `in` is, FILE or FILE,alpha=A..., by the content of the file; nothing if it
// is something else.
std::optional<AdapterRequest> adapter_named(const std::string& in);
// Whether `in` is a file of a tuned state.
bool is_state(const std::string& in);

int convert_adapter(const AdapterRequest& request, const TunedFlags& flags);
int convert_state(const TunedFlags& flags);

}  // namespace aviary::cli
