#include "checkpoints/open_model.h"

#include "base/error.h"
#include "base/files.h"
#include "formats/format.h"
#include "text/tokenizer_file.h"

namespace aviary {

namespace fs = std::filesystem;

fs::path model_file_at(const fs::path& path) {
  std::error_code ignored;
  const fs::path model = path / "model.safetensors";
  if (!fs::is_directory(path, ignored) || !fs::exists(model, ignored)) return path;
  try {
    const MappedFile file(model);
    const bool ours = parse_stored_tensors(file.bytes(), model.string()).metadata.contains("aviary.config");
    return ours ? model : path;
  } catch (const Error&) {
    return model;  // damaged: reported when the file is opened
  }
}

Checkpoint open_model(const fs::path& path, const OpenOptions& options) {
  const fs::path file = model_file_at(path);
  Checkpoint checkpoint = open_checkpoint(file, options.precision, options.cache, options.adapters);
  if (!options.tokenizer.empty()) {
    const std::string known = known_tokenizer_hash(checkpoint.metadata, checkpoint.tokenizer.get());
    checkpoint.tokenizer = open_tokenizer_for(options.tokenizer, checkpoint.model->config(), known,
                                              file.string(), options.any_tokenizer);
  } else if (!checkpoint.tokenizer && checkpoint.model->config().vocab_size == 256) {
    checkpoint.tokenizer = make_bytes_tokenizer();
  }
  if (checkpoint.tokenizer)
    checkpoint.begin_token = begin_token_of(checkpoint.metadata, *checkpoint.tokenizer, file.string());
  return checkpoint;
}

TokenizerPtr open_tokenizer(const std::string& name) {
  if (name == "bytes") return make_bytes_tokenizer();
  std::error_code ignored;
  if (fs::is_directory(name, ignored) ||
      (fs::is_regular_file(name, ignored) && file_format_of(MappedFile(name).bytes()))) {
    TokenizerPtr tokenizer = tokenizer_of_model(name);
    require(tokenizer != nullptr, "{}: this model has no tokenizer; name the file of a vocabulary instead",
            name);
    return tokenizer;
  }
  return read_tokenizer(read_file_or_pipe(name, largest_tokenizer_file), name);
}

TokenizerPtr tokenizer_of_model(const fs::path& path) {
  const fs::path model = model_file_at(path);
  const TensorFile file = read_tensor_file(model, Transposed::in_place);  // no tensor is read
  const ModelConfig config = config_of(file, model.string());
  const TokenizerPtr found = tokenizer_of(file, model.string(), config);
  return !found && config.vocab_size == 256 ? make_bytes_tokenizer() : found;
}

void require_fit(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& model) {
  require(tokenizer.vocab_size() <= config.vocab_size,
          "{}: the tokenizer has {} tokens, but the model only {}: not the one it was trained with", model,
          tokenizer.vocab_size(), config.vocab_size);
}

TokenizerPtr open_tokenizer_for(const std::string& name, const ModelConfig& config,
                                const std::string& known_hash, const std::string& model, bool any) {
  TokenizerPtr tokenizer = open_tokenizer(name);
  require_fit(*tokenizer, config, model);
  const std::string hash = tokenizer->hash_text();
  require(any || known_hash.empty() || hash == known_hash,
          "{}: the model was trained with another tokenizer than {} (its hash is {}, expected {}); name "
          "that one, or none (--force, any_tokenizer in the library, takes this one all the same)",
          model, name, hash, known_hash);
  return tokenizer;
}

}  // namespace aviary
