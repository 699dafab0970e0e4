#include "checkpoints/adapter_forms.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "checkpoints/adapter_writer.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/targets.h"
#include "formats/gguf_contents.h"
#include "formats/llama_names.h"
#include "formats/pth.h"
#include "formats/safetensors.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

// "blocks.0.att.key.weight" -> "blocks.0.att.key"
std::string module_of(const std::string& name) { return name.substr(0, name.rfind('.')); }

void scale(std::vector<float>& numbers, double factor) {
  if (factor == 1) return;
  for (float& x : numbers) x = static_cast<float>(factor * static_cast<double>(x));
}

int64_t largest_rank(std::span<const AdapterMatrix> matrices) {
  int64_t rank = 0;
  for (const AdapterMatrix& matrix : matrices) rank = std::max(rank, matrix.rank);
  return rank;
}

// The tensors of a file, with the memory of those that are made for it.
class Tensors {
 public:
  explicit Tensors(std::optional<Dtype> type) : type_(type) {}

  void add(std::string name, std::vector<int64_t> shape, std::vector<float> numbers) {
    const std::vector<float>& kept = kept_.emplace_back(std::move(numbers));
    add({std::move(name), Dtype::f32, std::move(shape), std::as_bytes(std::span(kept))});
  }
  void add(const TensorEntry& tensor) { stored_.push_back({tensor, type_.value_or(tensor.dtype)}); }
  const std::vector<StoredTensor>& stored(const std::string& where) const {
    for (const StoredTensor& tensor : stored_) require_storable(tensor.source, tensor.type, where);
    return stored_;
  }

 private:
  std::optional<Dtype> type_;
  std::deque<std::vector<float>> kept_;
  std::vector<StoredTensor> stored_;
};

// D [out, r] -> [r, out], all of it multiplied by the scale, of which files of MiSS do not speak.
std::vector<float> turned_and_scaled(const AdapterMatrix& matrix, double alpha) {
  const auto rank = static_cast<size_t>(matrix.rank), out = matrix.b.size() / rank;
  std::vector<float> result(matrix.b.size());
  for (size_t row = 0; row < out; ++row)
    for (size_t r = 0; r < rank; ++r) result[r * out + row] = matrix.b[row * rank + r];
  scale(result, alpha / static_cast<double>(rank));
  return result;
}

// MiSS works for any width of the matrix, so its tensors do not show it.
void require_width(const AdapterMatrix& matrix, const std::string& where) {
  require(!matrix.a.empty() || matrix.in > 0,
          "{}: the file of the MiSS adapter does not say how wide {} is; name its model with --base", where,
          in_quotes(matrix.name));
}

int64_t rows_of_b(const AdapterMatrix& matrix) { return std::ssize(matrix.b) / matrix.rank; }
int64_t cols_of_a(const AdapterMatrix& matrix) { return std::ssize(matrix.a) / matrix.rank; }

std::vector<std::string> write_own(const fs::path& path, const PlainAdapter& adapter,
                                   std::optional<Dtype> type) {
  require(!type || type == Dtype::f32, "{}: adapters of Aviary hold f32 numbers; leave out --type",
          path.string());
  for (const AdapterMatrix& matrix : adapter.matrices) require_width(matrix, path.string());
  write_adapter(path, adapter.info, adapter.matrices, adapter.file.whole);
  return {};
}

