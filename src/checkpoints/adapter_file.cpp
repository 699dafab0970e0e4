#include "checkpoints/adapter_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "formats/format.h"
#include "formats/llama_names.h"
#include "formats/trainer_names.h"
#include "models/registry.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr int64_t largest_config = int64_t{1} << 20;
constexpr const char* result_of_run = "adapter.safetensors";  // of a run that trains an adapter

// What a tensor of an adapter is: A [r, in], its transpose, B [out, r], or D of MiSS as B or its transpose.
enum class Role : uint8_t { a, a_transposed, b, miss, miss_transposed };

struct Suffix {
  std::string_view text;
  Role role;
  const char* kind;
  AdapterScale scale;
};
constexpr const char *rwkv_lora = "a LoRA of RWKV trainers", *peft_lora = "a LoRA of Hugging Face PEFT",
                     *miss = "a MiSS adapter";
constexpr Suffix suffixes[] = {
    {".lora_A", Role::a, rwkv_lora, AdapterScale::alpha_by_rank},
    {".lora_B", Role::b, rwkv_lora, AdapterScale::alpha_by_rank},
    {".init_lora_A", Role::a, "the start of a PiSSA adapter", AdapterScale::one},
    {".init_lora_B", Role::b, "the start of a PiSSA adapter", AdapterScale::one},
    {".lora_A.weight", Role::a, peft_lora, AdapterScale::alpha_by_rank},
    {".lora_B.weight", Role::b, peft_lora, AdapterScale::alpha_by_rank},
    {".lora_A.default.weight", Role::a, peft_lora, AdapterScale::alpha_by_rank},
    {".lora_B.default.weight", Role::b, peft_lora, AdapterScale::alpha_by_rank},
    {".lora.0", Role::a_transposed, "a LoRA of web-rwkv", AdapterScale::alpha_by_rank},
    {".lora.1", Role::b, "a LoRA of web-rwkv", AdapterScale::alpha_by_rank},
    {".weight.lora_a", Role::a, "a LoRA of llama.cpp", AdapterScale::alpha_by_rank},
    {".weight.lora_b", Role::b, "a LoRA of llama.cpp", AdapterScale::alpha_by_rank},
    {".bone", Role::miss_transposed, miss, AdapterScale::one},
    {".disha", Role::miss_transposed, miss, AdapterScale::one},
    {".miss_block", Role::miss_transposed, miss, AdapterScale::one},
    {".miss_block.default", Role::miss_transposed, miss, AdapterScale::one},
    {".weight.D", Role::miss, miss, AdapterScale::alpha_by_rank},
    {".miss", Role::miss, miss, AdapterScale::alpha_by_rank},
};

const Suffix* suffix_of(std::string_view name) {
  const auto found = std::ranges::find_if(suffixes, [&](const Suffix& s) { return name.ends_with(s.text); });
  return found == std::end(suffixes) ? nullptr : found;
}

// "blk.3.time_mix_key" -> "blocks.3.att.key"; empty if llama.cpp has no such matrix in an RWKV model.
std::string original_of_llama(std::string_view name) {
  constexpr std::string_view prefix = "blk.";
  const size_t dot = name.find('.', prefix.size());
  if (!name.starts_with(prefix) || dot == name.npos) return {};
  const std::string weight = std::string(name.substr(dot + 1)) + ".weight";
  for (const char* architecture : {"rwkv7", "rwkv6"})
    for (const LlamaTensor& tensor : find_llama_architecture(architecture)->block)
      if (tensor.llama == weight && tensor.form == LlamaForm::same)
        return fmt::format("blocks.{}.{}", name.substr(prefix.size(), dot - prefix.size()),
                           tensor.original.substr(0, tensor.original.rfind('.')));
  return {};
}

// The name of a module of the model that PEFT wrapped.
std::string module_name(std::string_view name) {
  constexpr std::string_view prefix = "base_model.model.";
  if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  return std::string(name);
}

std::vector<float> transposed(const std::vector<float>& numbers, int64_t rows, int64_t cols) {
  std::vector<float> result(numbers.size());
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t col = 0; col < cols; ++col)
      result[static_cast<size_t>(col * rows + row)] = numbers[static_cast<size_t>(row * cols + col)];
  return result;
}

// Collects the parts of the matrices of a file.
class Collector {
 public:
  explicit Collector(AdapterFile& adapter) : adapter_(adapter) {}

