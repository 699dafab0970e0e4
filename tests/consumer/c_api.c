/* The C interface, used as a C program does. Arguments: a model file. Prints what fails and returns 1. */
#include <aviary/aviary.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;
#define EXPECT(condition)                                                                \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      printf("line %d: %s is not so (%s)\n", __LINE__, #condition, aviary_last_error()); \
      ++failures;                                                                        \
    }                                                                                    \
  } while (0)

enum { count = 9 };
static const int32_t tokens[count] = {3, 1, 4, 1, 5, 9, 2, 6, 5};

static void errors(aviary_model* model) {
  EXPECT(aviary_load("/nowhere/model.gguf", NULL) == NULL);
  EXPECT(strstr(aviary_last_error(), "/nowhere/model.gguf") != NULL);
  EXPECT(aviary_load(NULL, NULL) == NULL);
  EXPECT(aviary_set_threads(0) != 0);
  EXPECT(aviary_vocab_size(NULL) < 0 && strcmp(aviary_last_error(), "") != 0);
  aviary_state* state = aviary_state_new(model);
  const int32_t absurd = 1 << 30;
  EXPECT(aviary_eval(model, state, &absurd, 1, NULL) != 0);
  EXPECT(aviary_eval(model, state, tokens, 0, NULL) != 0);
  EXPECT(aviary_eval(model, NULL, tokens, 1, NULL) != 0);
  EXPECT(aviary_encode(model, "a", 1, NULL, 0) < 0); /* the file has no tokenizer */
  EXPECT(aviary_state_load(model, "no state", 8) == NULL);
  aviary_state* twice[2] = {state, state};
  EXPECT(aviary_eval_batch(model, twice, tokens, 2, NULL) != 0);
  EXPECT(aviary_eval(model, state, tokens, 1, NULL) == 0); /* unharmed */
  EXPECT(strcmp(aviary_last_error(), "") == 0);
  aviary_state_free(state);
  aviary_state_free(NULL);
  aviary_free(NULL);
}

static void same_logits(aviary_model* model) {
  const size_t vocabulary = (size_t)aviary_vocab_size(model);
  float* whole = malloc(sizeof(float) * vocabulary * count);
  float* single = malloc(sizeof(float) * vocabulary * 2);
  aviary_state *first = aviary_state_new(model), *second = aviary_state_new(model);
  EXPECT(aviary_eval_all(model, first, tokens, count, whole) == 0);
  for (int i = 0; i < count; ++i) EXPECT(aviary_eval(model, second, tokens + i, 1, single) == 0);
  double largest = 0;
  for (size_t i = 0; i < vocabulary; ++i) {
    const double difference = (double)whole[(count - 1) * vocabulary + i] - (double)single[i];
    if (difference > largest) largest = difference;
    if (-difference > largest) largest = -difference;
  }
  EXPECT(largest < 1e-4);

  /* A clone and a saved state go on as the original does, alone or together. */
  aviary_state* clone = aviary_state_clone(second);
  const int64_t size = aviary_state_save(second, NULL, 0);
  EXPECT(size > 0);
  void* bytes = malloc((size_t)size);
  EXPECT(aviary_state_save(second, bytes, (size_t)size) == size);
  aviary_state* loaded = aviary_state_load(model, bytes, (size_t)size);
  EXPECT(loaded != NULL);
  EXPECT(aviary_eval(model, second, tokens, 1, whole) == 0);
  aviary_state* both[2] = {clone, loaded};
  const int32_t again[2] = {tokens[0], tokens[0]};
  EXPECT(aviary_eval_batch(model, both, again, 2, single) == 0);
  EXPECT(memcmp(single, whole, sizeof(float) * vocabulary) == 0);
  EXPECT(memcmp(single + vocabulary, whole, sizeof(float) * vocabulary) == 0);
  aviary_state_free(first), aviary_state_free(second), aviary_state_free(clone), aviary_state_free(loaded);
  free(bytes), free(whole), free(single);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  aviary_model* model = aviary_load(argv[1], NULL);
  if (!model) {
    printf("%s\n", aviary_last_error());
    return 1;
  }
  EXPECT(aviary_layers(model) > 0 && aviary_width(model) > 0);
  errors(model);
  same_logits(model);
  aviary_free(model);
  if (failures == 0) printf("all is as documented\n");
  return failures != 0;
}
