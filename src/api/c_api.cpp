// The C interface: the public Model and State as opaque pointers.
#include <aviary/aviary.h>

#include <algorithm>
#include <aviary/aviary.hpp>
#include <cstring>
#include <exception>
#include <new>

struct aviary_model {
  aviary::Model model;
};
struct aviary_state {
  aviary::State state;
};

namespace {

thread_local std::string last_error;

// Runs body(); if it throws, stores the message as the last error and returns `failed`.
template <typename Result, typename Body>
Result guarded(Result failed, Body body) noexcept {
  try {
    last_error.clear();
    return body();
  } catch (const std::bad_alloc&) {
    last_error.assign("out of memory");  // short enough to need no allocation
  } catch (const std::exception& error) {
    try {
      last_error = error.what();
    } catch (...) {
      last_error.assign("out of memory");
    }
  } catch (...) {
    last_error.assign("unknown error");
  }
  return failed;
}

void require(bool condition, const char* sentence) {
  if (!condition) throw aviary::Error(sentence);
}

const aviary::ModelInfo& info_of(const aviary_model* model) {
  require(model != nullptr, "aviary: the model is NULL");
  return model->model.info();
}

void copy_out(const std::vector<float>& logits, float* to) {
  if (to) std::copy(logits.begin(), logits.end(), to);
}

}  // namespace

const char* aviary_last_error(void) { return last_error.c_str(); }

int aviary_set_threads(int count) {
  return guarded(1, [&] {
    aviary::set_threads(count);
    return 0;
  });
}

aviary_model* aviary_load(const char* path, const aviary_load_options* options) {
  return guarded<aviary_model*>(nullptr, [&] {
    require(path != nullptr, "aviary_load: the path is NULL");
    aviary::LoadOptions load;
    if (options && options->bf16) load.precision = aviary::Precision::fastest;
    load.cache = options && options->cache;
    if (options && options->tokenizer) load.tokenizer = options->tokenizer;
    if (options) load.any_tokenizer = options->any_tokenizer != 0;
    if (options) load.any_base = options->any_base != 0;
    for (const char* const* adapter = options ? options->adapters : nullptr; adapter && *adapter; ++adapter)
      load.adapters.emplace_back(*adapter);
    return new aviary_model{aviary::Model::load(path, load)};
  });
}

void aviary_free(aviary_model* model) { delete model; }

int64_t aviary_vocab_size(const aviary_model* model) {
  return guarded<int64_t>(-1, [&] { return info_of(model).vocab_size; });
}
int64_t aviary_layers(const aviary_model* model) {
  return guarded<int64_t>(-1, [&] { return info_of(model).layers; });
}
int64_t aviary_width(const aviary_model* model) {
  return guarded<int64_t>(-1, [&] { return info_of(model).width; });
}

aviary_state* aviary_state_new(const aviary_model* model) {
  return guarded<aviary_state*>(nullptr, [&] {
    require(model != nullptr, "aviary_state_new: the model is NULL");
    return new aviary_state{model->model.new_state()};
  });
}

aviary_state* aviary_state_tuned(const aviary_model* model, const char* path) {
  return guarded<aviary_state*>(nullptr, [&] {
    require(model != nullptr && path != nullptr, "aviary_state_tuned: the model or the path is NULL");
    return new aviary_state{model->model.tuned_state(path)};
  });
}

aviary_state* aviary_state_clone(const aviary_state* state) {
  return guarded<aviary_state*>(nullptr, [&] {
    require(state != nullptr, "aviary_state_clone: the state is NULL");
    return new aviary_state{state->state};
  });
}

void aviary_state_free(aviary_state* state) { delete state; }

int64_t aviary_state_save(const aviary_state* state, void* bytes, size_t size) {
  return guarded<int64_t>(-1, [&] {
    require(state != nullptr, "aviary_state_save: the state is NULL");
    const std::vector<std::byte> saved = state->state.to_bytes();
    if (bytes && size >= saved.size()) std::memcpy(bytes, saved.data(), saved.size());
    return static_cast<int64_t>(saved.size());
  });
}

aviary_state* aviary_state_load(const aviary_model* model, const void* bytes, size_t size) {
  return guarded<aviary_state*>(nullptr, [&] {
    require(model && bytes, "aviary_state_load: the model or the bytes are NULL");
    return new aviary_state{model->model.state_from_bytes({static_cast<const std::byte*>(bytes), size})};
  });
}

int aviary_eval(aviary_model* model, aviary_state* state, const int32_t* tokens, size_t count,
                float* logits) {
  return guarded(1, [&] {
    require(model && state && tokens, "aviary_eval: the model, the state or the tokens are NULL");
    copy_out(model->model.forward({tokens, count}, state->state), logits);
    return 0;
  });
}

int aviary_eval_all(aviary_model* model, aviary_state* state, const int32_t* tokens, size_t count,
                    float* logits) {
  return guarded(1, [&] {
    require(model && state && tokens && logits,
            "aviary_eval_all: the model, the state, the tokens or the logits are NULL");
    copy_out(model->model.forward_all({tokens, count}, state->state), logits);
    return 0;
  });
}

int aviary_eval_batch(aviary_model* model, aviary_state* const* states, const int32_t* tokens, size_t count,
                      float* logits) {
  return guarded(1, [&] {
    require(model && states && tokens, "aviary_eval_batch: the model, the states or the tokens are NULL");
    std::vector<aviary::State*> together(count);
    for (size_t i = 0; i < count; ++i) {
      require(states[i] != nullptr, "aviary_eval_batch: a state is NULL");
      together[i] = &states[i]->state;
    }
    copy_out(model->model.forward_batch({tokens, count}, together), logits);
    return 0;
  });
}

int64_t aviary_encode(const aviary_model* model, const char* text, size_t size, int32_t* tokens,
                      size_t capacity) {
  return guarded<int64_t>(-1, [&] {
    require(model && (text || size == 0), "aviary_encode: the model or the text is NULL");
    const std::vector<int32_t> all = model->model.encode({text, size});
    if (tokens) std::copy_n(all.begin(), std::min(capacity, all.size()), tokens);
    return static_cast<int64_t>(all.size());
  });
}

int64_t aviary_decode(const aviary_model* model, const int32_t* tokens, size_t count, char* text,
                      size_t capacity) {
  return guarded<int64_t>(-1, [&] {
    require(model && (tokens || count == 0), "aviary_decode: the model or the tokens are NULL");
    const std::string all = model->model.decode({tokens, count});
    if (text) std::copy_n(all.begin(), std::min(capacity, all.size()), text);
    return static_cast<int64_t>(all.size());
  });
}