  void add(const TensorEntry& tensor) {
    const Suffix* suffix = suffix_of(tensor.name);
    if (!suffix) {
      adapter_.whole.push_back(tensor);
      adapter_.whole.back().name = whole_name(tensor.name);
      return;
    }
    require(adapter_.kind.empty() || adapter_.kind == suffix->kind,
            "{}: {} is of {}, but others of the file are of {}", adapter_.where, in_quotes(tensor.name),
            suffix->kind, adapter_.kind);
    adapter_.kind = suffix->kind;
    adapter_.scale = suffix->scale;
    take(tensor, suffix->role, parameter_name(tensor.name, *suffix));
  }

  // Throws Error for a matrix of which a part is missing.
  void finish() const {
    for (const AdapterMatrix& matrix : adapter_.matrices) {
      require(!matrix.b.empty(), "{}: {} has a first matrix of an adapter but no second one", adapter_.where,
              in_quotes(matrix.name));
      require(fixed_.contains(matrix.name) || !matrix.a.empty(),
              "{}: {} has a second matrix of an adapter but no first one", adapter_.where,
              in_quotes(matrix.name));
    }
  }

 private:
  std::string parameter_name(const std::string& name, const Suffix& suffix) const {
    std::string module = module_name(name.substr(0, name.size() - suffix.text.size()));
    if (adapter_.table.format == "gguf") {
      const std::string original = original_of_llama(module);
      require(!original.empty(), "{}: {} is no matrix of an RWKV model", adapter_.where, in_quotes(name));
      module = original;
    }
    return module + ".weight";
  }
  static std::string whole_name(std::string_view name) {
    std::string module = module_name(name);
    for (std::string_view wrapper : {".modules_to_save.default", ".modules_to_save"})
      if (const size_t at = module.find(wrapper); at != module.npos) module.erase(at, wrapper.size());
    return module;
  }

  AdapterMatrix& matrix(const std::string& name) {
    const auto found = index_.find(name);
    if (found != index_.end()) return adapter_.matrices[found->second];
    index_[name] = adapter_.matrices.size();
    return adapter_.matrices.emplace_back(AdapterMatrix{.name = name});
  }

  void take(const TensorEntry& tensor, Role role, const std::string& name) {
    require(
        tensor.shape.size() != 3 || (role != Role::miss && role != Role::miss_transposed),
        "{}: {} has three axes: this kind (\"bat\") multiplies the model's own matrix, and is not supported; "
        "expected [r, out]",
        adapter_.where, in_quotes(tensor.name));
    require(tensor.shape.size() == 2 && tensor.shape[0] > 0 && tensor.shape[1] > 0,
            "{}: {} has the shape [{}], expected a matrix", adapter_.where, in_quotes(tensor.name),
            fmt::join(tensor.shape, ", "));
    std::vector<float> numbers(static_cast<size_t>(count_of(tensor)));
    to_floats(tensor, numbers);
    require(std::ranges::all_of(numbers, [](float x) { return std::isfinite(x); }),
            "{}: {} holds NaN or infinity", adapter_.where, in_quotes(tensor.name));
    const bool turned = role == Role::a_transposed || role == Role::miss_transposed;
    if (turned) numbers = transposed(numbers, tensor.shape[0], tensor.shape[1]);
    const bool is_a = role == Role::a || role == Role::a_transposed;
    const int64_t rank = tensor.shape[is_a == turned ? 1 : 0];
    AdapterMatrix& to = matrix(name);
    require(to.rank == 0 || to.rank == rank, "{}: the two matrices of {} have the ranks {} and {}",
            adapter_.where, in_quotes(name), to.rank, rank);
    std::vector<float>& part = is_a ? to.a : to.b;
    require(part.empty(), "{}: {} is there twice", adapter_.where, in_quotes(tensor.name));
    part = std::move(numbers);
    to.rank = rank;
    if (is_a) to.in = std::ssize(part) / rank;
    if (role == Role::miss || role == Role::miss_transposed) fixed_.insert(name);
  }

  AdapterFile& adapter_;
  std::map<std::string, size_t> index_;
  std::set<std::string> fixed_;  // those of MiSS
};

// What a file of Aviary says in its metadata.
void take_info(AdapterFile& adapter) {
  const std::optional<StoredAdapterInfo> stored = adapter_info_in(adapter.table.metadata, adapter.where);
  if (!stored) return;
  adapter.info = stored->info;
  adapter.kind = fmt::format("an adapter of Aviary ({})", stored->info.method);
  adapter.alpha = stored->info.alpha;
  adapter.scale = stored->info.rank_stabilized ? AdapterScale::alpha_by_root : AdapterScale::alpha_by_rank;
  for (AdapterMatrix& matrix : adapter.matrices)
    if (const auto in = stored->inputs.find(matrix.name); in != stored->inputs.end() && matrix.a.empty())
      matrix.in = in->second;
}

