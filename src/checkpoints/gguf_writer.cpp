#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/gguf_writer.h"
#include "checkpoints/targets.h"
#include "formats/dialects.h"
#include "formats/gguf_contents.h"
#include "formats/gguf_vocabulary.h"
#include "formats/llama_names.h"

namespace aviary {
namespace {

using gguf::Contents;
using gguf::KeyWriter;
using gguf::Piece;

// The tensors with the names of llama.cpp, in the order of its tables.
class LlamaLayout {
 public:
  LlamaLayout(const LlamaArchitecture& architecture, std::span<const StoredTensor> tensors,
              const std::string& where)
      : architecture_(architecture), where_(where) {
    for (const StoredTensor& tensor : tensors) {
      require(by_name_.emplace(tensor.source.name, &tensor).second, "{}: two tensors are named {}", where,
              in_quotes(tensor.source.name));
    }
    for (const LlamaTensor& name : llama_outer_tensors())
      add(name, std::string(name.llama), wanted(name.original));
    while (by_name_.count(fmt::format("blocks.{}.ln1.weight", layers_)) != 0) add_block(layers_++);
    for (const StoredTensor& tensor : tensors)
      require(used_.count(tensor.source.name) != 0,
              "{}: tensor {} has no place in a GGUF file of {} as llama.cpp defines it; write a .safetensors "
              "file instead",
              where, in_quotes(tensor.source.name), architecture.name);
  }

  std::vector<Piece>& pieces() { return pieces_; }
  int64_t layers() const { return layers_; }

  // The size of an axis of a tensor; 0 if there is no such tensor or axis. Negative axes count from the end.
  int64_t size(const std::string& name, int axis) const {
    auto found = by_name_.find(name);
    if (found == by_name_.end()) return 0;
    const std::vector<int64_t>& shape = found->second->source.shape;
    const int64_t index = axis < 0 ? axis + std::ssize(shape) : axis;
    return index >= 0 && index < std::ssize(shape) ? shape[static_cast<size_t>(index)] : 0;
  }

 private:
  const StoredTensor& wanted(std::string_view name) {
    auto found = by_name_.find(name);
    require(found != by_name_.end(), "{}: the tensor {} is missing; llama.cpp loads no {} without it", where_,
            name, architecture_.name);
    used_.insert(found->first);
    return *found->second;
  }

  void add_block(int64_t layer) {
    const std::string original = fmt::format("blocks.{}.", layer), llama = fmt::format("blk.{}.", layer);
    for (const LlamaTensor& name : architecture_.block) {
      const std::string own = original + std::string(name.original);
      if (is_llama_filler(architecture_, layer, name)) {
        if (auto unused = by_name_.find(own); unused != by_name_.end()) used_.insert(unused->first);
        std::string filler = own;  // att.v1 is filled with att.a1
        filler[filler.size() - 2] = 'a';
        add(name, llama + std::string(name.llama), wanted(filler));
      } else {
        add(name, llama + std::string(name.llama), wanted(own));
      }
    }
    add_fused(original, llama + std::string(llama_fused));
  }

  void add(const LlamaTensor& name, std::string llama, const StoredTensor& tensor) {
    Piece piece{.name = std::move(llama), .shape = tensor.source.shape, .type = Dtype::f32, .make = {}};
    if (!name.always_f32 && tensor.type != Dtype::f64) piece.type = tensor.type;
    const size_t rank = piece.shape.size();
    if (name.form == LlamaForm::transposed) {
      require(rank >= 2, "{}: tensor {} has the shape [{}], expected a matrix", where_,
              in_quotes(tensor.source.name), fmt::join(piece.shape, ", "));
      std::swap(piece.shape[rank - 1], piece.shape[rank - 2]);
      // Small enough that llama.cpp itself does not quantize them.
      if (is_quantized(piece.type)) piece.type = Dtype::f16;
    } else if (name.form != LlamaForm::same) {
      piece.shape = {count_of(tensor.source)};
    }
    piece.make = [&tensor, shape = piece.shape, type = piece.type, form = name.form,
                  where = where_](TensorTable& scratch) {
      TensorEntry entry = form == LlamaForm::transposed
                              ? transposed(scratch, tensor.source, tensor.source.name, where)
                              : tensor.source;
      entry.shape = shape;
      return StoredTensor{std::move(entry), type};
    };
    pieces_.push_back(std::move(piece));
  }