std::vector<std::string> write_trainer_file(const fs::path& path, const PlainAdapter& adapter,
                                            std::optional<Dtype> type) {
  Tensors tensors(type);
  const auto reader_alpha = static_cast<double>(largest_rank(adapter.matrices));
  bool is_lora = false;
  for (const AdapterMatrix& matrix : adapter.matrices) {
    const std::string module = module_of(matrix.name);
    if (matrix.a.empty()) {
      tensors.add(module + ".disha", {matrix.rank, rows_of_b(matrix)},
                  turned_and_scaled(matrix, adapter.info.alpha));
      continue;
    }
    is_lora = true;
    std::vector<float> b = matrix.b;
    scale(b, adapter.info.alpha / reader_alpha);
    tensors.add(module + ".lora_A", {matrix.rank, cols_of_a(matrix)}, matrix.a);
    tensors.add(module + ".lora_B", {rows_of_b(matrix), matrix.rank}, std::move(b));
  }
  for (const TensorEntry& tensor : adapter.file.whole) tensors.add(tensor);
  write_pth(path, tensors.stored(path.string()));
  std::vector<std::string> notes;
  if (is_lora)
    notes.push_back(
        fmt::format("a .pth file does not say alpha; its numbers are scaled for alpha = {0}, so "
                    "use it as {1},alpha={0}",
                    reader_alpha, path.string()));
  if (!adapter.info.base.hash.empty())
    notes.push_back("a .pth file does not say which model the adapter was trained on");
  return notes;
}

// "blk.0.time_mix_key.weight"; empty if llama.cpp applies no LoRA to such a matrix.
std::string llama_name(const LlamaArchitecture& architecture, const std::string& name) {
  constexpr std::string_view prefix = "blocks.";
  const size_t dot = name.find('.', prefix.size());
  if (!name.starts_with(prefix) || dot == name.npos) return {};
  for (const LlamaTensor& tensor : architecture.block)
    if (tensor.original == std::string_view(name).substr(dot + 1) && tensor.form == LlamaForm::same &&
        !tensor.always_f32)
      return fmt::format("blk.{}.{}", name.substr(prefix.size(), dot - prefix.size()), tensor.llama);
  return {};
}

std::vector<std::string> write_llama_file(const fs::path& path, const PlainAdapter& adapter,
                                          std::optional<Dtype> type) {
  const std::string where = path.string(), version = adapter.info.base.version;
  require(
      !version.empty(),
      "{}: a GGUF file says for which version of RWKV it is, which {} does not; name its model with --base",
      where, adapter.file.where);
  const LlamaArchitecture* architecture = find_llama_architecture(version);
  require(architecture != nullptr, "{}: llama.cpp does not have the version {}", where, in_quotes(version));
  for (const TensorEntry& tensor : adapter.file.whole)
    fail(
        "{}: llama.cpp replaces no whole tensors, but this adapter has {}; merge it into its model (aviary "
        "merge) and convert that",
        where, in_quotes(tensor.name));
  Tensors tensors(type);
  for (const AdapterMatrix& matrix : adapter.matrices) {
    const std::string name = llama_name(*architecture, matrix.name);
    require(!name.empty(), "{}: llama.cpp adds nothing to {}", where, in_quotes(matrix.name));
    require_width(matrix, where);
    std::vector<float> a = matrix.a.empty() ? fixed_matrix(matrix.rank, matrix.in) : matrix.a;
    const int64_t in = std::ssize(a) / matrix.rank;
    tensors.add(name + ".lora_a", {matrix.rank, in}, std::move(a));
    tensors.add(name + ".lora_b", {rows_of_b(matrix), matrix.rank}, matrix.b);
  }
  AdapterInfo info = adapter.info;
  if (info.method == "miss") info.method = "lora";  // which it is in this file
  gguf::KeyWriter keys;
  keys.text("general.architecture", version);
  keys.text("general.type", "adapter");
  keys.text("general.name", fmt::format("adapter of {}", printable(info.base.name)));
  keys.text("adapter.type", "lora");
  keys.number("adapter.lora.alpha", static_cast<float>(info.alpha));
  keys.text(adapter_info_key, to_json(info, largest_rank(adapter.matrices)));
  std::vector<gguf::Piece> pieces;
  for (const StoredTensor& tensor : tensors.stored(where))
    pieces.push_back(
        {tensor.source.name, tensor.source.shape, tensor.type, [&tensor](TensorTable&) { return tensor; }});
  gguf::write(path, gguf::contents_of(keys, std::move(pieces), where));
  return {};
}