void read_tensors(AdapterFile& adapter, const fs::path& path) {
  const MappedFile& file = adapter.files.emplace_back(MappedFile(path));
  adapter.table = without_wrappers(parse_stored_tensors(file.bytes(), path.string()), path.string());
  Collector collector(adapter);
  for (const TensorEntry& tensor : adapter.table.tensors) collector.add(tensor);
  collector.finish();
  take_info(adapter);
  require(!adapter.matrices.empty() || (adapter.info && !adapter.whole.empty()),
          "{}: no adapter: none of its tensors has the name of a part of one, as P.lora_A, P.lora_B, "
          "P.disha, P.lora.0",
          path.string());
}

std::optional<double> number_in(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) return {};
  return found->get<double>();
}

nlohmann::json read_config(const fs::path& path) {
  nlohmann::json json = parse_json(read_file(path, largest_config), path.string());
  require(json.is_object(), "{}: expected an object", path.string());
  return json;
}

// Throws Error for settings of PEFT with which an adapter is something else than W + scale B A for the W of
// the model.
void refuse_other_forms(const nlohmann::json& json, const std::string& where) {
  for (const char* key : {"use_dora", "fan_in_fan_out", "lora_bias", "alpha_pattern", "layer_replication"}) {
    const auto value = json.find(key);
    require(value == json.end() || value->is_null() || *value == false ||
                (value->is_structured() && value->empty()),
            "{}: {} is {}, which is not supported", where, key,
            in_quotes(value == json.end() ? "" : value->dump()));
  }
  for (const char* key : {"init_weights", "init_lora_weights"}) {
    const auto value = json.find(key);
    if (value == json.end() || !value->is_string()) continue;
    const std::string start = *value;
    require(start != "bat" && start != "mini", "{}: {} is {}, a form of MiSS that is not supported", where,
            key, in_quotes(start));
    for (const char* changes_base : {"pissa", "olora", "corda", "loftq"})
      require(!start.starts_with(changes_base),
              "{}: {} is {}, with which the training began from a changed model; save the adapter converted "
              "to a plain "
              "LoRA",
              where, key, in_quotes(start));
  }
}

// A folder of Hugging Face PEFT: adapter_config.json with adapter_model.safetensors or adapter_model.bin.
void read_peft(AdapterFile& adapter, const fs::path& folder) {
  const fs::path config = folder / "adapter_config.json";
  const nlohmann::json json = read_config(config);
  const std::string type =
      json.value("peft_type", nlohmann::json("")).is_string() ? json.value("peft_type", "") : "";
  require(type == "LORA" || type == "MISS", "{}: peft_type is {}, expected LORA or MISS", config.string(),
          in_quotes(type));
  refuse_other_forms(json, config.string());
  const fs::path safetensors = folder / "adapter_model.safetensors";
  read_tensors(adapter, fs::exists(safetensors) ? safetensors : folder / "adapter_model.bin");
  if (type == "MISS") return;
  adapter.alpha = number_in(json, "lora_alpha");
  if (json.value("use_rslora", nlohmann::json(false)) == true) adapter.scale = AdapterScale::alpha_by_root;
}

// A folder with adapter.json and adapter.pth.
void read_native_miss(AdapterFile& adapter, const fs::path& folder) {
  const nlohmann::json json = read_config(folder / "adapter.json");
  read_tensors(adapter, folder / "adapter.pth");
  adapter.alpha = number_in(json, "alpha");
}

// llama.cpp adds all of B A if the file has no alpha, or 0.
void take_llama_alpha(AdapterFile& adapter) {
  const auto& metadata = adapter.table.metadata;
  const auto type = metadata.find("general.type");
  require(type != metadata.end() && type->second == "adapter",
          "{}: a GGUF file of a model, not of an adapter", adapter.where);
  const auto kind = metadata.find("adapter.type");
  require(kind == metadata.end() || kind->second == "lora", "{}: adapter.type is {}, expected lora",
          adapter.where, in_quotes(kind == metadata.end() ? "" : kind->second));
  const auto alpha = metadata.find("adapter.lora.alpha");
  double value = 0;
  if (alpha != metadata.end())
    std::from_chars(alpha->second.data(), alpha->second.data() + alpha->second.size(), value);
  if (value != 0)
    adapter.alpha = value;
  else
    adapter.scale = AdapterScale::one;
}

