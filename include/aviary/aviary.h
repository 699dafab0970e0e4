/* Running RWKV language models from C, and from every language that calls C: tokens and a state in, logits
 * and the next state out.
 *
 *   aviary_model* model = aviary_load("model.gguf", NULL);
 *   if (!model) { fprintf(stderr, "%s\n", aviary_last_error()); return 1; }
 *   aviary_state* state = aviary_state_new(model);
 *   float* logits = malloc(sizeof(float) * (size_t)aviary_vocab_size(model));
 *   if (aviary_eval(model, state, tokens, count, logits) != 0) ...
 *
 * Errors. A function that returns a pointer returns NULL, one that returns an int something other than 0, and
 * one that counts a negative number; aviary_last_error() then explains why in a sentence. No function
 * throws, and a call that fails changes nothing; only if memory runs out during a call, its states become
 * invalid and may only be freed.
 *
 * Ownership. Objects returned by functions whose names end in _new, _clone or _load belong to the caller, who
 * passes each once to the matching _free function; NULL may be freed. All other pointers are buffers of the
 * caller, used only during the call. A state may outlive its model.
 *
 * Threads. Different threads may use the same model at once: calls do not wait for each other. One
 * state must not be used by two threads at once. */
#ifndef AVIARY_AVIARY_H
#define AVIARY_AVIARY_H

#include <aviary/export.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct aviary_model aviary_model;
typedef struct aviary_state aviary_state;

/* The message of the last error on this thread; "" if there was none. Valid until the next call of this
 * thread. */
AVIARY_API const char* aviary_last_error(void);

/* Sets the number of threads, 1 to 1024; the default is the number of cores that this process may use
 * (taskset and the limits of a container count). Not while another thread computes. */
AVIARY_API int aviary_set_threads(int count);

/* How to load; NULL means all fields are zero. */
typedef struct aviary_load_options {
  int bf16; /* not 0: products with float32 weights in bfloat16, where that is faster; 0: only in a model
             most of whose weights have no more bits */
  const char* tokenizer; /* for models without one: "bytes", or the path of a vocabulary or of another model;
                            NULL: its own */
  int cache;         /* not 0: the weights as this CPU multiplies them are mapped from FILE.packed beside the
                      model, which is written the first time if it can be */
  int any_tokenizer; /* not 0: also a tokenizer that is known not to be the model's; 0: that is an error */
  const char* const* adapters; /* added to the model, each as FILE or FILE,weight=W,alpha=A; ends with NULL.
                                  NULL: none */
  int any_base; /* not 0: also adapters and tuned states that say that they were trained on another model; 0:
                   that is an error */
} aviary_load_options;

/* A file (.safetensors, .pth, .gguf, .bin of rwkv.cpp), a folder of Hugging Face, or the folder of a training
 * run. The file stays open while the model lives and must not be changed in place; replacing it by another is
 * fine. */
AVIARY_API aviary_model* aviary_load(const char* path, const aviary_load_options* options);
AVIARY_API void aviary_free(aviary_model* model);

/* Sizes: the length of the logits of a token, layers, width. */
AVIARY_API int64_t aviary_vocab_size(const aviary_model* model);
AVIARY_API int64_t aviary_layers(const aviary_model* model);
AVIARY_API int64_t aviary_width(const aviary_model* model);

/* The state before the first token; a copy of a state; freeing a state. */
AVIARY_API aviary_state* aviary_state_new(const aviary_model* model);
AVIARY_API aviary_state* aviary_state_clone(const aviary_state* state);
AVIARY_API void aviary_state_free(aviary_state* state);

/* The state of a file of state tuning, to begin with instead of aviary_state_new. */
AVIARY_API aviary_state* aviary_state_tuned(const aviary_model* model, const char* path);

/* Serializes a state: writes its bytes to `bytes` if `size` is large enough, and returns their number.
 * With NULL and 0 only returns the number. */
AVIARY_API int64_t aviary_state_save(const aviary_state* state, void* bytes, size_t size);
/* Reads a saved state of a model of the same version and sizes. */
AVIARY_API aviary_state* aviary_state_load(const aviary_model* model, const void* bytes, size_t size);

/* Reads `count` >= 1 tokens, which follow those that `state` has read. logits [vocab_size], or NULL, receives
 * the logits for the next token. */
AVIARY_API int aviary_eval(aviary_model* model, aviary_state* state, const int32_t* tokens, size_t count,
                           float* logits);
/* The same, with the logits of every token: [count, vocab_size]. */
AVIARY_API int aviary_eval_all(aviary_model* model, aviary_state* state, const int32_t* tokens, size_t count,
                               float* logits);
/* Reads one token for each of `count` >= 1 different states in one step: faster than separate calls, with the
 * same numbers. tokens [count], logits [count, vocab_size] or NULL. */
AVIARY_API int aviary_eval_batch(aviary_model* model, aviary_state* const* states, const int32_t* tokens,
                                 size_t count, float* logits);

/* Encodes `size` bytes of text: writes at most `capacity` tokens, and returns the total number. */
AVIARY_API int64_t aviary_encode(const aviary_model* model, const char* text, size_t size, int32_t* tokens,
                                 size_t capacity);
/* Decodes tokens, without a terminating 0: writes at most `capacity` bytes, and returns the total number.
 * The text may end inside a UTF-8 character. */
AVIARY_API int64_t aviary_decode(const aviary_model* model, const int32_t* tokens, size_t count, char* text,
                                 size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
