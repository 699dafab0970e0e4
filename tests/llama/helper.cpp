// Functions of libaviary that the test of llama.cpp needs and no command offers.
// clang-format off
//   llama_helper make WIDTH LAYERS OUT.safetensors VOCABULARY   a random RWKV-7; "-" learns words from stdin
//   llama_helper adapt MODEL OUT.safetensors METHOD             a random adapter, lora or miss, for its matrices
//   llama_helper tokenize MODEL                                 a JSON list of texts on stdin, their tokens
//   llama_helper quantize LIBRARY IN.gguf OUT.gguf FILE_TYPE    by llama.cpp itself
// clang-format on
#include <dlfcn.h>
#include <fmt/format.h>

#include <cmath>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "checkpoints/adapter_writer.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/gguf_writer.h"
#include "formats/gguf.h"
#include "models/registry.h"
#include "text/vocabulary_trainer.h"

namespace {

using namespace aviary;

std::string read_stdin() { return {std::istreambuf_iterator<char>(std::cin), {}}; }

// With the initialization of the trainer many parameters have no effect; noise makes every parameter matter.
void add_noise(Model& model) {
  uint64_t stream = 0;
  for (Parameter& parameter : model.parameters()) {
    Random random = Random(11).split(stream++);
    const Tensor& value = parameter.weight.value();
    const std::string& name = parameter.spec.name;
    const bool matrix = value.shape().rank() == 2 && name.ends_with(".weight");
    // Logits with a standard deviation of 2 to 3, as in trained models.
    const double of_matrix = name == "head.weight" ? 2 : 0.7;
    const double scale = name == "emb.weight" ? 0.3
                         : matrix             ? of_matrix / std::sqrt(static_cast<double>(value.shape()[1]))
                                              : 0.1;
    for (int64_t i = 0; i < value.count(); ++i)
      value.as<float>()[i] += static_cast<float>(scale * random.normal());
  }
  model.parameters().changed();
}

void make(int64_t width, int64_t layers, const std::string& out, const std::string& vocabulary) {
  const std::string text =
      vocabulary == "-" ? train_vocabulary(read_stdin(), 700) : read_file(vocabulary, int64_t{1} << 24);
  const TokenizerPtr tokenizer = make_world_tokenizer(text);
  ModelConfig config{.version = "rwkv7", .recipe = "", .n_layer = layers, .n_embd = width};
  config.vocab_size = (tokenizer->vocab_size() + 15) / 16 * 16;  // some ids without a token
  config.head_size = 64;
  const std::unique_ptr<Model> model = create_model(config);
  model->parameters().initialize(5);
  add_noise(*model);
  save_checkpoint(out, *model, tokenizer.get());
}

// For every matrix that llama.cpp adapts, with an effect as large as that of a strong fine-tuning.
void adapt(const std::string& path, const std::string& out, const std::string& method) {
  constexpr int64_t rank = 5;  // does not divide the widths
  const TensorFile file = read_tensor_file(path);
  std::vector<AdapterMatrix> matrices;
  uint64_t stream = 0;
  for (const TensorEntry& tensor : file.tensors()) {
    const std::string& name = tensor.name;
    const bool inside = name.find(".att.") != name.npos || name.find(".ffn.") != name.npos;
    if (!inside || tensor.shape.size() != 2 || !name.ends_with(".weight")) continue;
    AdapterMatrix& matrix = matrices.emplace_back(AdapterMatrix{.name = name, .rank = rank});
    matrix.in = tensor.shape[1];
    Random random = Random(13).split(stream++);
    const auto numbers = [&](int64_t count, double scale) {
      std::vector<float> result(static_cast<size_t>(count));
      for (float& number : result) number = static_cast<float>(scale * random.normal());
      return result;
    };
    if (method == "lora") matrix.a = numbers(rank * matrix.in, 1 / std::sqrt(static_cast<double>(matrix.in)));
    matrix.b = numbers(tensor.shape[0] * rank, method == "lora" ? 0.2 : 0.01);
  }
  write_adapter(out, {.method = method, .alpha = 7, .base = base_info_of(file, path)}, matrices);
}

void write_rwkv6(const std::string& in, const std::string& out) {
  const TensorFile file = read_tensor_file(in);
  write_gguf(out, config_of(file, in), unchanged(file.tensors()));
}

void tokenize(const std::string& path) {
  const TensorFile file = read_tensor_file(path);
  const TokenizerPtr tokenizer = tokenizer_of(file, path, config_of(file, path));
  require(tokenizer != nullptr, "{}: the file carries no tokenizer", path);
  nlohmann::json tokens = nlohmann::json::array();
  for (const auto& text : nlohmann::json::parse(read_stdin()))
    tokens.push_back(tokenizer->encode(text.get<std::string>()));
  std::cout << tokens << "\n";
}

// The first fields of llama.cpp's parameters; llama.cpp itself sets and reads the others.
struct QuantizeParameters {
  int32_t threads = 0, file_type = 0;
  char others[1016] = {};
};

template <typename Function>
Function symbol(void* library, const char* name) {
  void* found = ::dlsym(library, name);
  require(found != nullptr, "llama.cpp has no {}", name);
  return reinterpret_cast<Function>(found);
}

void quantize(const char* path, const char* in, const char* out, int32_t file_type) {
  void* library = ::dlopen(path, RTLD_NOW);
  require(library != nullptr, "{}: cannot be loaded: {}", path, library ? "" : ::dlerror());
  auto parameters = symbol<QuantizeParameters (*)()>(library, "llama_model_quantize_default_params")();
  parameters.threads = 1;
  parameters.file_type = file_type;
  const uint32_t failed = symbol<uint32_t (*)(const char*, const char*, const QuantizeParameters*)>(
      library, "llama_model_quantize")(in, out, &parameters);
  require(failed == 0, "{}: llama.cpp did not quantize it", in);
}

}  // namespace

int main(int argc, char** argv) try {
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (args.size() == 5 && args[0] == "make")
    make(std::stoll(args[1]), std::stoll(args[2]), args[3], args[4]);
  else if (args.size() == 3 && args[0] == "rwkv6")
    write_rwkv6(args[1], args[2]);
  else if (args.size() == 4 && args[0] == "adapt")
    adapt(args[1], args[2], args[3]);
  else if (args.size() == 2 && args[0] == "tokenize")
    tokenize(args[1]);
  else if (args.size() == 5 && args[0] == "quantize")
    quantize(argv[2], argv[3], argv[4], std::stoi(args[4]));
  else
    fail(
        "usage: make WIDTH LAYERS OUT VOCABULARY, rwkv6 IN OUT, adapt MODEL OUT METHOD, tokenize MODEL, "
        "quantize "
        "LIBRARY IN OUT FILE_TYPE");
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
