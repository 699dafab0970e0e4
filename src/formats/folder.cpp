#include "formats/folder.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/human.h"
#include "base/json.h"
#include "formats/bytes.h"
#include "formats/dialects.h"
#include "formats/folder_config.h"
#include "formats/format.h"
#include "text/tokenizer_file.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t largest_json = size_t{16} << 20;
constexpr const char* run_key = "aviary.config";

// In the order in which other programs look for them.
struct Layout {
  std::string_view file;
  bool index;
};
constexpr Layout layouts[] = {{"model.safetensors", false},
                              {"model.safetensors.index.json", true},
                              {"pytorch_model.bin", false},
                              {"pytorch_model.bin.index.json", true}};

std::optional<Layout> layout_of(const fs::path& folder) {
  for (const Layout& layout : layouts)
    if (fs::exists(folder / layout.file)) return layout;
  return {};
}

// Suggests files in the folder with the extensions of models ("did you mean ...?"); empty if there are none.
std::string did_you_mean(const fs::path& folder) {
  std::set<std::string> files;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    for (std::string_view ending : {".pth", ".safetensors", ".st", ".gguf", ".bin"})
      if (entry.path().extension() == ending && entry.is_regular_file(ignored))
        files.insert(entry.path().string());
  if (files.empty()) return "";
  const size_t more = files.size() - 1;
  return fmt::format("; did you mean {}{}?", *files.begin(),
                     more ? fmt::format(" or one of {} more", more) : "");
}

Layout require_layout(const fs::path& folder) {
  const std::optional<Layout> layout = layout_of(folder);
  if (!layout)
    fail(
        "{}: there is no model in this folder; expected model.safetensors or pytorch_model.bin, or one of "
        "them in parts with its .index.json{}",
        folder.string(), did_you_mean(folder));
  return *layout;
}

Json read_json(const fs::path& path) {
  const MappedFile file(path);
  require(file.bytes().size() <= largest_json, "{}: it has {} bytes, expected at most {}", path.string(),
          file.bytes().size(), largest_json);
  Json json = parse_json(as_text(file.bytes()), path.string());
  require(json.is_object(), "{}: not a JSON object; the file is damaged", path.string());
  return json;
}

// The file of each tensor. Files must be inside the folder: a name that leads outside is an error, whether it
// exists or not.
using WeightMap = std::map<std::string, std::string>;

WeightMap read_index(const fs::path& path) {
  const Json json = read_json(path);
  const auto map = json.find("weight_map");
  require(map != json.end() && map->is_object() && !map->empty(),
          "{}: there is no weight_map that says which file each tensor is in", path.string());
  WeightMap files;
  for (const auto& [tensor, file] : map->items()) {
    require(file.is_string(), "{}: the file name of tensor {} is not a string", path.string(),
            in_quotes(tensor));
    const fs::path name = file.get<std::string>();
    require(!name.empty() && name.is_relative() && std::find(name.begin(), name.end(), "..") == name.end(),
            "{}: tensor {} would be in {}, which is not inside the folder", path.string(), in_quotes(tensor),
            in_quotes(name.string()));
    files.emplace(tensor, name.string());
  }
  return files;
}

void append_file(FolderTensors& parts, const fs::path& path) {
  parts.files.emplace_back(path);
  TensorTable table = parse_stored_tensors(parts.files.back().bytes(), path.string());
  parts.table.format = table.format;
  parts.table.metadata.merge(table.metadata);
  std::move(table.notes.begin(), table.notes.end(), std::back_inserter(parts.table.notes));
  std::move(table.tensors.begin(), table.tensors.end(), std::back_inserter(parts.table.tensors));
  std::move(table.buffers.begin(), table.buffers.end(), std::back_inserter(parts.table.buffers));
}