// "weight=0.5" -> 0.5
double number_of(const std::string& text, const std::string& part) {
  const size_t equals = part.find('=');
  double value = 0;
  const char *begin = part.data() + equals + 1, *end = part.data() + part.size();
  const auto [last, error] = std::from_chars(begin, end, value);
  require(error == std::errc() && last == end && std::isfinite(value), "--adapter {}: {} is not a number",
          text, in_quotes(part.substr(equals + 1)));
  return value;
}

}  // namespace

AdapterRequest adapter_request(const std::string& text) {
  AdapterRequest request;
  size_t begin = 0;
  for (bool first = true; begin <= text.size(); first = false) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    begin = end + 1;
    if (first)
      request.path = part;
    else if (part.starts_with("weight="))
      request.weight = number_of(text, part);
    else if (part.starts_with("alpha="))
      request.alpha = number_of(text, part);
    else if (part.starts_with("init="))
      request.init = part.substr(5);
    else
      fail("--adapter {}: {} is none of weight=W, alpha=A, init=FILE", text, in_quotes(part));
  }
  require(!request.path.empty(), "--adapter {}: expected FILE, or FILE,weight=W,alpha=A,init=FILE",
          in_quotes(text));
  return request;
}

std::vector<fs::path> files_of_adapter(const AdapterRequest& request) {
  std::vector<fs::path> files;
  for (const fs::path& path : {request.path, request.init}) {
    if (path.empty()) continue;
    files.push_back(path);
    std::error_code ignored;
    if (!fs::is_directory(path, ignored)) continue;
    for (const char* name : {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin",
                             "adapter.json", "adapter.pth", result_of_run})
      files.push_back(path / name);
  }
  return files;
}

std::vector<fs::path> present_files_of_adapter(const AdapterRequest& request) {
  std::vector<fs::path> files = files_of_adapter(request);
  std::erase_if(files, [](const fs::path& file) {
    std::error_code ignored;
    return !fs::is_regular_file(file, ignored);
  });
  return files;
}

void require_distinct(std::span<const AdapterRequest> requests) {
  const auto share_a_file = [](const AdapterRequest& one, const AdapterRequest& other) {
    std::error_code ignored;
    for (const fs::path& a : files_of_adapter({.path = one.path}))
      for (const fs::path& b : files_of_adapter({.path = other.path}))
        if (fs::equivalent(a, b, ignored)) return true;
    return false;
  };
  for (size_t i = 0; i < requests.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      require(!share_a_file(requests[j], requests[i]),
              "{}: this adapter is given twice; give it once, with weight=2 to add it twice",
              requests[i].path.string());
}

namespace {

bool is_adapter(const std::map<std::string, std::string>& metadata, std::span<const TensorEntry> tensors) {
  const auto type = metadata.find("general.type");
  return metadata.contains(adapter_info_key) || (type != metadata.end() && type->second == "adapter") ||
         std::ranges::any_of(tensors, [](const TensorEntry& tensor) { return suffix_of(tensor.name); });
}

}  // namespace

bool looks_like_adapter(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored))
    return std::ranges::any_of(std::array{"adapter_config.json", "adapter.json", result_of_run},
                               [&](const char* name) { return fs::exists(path / name, ignored); });
  if (!fs::is_regular_file(path, ignored)) return false;
  try {
    const MappedFile file(path);
    const TensorTable table = parse_stored_tensors(file.bytes(), path.string());
    return is_adapter(table.metadata, table.tensors);
  } catch (const Error&) {
    return false;
  }
}

bool holds_adapter(const TensorFile& file) { return is_adapter(file.metadata(), file.tensors()); }

AdapterFile read_adapter(const fs::path& path) {
  AdapterFile adapter;
  adapter.where = path.string();
  if (!fs::is_directory(path)) {
    read_tensors(adapter, path);
    if (adapter.table.format == "gguf") take_llama_alpha(adapter);
  } else if (fs::exists(path / "adapter_config.json")) {
    read_peft(adapter, path);
  } else if (fs::exists(path / "adapter.json")) {
    read_native_miss(adapter, path);
  } else if (fs::exists(path / result_of_run)) {
    read_tensors(adapter, path / result_of_run);
  } else {
    fail(
        "{}: no adapter in this folder; expected {} (a run), adapter_config.json (Hugging Face PEFT) or "
        "adapter.json",
        path.string(), result_of_run);
  }
  return adapter;
}

