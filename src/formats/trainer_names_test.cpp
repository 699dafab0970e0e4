#include "formats/trainer_names.h"

#include <gtest/gtest.h>

#include <functional>

#include "checkpoints/checkpoint.h"
#include "formats/safetensors.h"
#include "support/test_bytes.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

using Rename = std::function<std::string(const std::string&)>;

// A golden model as a trainer saves it: renamed, with further tensors beside it.
class Saved {
 public:
  Saved(const std::string& folder, const Rename& rename, std::vector<TensorEntry> more = {})
      : original_(read_tensor_file(golden(folder + "/model.safetensors"))) {
    std::vector<TensorEntry> tensors(original_.tensors());
    for (TensorEntry& tensor : tensors) tensor.name = rename(tensor.name);
    for (TensorEntry& tensor : more) tensors.push_back(std::move(tensor));
    write_safetensors(folder_ / "model.st", unchanged(tensors));
  }
  TensorFile read() const { return read_tensor_file(folder_ / "model.st"); }
  void expect_original() const {
    const TensorFile file = read();
    EXPECT_EQ(file.tensors().size(), original_.tensors().size());
    for (const TensorEntry& tensor : original_.tensors())
      EXPECT_NE(file.find(tensor.name), nullptr) << tensor.name;
    EXPECT_NO_THROW(load_checkpoint(folder_ / "model.st"));
  }
  std::string refusal() const {
    try {
      load_checkpoint(folder_ / "model.st");
      return "opened";
    } catch (const Error& error) {
      return error.what();
    }
  }

 private:
  const TestFolder folder_;
  const TensorFile original_;
};

Rename with(const std::string& prefix) {
  return [prefix](const std::string& name) { return prefix + name; };
}

TEST(TrainerNames, PrefixesOfWrappersAreLeftOut) {
  for (const char* prefix :
       {"module.", "model.", "_orig_mod.", "_forward_module.", "_forward_module.model.", "module._orig_mod.",
        "_orig_mod.module.", "model._orig_mod.", "_forward_module.module._orig_mod.model.", "module.module."})
    for (const char* version : {"rwkv-v4", "rwkv-v7", "rwkv-v1"}) {
      SCOPED_TRACE(prefix + (" "s + version));
      Saved(version, with(prefix)).expect_original();
    }
}

TEST(TrainerNames, WrappersOfSingleBlocksAreLeftOut) {
  Saved("rwkv-v7", [](std::string name) {
    if (const size_t at = name.find(".att."); at != name.npos) name.insert(at + 1, "_orig_mod.");
    return name;
  }).expect_original();
  Saved("rwkv-v6", [](std::string name) {
    if (name.starts_with("blocks.1.")) name.insert(9, "_fsdp_wrapped_module._checkpoint_wrapped_module.");
    return "_fsdp_wrapped_module." + name;
  }).expect_original();
}

TEST(TrainerNames, CountersBesideTheModelAreLeftOutWithANote) {
  const std::string numbers = le(int64_t{7});
  const Bytes data = std::as_bytes(std::span(numbers));
  const Saved saved(
      "rwkv-v7", with("module."),
      {{"n_averaged", Dtype::i64, {}, data}, {"best_val_loss", Dtype::f32, {1}, data.first(4)}});
  saved.expect_original();
  ASSERT_EQ(saved.read().notes().size(), 1u);
  EXPECT_NE(saved.read().notes()[0].find("'best_val_loss'"), std::string::npos) << saved.read().notes()[0];
  EXPECT_NE(saved.read().notes()[0].find("'n_averaged'"), std::string::npos) << saved.read().notes()[0];
  // A single number inside a block may be a parameter of a variant.
  const Saved variant("rwkv-v7", with(""), {{"blocks.0.att.scale", Dtype::f32, {1}, data.first(4)}});
  EXPECT_NE(variant.refusal().find("blocks.0.att.scale is not part of"), std::string::npos)
      << variant.refusal();
}

TEST(TrainerNames, APrefixThatIsNotUnderstoodIsNamed) {
  const std::string four(4, '\0');
  const Saved two("rwkv-v7", with("student."),
                  {{"teacher.x", Dtype::f32, {1}, std::as_bytes(std::span(four))}});
  EXPECT_NE(two.refusal().find("behind the prefix 'student.' there is RWKV-7 Goose"), std::string::npos)
      << two.refusal();
  const Saved mixed("rwkv-v4", with("model."),
                    {{"criterion.weight", Dtype::f32, {1}, std::as_bytes(std::span(four))}});
  EXPECT_NE(mixed.refusal().find("behind the prefix 'model.'"), std::string::npos) << mixed.refusal();
}

}  // namespace
}  // namespace aviary
