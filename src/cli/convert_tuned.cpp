#include "cli/convert_tuned.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "checkpoints/adapter_forms.h"
#include "checkpoints/state_file.h"
#include "checkpoints/state_writer.h"
#include "cli/cli.h"
#include "cli/outputs.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

void print_written(const std::string& out, const std::vector<fs::path>& files, const std::string& what) {
  uintmax_t bytes = 0;
  for (const fs::path& file : files) bytes += fs::file_size(file);
  fmt::print("{}: {}; {}\n", printable(out), what, human_bytes(static_cast<int64_t>(bytes)));
}

}  // namespace

std::optional<AdapterRequest> adapter_named(const std::string& in) {
  std::error_code ignored;
  AdapterRequest request{.path = in};
  if (!fs::exists(in, ignored)) {
    if (!fs::exists(in.substr(0, in.find(',')), ignored)) return {};
    request.path = in.substr(0, in.find(','));
  }
  if (!looks_like_adapter(request.path)) return {};
  return request.path == in ? request : adapter_request(in);
}

bool is_state(const std::string& in) {
  std::error_code ignored;
  if (!fs::is_regular_file(in, ignored)) return false;
  try {
    return recognize_state(read_tensor_file(in, Transposed::in_place)).has_value();
  } catch (const Error&) {
    return false;  // reported when it is opened as a model
  }
}

int convert_adapter(const AdapterRequest& request, const TunedFlags& flags) {
  std::vector<fs::path> inputs = files_of_adapter(request);
  const fs::path base = flags.base.empty() ? fs::path() : find_model(flags.base);
  if (!base.empty()) inputs.push_back(base);
  const std::vector<fs::path> outputs = files_of_form(flags.out);
  require_apart(outputs, inputs);
  PlainAdapter adapter = plain_adapter(request);
  print_notes(adapter.file.table.notes);
  if (!base.empty()) add_base(adapter, read_tensor_file(base), base, flags.force);
  const std::string what = describe(adapter.file);
  print_notes(write_adapter_as(flags.out, adapter, flags.type));
  print_written(flags.out, outputs, what);
  return 0;
}

int convert_state(const TunedFlags& flags) {
  require(flags.base.empty(),
          "{}: a tuned state says what its file needs, so --base would have no effect; leave it out",
          flags.in);
  require_apart(flags.out, {flags.in});
  const TensorFile file = read_tensor_file(flags.in);
  print_notes(file.notes());
  convert_state(file, flags.in, flags.out, flags.type);
  print_written(flags.out, {flags.out}, describe(*recognize_state(file)));
  return 0;
}

}  // namespace aviary::cli