FolderTensors read_parts(const fs::path& index) {
  const WeightMap map = read_index(index);
  std::set<std::string> files;
  for (const auto& [tensor, file] : map) files.insert(file);
  FolderTensors parts;
  for (const std::string& file : files) {
    const size_t first = parts.table.tensors.size();
    append_file(parts, index.parent_path() / file);
    for (size_t i = first; i < parts.table.tensors.size(); ++i) {
      const std::string& name = parts.table.tensors[i].name;
      auto place = map.find(name);
      require(place != map.end() && place->second == file, "{}: it holds tensor {}, but {} says that {}",
              (index.parent_path() / file).string(), in_quotes(name), index.filename().string(),
              place == map.end() ? "there is none" : "it is in " + in_quotes(place->second));
    }
  }
  std::set<std::string_view> there;
  for (const TensorEntry& tensor : parts.table.tensors) there.insert(tensor.name);
  for (const auto& [tensor, file] : map)
    require(there.contains(tensor), "{}: tensor {} is not in {}, where {} says that it is",
            index.parent_path().string(), in_quotes(tensor), in_quotes(file), index.filename().string());
  return parts;
}

// Nothing if there is no such file, or if it does not contain a supported tokenizer, which a note tells where
// notes are asked for.
TokenizerPtr try_tokenizer(const fs::path& path, std::vector<std::string>* notes = nullptr) {
  if (!fs::exists(path)) return nullptr;
  try {
    const MappedFile file(path);
    require(std::ssize(file.bytes()) <= largest_tokenizer_file, "{}: {}, expected at most {}", path.string(),
            human_bytes(std::ssize(file.bytes())), human_bytes(largest_tokenizer_file));
    return read_tokenizer(as_text(file.bytes()), path.string());
  } catch (const Error& error) {
    if (notes)
      notes->push_back(
          fmt::format("the folder's {} is not used: {}", path.filename().string(), error.what()));
    return nullptr;
  }
}

// The vocabulary of the World models has a fixed name; any other .txt file may be a vocabulary or just a
// text.
TokenizerPtr tokenizer_beside(const fs::path& folder, std::vector<std::string>* notes) {
  const fs::path official = folder / "rwkv_vocab_v20230424.txt";
  if (fs::exists(official)) {
    TokenizerPtr tokenizer = try_tokenizer(official);
    require(tokenizer != nullptr, "{}: not a vocabulary in the World format; the file is damaged",
            official.string());
    return tokenizer;
  }
  if (TokenizerPtr tokenizer = try_tokenizer(folder / "tokenizer.json", notes)) return tokenizer;
  std::set<fs::path> texts;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().extension() == ".txt") texts.insert(entry.path());
  for (const fs::path& text : texts)
    if (TokenizerPtr tokenizer = try_tokenizer(text)) return tokenizer;
  return nullptr;
}

}  // namespace

std::vector<fs::path> files_of_folder(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code ignored;
  for (const Layout& layout : layouts) {
    files.push_back(folder / layout.file);
    if (!layout.index || !fs::exists(files.back(), ignored)) continue;
    try {
      for (const auto& [tensor, part] : read_index(files.back())) files.push_back(folder / part);
    } catch (const Error&) {  // damaged: reported when the folder is read
    }
  }
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().extension() == ".json" || entry.path().extension() == ".txt")
      files.push_back(entry.path());
  return files;
}

FolderTensors read_folder(const fs::path& folder, Transposed of_transposed) {
  const Layout layout = require_layout(folder);
  FolderTensors parts;
  if (layout.index)
    parts = read_parts(folder / layout.file);
  else
    append_file(parts, folder / layout.file);
  parts.table.of_transposed = of_transposed;
  parts.table = to_original_names(std::move(parts.table), folder.string());
  TensorTable& table = parts.table;
  if (const fs::path config = folder / "config.json"; !table.metadata.contains(run_key) && fs::exists(config))
    obey_config(read_json(config), config.string(), table);
  if (table.metadata.contains("aviary.tokenizer")) return parts;
  const TokenizerPtr tokenizer = tokenizer_beside(folder, &table.notes);
  if (tokenizer) {
    table.metadata["aviary.tokenizer"] = tokenizer->kind();
    table.metadata["aviary.vocabulary"] = tokenizer->serialize();
  }
  if (const fs::path config = folder / "tokenizer_config.json"; fs::exists(config))
    obey_tokenizer_config(read_json(config), config.string(), tokenizer.get(), table);
  return parts;
}

}  // namespace aviary