  void add_fused(const std::string& original, std::string llama) {
    std::vector<const StoredTensor*> rows;
    for (std::string_view name : architecture_.fused) {
      rows.push_back(&wanted(original + std::string(name)));
      require(count_of(rows.back()->source) == count_of(rows[0]->source),
              "{}: tensor {} has {} numbers, expected {}", where_, in_quotes(rows.back()->source.name),
              count_of(rows.back()->source), count_of(rows[0]->source));
    }
    const int64_t channels = count_of(rows[0]->source);
    const std::vector<int64_t> shape{std::ssize(rows), 1, 1, channels};
    pieces_.push_back({std::move(llama), shape, Dtype::f32, [rows, shape, channels](TensorTable& scratch) {
                         const size_t row = static_cast<size_t>(channels);
                         std::vector<float> numbers(rows.size() * row);
                         for (size_t i = 0; i < rows.size(); ++i)
                           to_floats(rows[i]->source, std::span(numbers).subspan(i * row, row));
                         return StoredTensor{made_tensor(scratch, "", shape, numbers), Dtype::f32};
                       }});
  }

  const LlamaArchitecture& architecture_;
  const std::string& where_;
  std::unordered_map<std::string_view, const StoredTensor*> by_name_;
  std::unordered_set<std::string_view> used_;
  std::vector<Piece> pieces_;
  int64_t layers_ = 0;
};

void add_llama_keys(KeyWriter& keys, const LlamaArchitecture& architecture, const LlamaLayout& layout) {
  const std::string prefix = std::string(architecture.name) + ".";
  auto number = [&](const char* key, int64_t value) { keys.number(prefix + key, value); };
  number("context_length", 1 << 20);  // a finite state has no maximum length
  number("embedding_length", layout.size("emb.weight", 1));
  number("block_count", layout.layers());
  keys.number(prefix + "attention.layer_norm_epsilon", 1e-5f);
  number("feed_forward_length", layout.size("blocks.0.ffn.key.weight", 0));
  number("attention.head_count", 0);
  if (architecture.name == "rwkv7") {
    number("wkv.head_size", layout.size("blocks.0.att.r_k", 1));
    number("attention.decay_lora_rank", layout.size("blocks.0.att.w1", 1));
    number("attention.iclr_lora_rank", layout.size("blocks.0.att.a1", 1));
    number("attention.value_residual_mix_lora_rank", layout.size("blocks.1.att.v1", 1));
    number("attention.gate_lora_rank", layout.size("blocks.0.att.g1", 1));
  } else {
    number("wkv.head_size", layout.size("blocks.0.att.time_faaaa", 1));
    number("time_mix_extra_dim", layout.size("blocks.0.att.time_maa_w2", -2));
    number("time_decay_extra_dim", layout.size("blocks.0.att.time_decay_w1", 1));
    // The matrices are stored without scaling: division would cost small numbers precision in half precision.
    number("rescale_every_n_layers", 0);
  }
}

// The value of general.file_type: the most common type.
int64_t file_type(std::span<const Piece> pieces) {
  constexpr std::pair<Dtype, int64_t> values[] = {{Dtype::f32, 0},   {Dtype::f16, 1},   {Dtype::q4_0, 2},
                                                  {Dtype::q4_1, 3},  {Dtype::q8_0, 7},  {Dtype::q5_0, 8},
                                                  {Dtype::q5_1, 9},  {Dtype::q4_k, 14}, {Dtype::q5_k, 16},
                                                  {Dtype::q6_k, 18}, {Dtype::bf16, 32}};
  std::array<int64_t, dtype_count> numbers{};
  for (const Piece& piece : pieces) {
    int64_t count = 1;
    for (int64_t size : piece.shape) count *= size;
    numbers[static_cast<size_t>(piece.type)] += count;
  }
  const auto most = std::max_element(numbers.begin(), numbers.end()) - numbers.begin();
  for (auto [type, value] : values)
    if (static_cast<int64_t>(type) == most) return value;
  return 0;
}

// Keys with a meaning in llama.cpp that are written elsewhere here, or that do not contain text.
bool is_kept(std::string_view key) {
  constexpr std::string_view texts[] = {"general.author",      "general.version", "general.organization",
                                        "general.description", "general.license", "general.url"};
  if (std::find(std::begin(texts), std::end(texts), key) != std::end(texts)) return true;
  for (std::string_view prefix : {"general.", "tokenizer.", "rwkv6.", "rwkv7.", "split.", "quantize."})
    if (key.starts_with(prefix)) return false;
  for (std::string_view own :
       {"aviary.config", "aviary.tokenizer", "aviary.tokenizer_hash", "aviary.vocabulary"})
    if (key == own) return false;
  return true;
}

// In a chat, an empty line ends a message.
void add_chat_keys(KeyWriter& keys, const std::string& chat_template, std::span<const gguf::Token> tokens) {
  keys.text("tokenizer.chat_template", chat_template);
  for (size_t id = 0; id < tokens.size(); ++id)
    if (tokens[id].text == "\\n\\n") keys.number("tokenizer.ggml.eot_token_id", static_cast<int64_t>(id));
}

void add_vocabulary_keys(KeyWriter& keys, int64_t vocab_size, const Tokenizer* tokenizer,
                         const std::map<std::string, std::string>& metadata) {
  const bool known = tokenizer && (tokenizer->kind() == "world" || tokenizer->kind() == "bytes");
  if (tokenizer) {
    keys.text("aviary.tokenizer", tokenizer->kind());
    keys.text("aviary.tokenizer_hash", tokenizer->hash_text());
    if (!known) keys.text("aviary.vocabulary", tokenizer->serialize());
  }
  // llama.cpp aborts if it finds no token for a text, even while loading a model.
  const std::vector<gguf::Token> tokens = gguf::tokens_of(known ? tokenizer : nullptr, vocab_size);
  keys.text("tokenizer.ggml.model", "rwkv");
  keys.tokens(tokens);
  keys.number("tokenizer.ggml.bos_token_id", int64_t{0});
  keys.number("tokenizer.ggml.eos_token_id", int64_t{0});
  if (!known) keys.number("tokenizer.ggml.unknown_token_id", int64_t{0});
  auto given = metadata.find("tokenizer.chat_template");
  if (given != metadata.end())  // under the name that llama.cpp has for it
    add_chat_keys(keys, given->second == "world" ? "rwkv-world" : given->second, tokens);
  else if (tokenizer && is_published_world(*tokenizer))  // whose models are trained for chat
    add_chat_keys(keys, "rwkv-world", tokens);
}

std::vector<Piece> pieces_as_they_are(std::span<const StoredTensor> tensors, const std::string& where) {
  std::unordered_set<std::string_view> names;
  std::vector<Piece> pieces;
  for (const StoredTensor& tensor : tensors) {
    require(names.insert(tensor.source.name).second, "{}: two tensors are named {}", where,
            in_quotes(tensor.source.name));
    pieces.push_back(
        {tensor.source.name, tensor.source.shape, tensor.type, [&tensor](TensorTable&) { return tensor; }});
  }
  return pieces;
}

void check_gguf(const StoredTensor& tensor, const std::string& where) {
  require(static_cast<uint64_t>(expected_bytes(tensor.source, where)) == tensor.source.data.size(),
          "{}: tensor {} has {} bytes of data, its shape needs {}", where, in_quotes(tensor.source.name),
          tensor.source.data.size(), expected_bytes(tensor.source, where));
}

Contents contents_of(const std::string& where, const ModelConfig& config,
                     std::span<const StoredTensor> tensors,
                     const std::map<std::string, std::string>& metadata, const Tokenizer* tokenizer) {
  for (const StoredTensor& tensor : tensors) check_gguf(tensor, where);
  const LlamaArchitecture* llama = is_of_llama(config) ? find_llama_architecture(config.version) : nullptr;
  KeyWriter keys;
  keys.text("general.architecture", llama ? llama->name : "aviary");
  auto name = metadata.find("general.name");
  keys.text("general.name", name != metadata.end()
                                ? name->second
                                : fmt::format("{} L{} D{}", config.version, config.n_layer, config.n_embd));
  std::vector<Piece> pieces;
  if (llama) {
    LlamaLayout layout(*llama, tensors, where);
    add_llama_keys(keys, *llama, layout);
    pieces = std::move(layout.pieces());
  } else {
    pieces = pieces_as_they_are(tensors, where);
  }
  keys.number("general.file_type", file_type(pieces));
  keys.text("aviary.config", to_json(config));
  for (const auto& [key, value] : metadata)
    if (is_kept(key)) keys.text(key, value);
  add_vocabulary_keys(keys, config.vocab_size, tokenizer, metadata);

  return gguf::contents_of(keys, std::move(pieces), where);
}

}  // namespace

void write_gguf(const std::filesystem::path& path, const ModelConfig& config,
                std::span<const StoredTensor> tensors, const std::map<std::string, std::string>& metadata,
                const Tokenizer* tokenizer, const WriteProgress& progress) {
  gguf::write(path, contents_of(path.string(), config, tensors, metadata, tokenizer), progress);
}

int64_t gguf_bytes(const std::filesystem::path& path, const ModelConfig& config,
                   std::span<const StoredTensor> tensors, const std::map<std::string, std::string>& metadata,
                   const Tokenizer* tokenizer) {
  const std::string where = path.string();
  return gguf::bytes_of(contents_of(where, config, tensors, metadata, tokenizer), where);
}

}  // namespace aviary