// The settings with which PEFT computes the same. All modules have their full names.
nlohmann::json peft_config(const PlainAdapter& adapter, bool is_miss, const std::string& where) {
  nlohmann::json json{{"peft_type", is_miss ? "MISS" : "LORA"},
                      {"base_model_name_or_path", adapter.info.base.name},
                      {"r", largest_rank(adapter.matrices)},
                      {"bias", "none"},
                      {"inference_mode", true},
                      {"target_modules", nlohmann::json::array()}};
  std::map<std::string, int64_t> ranks;
  for (const AdapterMatrix& matrix : adapter.matrices) {
    json["target_modules"].push_back(module_of(matrix.name));
    if (matrix.rank != json["r"]) ranks[module_of(matrix.name)] = matrix.rank;
  }
  require(!is_miss || ranks.empty(), "{}: matrices of MiSS have one rank in PEFT, but here {} and others",
          where, largest_rank(adapter.matrices));
  std::set<std::string> saved;
  for (const TensorEntry& tensor : adapter.file.whole) {
    require(
        tensor.name.ends_with(".weight") || tensor.name.ends_with(".bias"),
        "{}: PEFT replaces weights and biases of whole modules, but {} is neither; merge the adapter into "
        "its model (aviary merge)",
        where, in_quotes(tensor.name));
    saved.insert(module_of(tensor.name));
  }
  if (!saved.empty()) json["modules_to_save"] = saved;
  if (is_miss) {
    json["init_weights"] = true;
    json["mini_r"] = 1;
    json["miss_dropout"] = 0.0;
    return json;
  }
  json["lora_alpha"] = adapter.info.alpha;
  json["lora_dropout"] = 0.0;
  json["init_lora_weights"] = true;
  for (const char* off : {"use_rslora", "use_dora", "fan_in_fan_out"}) json[off] = false;
  if (!ranks.empty()) json["rank_pattern"] = ranks;
  return json;
}

std::vector<std::string> write_peft_folder(const fs::path& path, const PlainAdapter& adapter,
                                           std::optional<Dtype> type) {
  const std::string where = path.string(), prefix = "base_model.model.";
  require(!adapter.matrices.empty(),
          "{}: PEFT has no adapters of whole tensors alone; write a .safetensors or "
          ".pth file",
          where);
  const bool is_miss = adapter.matrices[0].a.empty();
  const std::string config = peft_config(adapter, is_miss, where).dump(2) + "\n";
  Tensors tensors(type);
  for (const AdapterMatrix& matrix : adapter.matrices) {
    const std::string module = prefix + module_of(matrix.name);
    if (is_miss) {
      tensors.add(module + ".miss_block", {matrix.rank, rows_of_b(matrix)},
                  turned_and_scaled(matrix, adapter.info.alpha));
    } else {
      tensors.add(module + ".lora_A.weight", {matrix.rank, cols_of_a(matrix)}, matrix.a);
      tensors.add(module + ".lora_B.weight", {rows_of_b(matrix), matrix.rank}, matrix.b);
    }
  }
  for (TensorEntry tensor : adapter.file.whole) {
    tensor.name = prefix + tensor.name;
    tensors.add(tensor);
  }
  AdapterInfo info = adapter.info;
  std::map<std::string, int64_t> inputs;
  if (is_miss) info.alpha = static_cast<double>(largest_rank(adapter.matrices));  // it is in the numbers
  for (const AdapterMatrix& matrix : adapter.matrices)
    if (is_miss && matrix.in > 0) inputs[matrix.name] = matrix.in;
  make_folders(path);
  write_safetensors(
      path / "adapter_model.safetensors", tensors.stored(where),
      {{"format", "pt"}, {adapter_info_key, to_json(info, largest_rank(adapter.matrices), inputs)}});
  write_file_atomically(path / "adapter_config.json", config);
  return {};
}