std::string describe(const AdapterFile& adapter) {
  std::set<int64_t> ranks;
  for (const AdapterMatrix& matrix : adapter.matrices) ranks.insert(matrix.rank);
  std::string text = adapter.kind;
  if (ranks.size() == 1)
    text += fmt::format(", {} matrices of rank {}", adapter.matrices.size(), *ranks.begin());
  else if (!ranks.empty())
    text += fmt::format(", {} matrices of ranks {} to {}", adapter.matrices.size(), *ranks.begin(),
                        *ranks.rbegin());
  return text + fmt::format(", {} whole tensors", adapter.whole.size());
}

double factor_of(const AdapterFile& adapter, const AdapterRequest& request, const AdapterMatrix& matrix) {
  if (!request.init.empty() || adapter.scale == AdapterScale::one) {
    require(!request.alpha, "{}: alpha is given, but of {} all is added; leave it out", adapter.where,
            request.init.empty() ? adapter.kind : "a PiSSA adapter");
    return request.weight;
  }
  const std::optional<double> alpha = request.alpha ? request.alpha : adapter.alpha;
  require(alpha.has_value(),
          "{0}: {1}, whose factor is alpha / {2}, does not say its alpha; add the one of its training, as "
          "{0},alpha=32",
          adapter.where, adapter.kind, matrix.rank);
  const auto rank = static_cast<double>(matrix.rank);
  return request.weight * *alpha / (adapter.scale == AdapterScale::alpha_by_root ? std::sqrt(rank) : rank);
}

Parameter& adapted_parameter(const std::string& where, const AdapterMatrix& matrix, Model& model) {
  Parameter* parameter = model.parameters().find(matrix.name);
  require(parameter != nullptr, "{}: it changes {}, which this {} does not have", where,
          in_quotes(matrix.name), model_version(model.config().version).title);
  require(parameter->spec.use == Use::out_in && &parameter->weight != &model.head(),
          "{}: it changes {}, which is not a matrix inside a block", where, in_quotes(matrix.name));
  const int64_t out = parameter->spec.shape[0], in = parameter->spec.shape[1], rank = matrix.rank;
  require(std::ssize(matrix.b) == out * rank && (matrix.a.empty() || std::ssize(matrix.a) == rank * in) &&
              (matrix.in == 0 || matrix.in == in),
          "{}: its matrices for {} are not for one of {} x {}; an adapter serves only the model that it was "
          "made for",
          where, in_quotes(matrix.name), out, in);
  return *parameter;
}

std::vector<float> fixed_matrix(int64_t rank, int64_t in) {
  std::vector<float> a(static_cast<size_t>(rank * in));
  for (int64_t k = 0; k < in; ++k) a[static_cast<size_t>(k % rank * in + k)] = 1;
  return a;
}

namespace {

void add_matrix(const AdapterFile& adapter, const AdapterMatrix& matrix, double factor, Model& model) {
  Parameter& parameter = adapted_parameter(adapter.where, matrix, model);
  const int64_t out = parameter.spec.shape[0], in = parameter.spec.shape[1], rank = matrix.rank;
  const auto added =
      std::make_shared<Adapter>(Adapter{Weight(matrix.name + " (adapter, A)", {rank, in}, Dtype::f32),
                                        Weight(matrix.name + " (adapter, B)", {out, rank}, Dtype::f32)});
  float *a = added->a.value().as<float>(), *b = added->b.value().as<float>();
  std::ranges::copy(matrix.a.empty() ? fixed_matrix(rank, in) : matrix.a, a);
  std::ranges::transform(matrix.b, b,
                         [&](float x) { return static_cast<float>(factor * static_cast<double>(x)); });
  parameter.weight.add_adapter(added);
}

}  // namespace

void require_effect(const AdapterFile& adapter, const AdapterRequest& request) {
  require(!adapter.matrices.empty() || (request.weight == 1 && !request.alpha && request.init.empty()),
          "{}: it holds whole parameters and no matrices to add, so weight, alpha and init have no effect; "
          "leave them out",
          adapter.where);
  require(request.init.empty() || !adapter.info,
          "{}: {}, already holds the difference to its start; leave out init", adapter.where, adapter.kind);
}

void add_adapter(const AdapterFile& adapter, const AdapterRequest& request, Model& model) {
  require_effect(adapter, request);
  for (const AdapterMatrix& matrix : adapter.matrices)
    add_matrix(adapter, matrix, factor_of(adapter, request, matrix), model);
  if (request.init.empty()) return;
  const AdapterFile start = read_adapter(request.init);
  for (const AdapterMatrix& matrix : start.matrices) add_matrix(start, matrix, -request.weight, model);
}

}  // namespace aviary
