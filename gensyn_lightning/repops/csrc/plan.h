/* A plan as the host hands it over: tensors by number, the calls on them, and how their words are made up.
 *
 * Nothing here differs from call to call but the addresses of the tensors and the words.
 */
#ifndef REPOPS_PLAN_H
#define REPOPS_PLAN_H

#include "repops.h"

/* A tensor: argument `argument` (element `element` of it if it is a list), or -1: made for each run. */
typedef struct {
  int64_t argument, element, dtype, rank;
  int64_t size[RANK_MAX], stride[RANK_MAX];
} plan_tensor;

/* A word: 0 the constant `value`; 1 argument `argument`, a number; 2 a key of that argument, a generator. `kind` is what it
 * is handed on as: 'f' binary32, 'd' binary64, 'i' an integer. */
typedef struct {
  int64_t source, argument, kind;
  uint64_t value;
} plan_word;

typedef struct {
  kernel *run;
  layout shape;
  const int64_t *tensor;      /* one a view: which of the plan's tensors */
  const int64_t *byte_offset; /* one a view */
  int64_t words;
} plan_call;

typedef struct {
  int64_t tensors, calls, words, results;
  const plan_tensor *tensor;
  const plan_call *call;
  const plan_word *word; /* of all calls, one after the other */
  const int64_t *result; /* tensor numbers; -1 is None, -2 - n a list of the n that follow */
} plan;

/* Run the calls in order; `base` holds the tensors' addresses, `word` all words. Returns a status. */
EXPORT int repops_run(const plan *p, void *const *base, const uint64_t *word);

#endif
