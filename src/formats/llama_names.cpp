#include "formats/llama_names.h"

namespace aviary {
namespace {

using enum LlamaForm;

constexpr LlamaTensor outer[] = {
    {"emb.weight", "token_embd.weight"},
    {"blocks.0.ln0.weight", "token_embd_norm.weight", same, true},
    {"blocks.0.ln0.bias", "token_embd_norm.bias", same, true},
    {"ln_out.weight", "output_norm.weight", same, true},
    {"ln_out.bias", "output_norm.bias", same, true},
    {"head.weight", "output.weight"},
};

constexpr LlamaTensor rwkv7_block[] = {
    {"ln1.weight", "attn_norm.weight", same, true},
    {"ln1.bias", "attn_norm.bias", same, true},
    {"ln2.weight", "attn_norm_2.weight", same, true},
    {"ln2.bias", "attn_norm_2.bias", same, true},
    {"att.w0", "time_mix_w0.weight", channels, true},
    {"att.w1", "time_mix_w1.weight", transposed, true},
    {"att.w2", "time_mix_w2.weight", transposed, true},
    {"att.a0", "time_mix_a0.weight", channels, true},
    {"att.a1", "time_mix_a1.weight", transposed},
    {"att.a2", "time_mix_a2.weight", transposed},
    {"att.v0", "time_mix_v0.weight", channels, true},
    {"att.v1", "time_mix_v1.weight", transposed},
    {"att.v2", "time_mix_v2.weight", transposed},
    {"att.g1", "time_mix_g1.weight", transposed},
    {"att.g2", "time_mix_g2.weight", transposed},
    {"att.k_k", "time_mix_k_k.weight", channels, true},
    {"att.k_a", "time_mix_k_a.weight", channels, true},
    {"att.r_k", "time_mix_r_k.weight", heads, true},
    {"att.ln_x.weight", "time_mix_ln.weight", same, true},
    {"att.ln_x.bias", "time_mix_ln.bias", same, true},
    {"att.receptance.weight", "time_mix_receptance.weight"},
    {"att.key.weight", "time_mix_key.weight"},
    {"att.value.weight", "time_mix_value.weight"},
    {"att.output.weight", "time_mix_output.weight"},
    {"ffn.x_k", "channel_mix_lerp_k.weight", channels, true},
    {"ffn.key.weight", "channel_mix_key.weight"},
    {"ffn.value.weight", "channel_mix_value.weight"},
};
constexpr std::string_view rwkv7_fused[] = {"att.x_r", "att.x_w", "att.x_k", "att.x_v", "att.x_a", "att.x_g"};

constexpr LlamaTensor rwkv6_block[] = {
    {"ln1.weight", "attn_norm.weight", same, true},
    {"ln1.bias", "attn_norm.bias", same, true},
    {"ln2.weight", "attn_norm_2.weight", same, true},
    {"ln2.bias", "attn_norm_2.bias", same, true},
    {"att.time_maa_x", "time_mix_lerp_x.weight", channels, true},
    {"att.time_maa_w1", "time_mix_w1.weight", transposed, true},
    {"att.time_maa_w2", "time_mix_w2.weight", transposed, true},
    {"att.time_decay", "time_mix_decay.weight", channels, true},
    {"att.time_decay_w1", "time_mix_decay_w1.weight", transposed, true},
    {"att.time_decay_w2", "time_mix_decay_w2.weight", transposed, true},
    {"att.time_faaaa", "time_mix_first.weight", same, true},
    {"att.ln_x.weight", "time_mix_ln.weight", same, true},
    {"att.ln_x.bias", "time_mix_ln.bias", same, true},
    {"att.receptance.weight", "time_mix_receptance.weight"},
    {"att.key.weight", "time_mix_key.weight"},
    {"att.value.weight", "time_mix_value.weight"},
    {"att.gate.weight", "time_mix_gate.weight"},
    {"att.output.weight", "time_mix_output.weight"},
    {"ffn.time_maa_k", "channel_mix_lerp_k.weight", channels, true},
    {"ffn.time_maa_r", "channel_mix_lerp_r.weight", channels, true},
    {"ffn.key.weight", "channel_mix_key.weight"},
    {"ffn.receptance.weight", "channel_mix_receptance.weight"},
    {"ffn.value.weight", "channel_mix_value.weight"},
};
constexpr std::string_view rwkv6_fused[] = {"att.time_maa_w", "att.time_maa_k", "att.time_maa_v",
                                            "att.time_maa_r", "att.time_maa_g"};
constexpr LlamaTensor rwkv6_unfused[] = {
    {"att.time_maa_w", "time_mix_lerp_w.weight", channels, true},
    {"att.time_maa_k", "time_mix_lerp_k.weight", channels, true},
    {"att.time_maa_v", "time_mix_lerp_v.weight", channels, true},
    {"att.time_maa_r", "time_mix_lerp_r.weight", channels, true},
    {"att.time_maa_g", "time_mix_lerp_g.weight", channels, true},
};

constexpr LlamaArchitecture architectures[] = {
    {"rwkv7", rwkv7_block, rwkv7_fused, {}},
    {"rwkv6", rwkv6_block, rwkv6_fused, rwkv6_unfused},
};

}  // namespace

const LlamaArchitecture* find_llama_architecture(std::string_view name) {
  for (const LlamaArchitecture& architecture : architectures)
    if (architecture.name == name) return &architecture;
  return nullptr;
}

std::span<const LlamaTensor> llama_outer_tensors() { return outer; }

bool is_llama_filler(const LlamaArchitecture& architecture, int64_t layer, const LlamaTensor& tensor) {
  return layer == 0 && architecture.name == "rwkv7" &&
         (tensor.original == "att.v0" || tensor.original == "att.v1" || tensor.original == "att.v2");
}

}  // namespace aviary