// W + B A - B0 A0.
void subtract_start(PlainAdapter& adapter, const AdapterRequest& request) {
  AdapterFile start = read_adapter(request.init);
  require(start.matrices.size() == adapter.matrices.size(), "{}: it has {} matrices, but {} has {}",
          start.where, start.matrices.size(), adapter.file.where, adapter.matrices.size());
  for (AdapterMatrix& matrix : adapter.matrices) {
    const auto found = std::ranges::find(start.matrices, matrix.name, &AdapterMatrix::name);
    require(found != start.matrices.end(), "{}: it has nothing for {}, which {} changes", start.where,
            in_quotes(matrix.name), adapter.file.where);
    matrix = difference(matrix, *found);
  }
}

}  // namespace

PlainAdapter plain_adapter(const AdapterRequest& request) {
  PlainAdapter adapter{read_adapter(request.path), {}, {}};
  AdapterFile& file = adapter.file;
  require_effect(file, request);
  adapter.matrices = file.matrices;
  std::vector<double> factors;
  for (const AdapterMatrix& matrix : adapter.matrices) factors.push_back(factor_of(file, request, matrix));
  if (!request.init.empty()) subtract_start(adapter, request);
  AdapterInfo& info = adapter.info;
  if (file.info) info = *file.info;
  info.rank_stabilized = false;
  if (adapter.matrices.empty()) {
    info.method = "parts";
    info.alpha = 1;
    return adapter;
  }
  const bool is_miss = adapter.matrices[0].a.empty();
  if (is_miss || !file.info || file.info->method == "miss") info.method = is_miss ? "miss" : "lora";
  if (!request.init.empty()) info.method = "pissa";
  require(factors[0] != 0, "{}: with this weight or alpha it adds nothing", file.where);
  const bool by_rank = file.scale == AdapterScale::alpha_by_rank && request.init.empty();
  const double first = factors[0] * static_cast<double>(adapter.matrices[0].rank);
  info.alpha = by_rank ? request.weight * (request.alpha ? *request.alpha : *file.alpha) : first;
  for (size_t i = 0; !by_rank && i < factors.size(); ++i) {
    AdapterMatrix& matrix = adapter.matrices[i];
    scale(matrix.b, factors[i] * static_cast<double>(matrix.rank) / first);
  }
  return adapter;
}

void add_base(PlainAdapter& adapter, const TensorFile& base, const fs::path& path, bool any) {
  const std::string& where = adapter.file.where;
  const BaseInfo found = base_info_of(base, path);
  if (!any) require_same_base(adapter.info.base, where, found);
  const std::unique_ptr<Model> model = prepare_model(base, path.string());
  for (AdapterMatrix& matrix : adapter.matrices)
    matrix.in = adapted_parameter(where, matrix, *model).spec.shape[1];
  for (const TensorEntry& tensor : adapter.file.whole) replaced_parameter(where, tensor, *model);
  adapter.info.base = found;
}

AdapterForm adapter_form_of(const fs::path& path) {
  std::error_code ignored;
  if (!path.has_filename() || fs::is_directory(path, ignored)) return AdapterForm::peft;
  require(
      path.has_extension(),
      "{0}: expected a name that ends in .safetensors, .pth or .gguf, or for a folder of Hugging Face PEFT "
      "in /, as {0}/",
      path.string());
  switch (target_of(path)) {
    case Target::pth:
      return AdapterForm::pth;
    case Target::gguf:
      return AdapterForm::gguf;
    default:
      return AdapterForm::aviary;
  }
}

std::vector<fs::path> files_of_form(const fs::path& path) {
  if (adapter_form_of(path) != AdapterForm::peft) return {path};
  return {path / "adapter_config.json", path / "adapter_model.safetensors"};
}

std::vector<std::string> write_adapter_as(const fs::path& path, const PlainAdapter& adapter,
                                          std::optional<Dtype> type) {
  switch (adapter_form_of(path)) {
    case AdapterForm::pth:
      return write_trainer_file(path, adapter, type);
    case AdapterForm::gguf:
      return write_llama_file(path, adapter, type);
    case AdapterForm::peft:
      return write_peft_folder(path, adapter, type);
    default:
      return write_own(path, adapter, type);
  }
}

}  // namespace aviary
