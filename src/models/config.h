// The version, sizes and options that define a model.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace aviary {

// The value of an option: a number or a string.
using OptionValue = std::variant<int64_t, std::string>;

enum class OptionKind : uint8_t {
  on_off,  // 1, or 0 for off
  width,   // width of the matrices that the option adds; 0: off
  block,   // the index of a block
  text,    // empty: off
};

// An option of a version, in addition to its sizes. The file of the version declares and reads it.
struct ModelOption {
  const char* name;  // in files: "head_qk"; on the command line --head-qk
  const char* help;
  OptionKind kind = OptionKind::on_off;
  int64_t sample = 1;             // a sample value for tests
  const char* sample_text = "";   // the same for a string
  int64_t most = 65536;           // the largest allowed number
  const ModelOption* needs = {};  // an option that this one requires
  bool in_tensors = true;         // can be recognized from the names and shapes of the tensors
  bool of_start = false;  // concerns initial values only: a trained model computes the same without it
};

// "head_qk" -> "--head-qk"
std::string flag_of(const ModelOption& option);

// Values of options by name, without those that are off.
class Options {
 public:
  Options() = default;
  Options(std::initializer_list<std::pair<const std::string, OptionValue>> values);

  // 0 if it is off or a string.
  int64_t number(std::string_view name) const;
  // Empty if it is off or a number.
  const std::string& text(std::string_view name) const;
  void set(std::string_view name, OptionValue value);

  auto begin() const { return values_.begin(); }
  auto end() const { return values_.end(); }
  bool operator==(const Options&) const = default;

 private:
  std::map<std::string, OptionValue, std::less<>> values_;
};

// "8", or "\"4,2,1\""
std::string describe(const OptionValue& value);

struct ModelConfig {
  std::string version;  // a registered name: "rwkv4", "rwkv7"
  // For versions that have several: the recipe (initialization and learning rates) and the variant. Empty:
  // the default.
  std::string recipe{}, variant{};
  int64_t n_layer = 0;
  int64_t n_embd = 0;
  int64_t vocab_size = 0;
  int64_t head_size = 0;  // for versions with heads
  int64_t dim_att = 0;    // width inside time mixing; 0: n_embd
  int64_t dim_ffn = 0;    // 0: the version's own rule
  int64_t ctx_len = 0;    // sequence length in training; 0: unknown. A limit only for some versions
  // Ranks of low-rank matrices; 0: the version's own rule.
  int64_t rank_decay = 0, rank_a = 0, rank_v = 0, rank_gate = 0, rank_mix = 0;
  Options options{};  // only options that the version declares

  int64_t number(const ModelOption& option) const { return options.number(option.name); }
  bool has(const ModelOption& option) const { return number(option) != 0 || !text(option).empty(); }
  const std::string& text(const ModelOption& option) const { return options.text(option.name); }
  void set(const ModelOption& option, OptionValue value) { options.set(option.name, std::move(value)); }

  bool operator==(const ModelConfig&) const = default;
};

// The sizes of a config by name, for files and settings.
struct ConfigNumber {
  const char* name;
  int64_t ModelConfig::*member;
};
std::span<const ConfigNumber> config_numbers();

// The distance of each of `channels` channels given by a token_shift: "2", or "4,2,1" for equal parts of the
// channels. Throws Error.
std::vector<int32_t> shift_distances(const std::string& token_shift, int64_t channels);

}  // namespace aviary
