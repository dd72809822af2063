/* What every kernel of repops takes and returns.
 *
 * A kernel reads views and writes views. Everything that follows from shapes (sizes, strides, parameters) is
 * in the layout and is the same for every call with the same shapes; what differs from call to call
 * is in `data` (one address per view) and `word` (scalars and keys, one 64-bit word each: binary32 and
 * binary64 by their bits, integers as they are).
 *
 * A kernel depends on logical shapes and values only, never on strides, alignment, threads or the
 * width of a vector. Threads may share out outputs, never the terms of one output.
 */
#ifndef REPOPS_H
#define REPOPS_H

#include <stddef.h>
#include <stdint.h>

enum { RANK_MAX = 8 };

/* The codes torch uses. */
enum dtype { U8 = 0, I8 = 1, I16 = 2, I32 = 3, I64 = 4, F16 = 5, F32 = 6, F64 = 7, BOOL = 11, BF16 = 15 };

typedef struct view {
  int64_t dtype, rank;
  int64_t size[RANK_MAX], stride[RANK_MAX]; /* in elements; a stride may be 0 or negative */
} view;

typedef struct {
  int64_t views, params;
  const struct view *view;
  const int64_t *param;
} layout;

enum status { DONE = 0, BAD_INDEX = 1, NO_MEMORY = 2, BAD_LAYOUT = 3, BAD_VALUE = 4 };

typedef int kernel(const layout *l, void *const *data, const uint64_t *word);

/* threads.c: run `task(arg, i)` for i in [0, tasks), shared out between torch's own threads. */
typedef void task(const void *arg, int64_t index);
void run_tasks(int64_t tasks, task *body, const void *arg);
int threads_max(void);
/* A buffer of this thread, 64-byte aligned, reused by later calls; NULL if there is no memory. `which`
 * in [0, 4) names one of four buffers that live side by side. */
void *scratch(int which, size_t bytes);

#define EXPORT __attribute__((visibility("default")))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The number of elements of a view. */
static inline int64_t numel(const view *v) {
  int64_t n = 1;
  for (int64_t i = 0; i < v->rank; i++) n *= v->size[i];
  return n;
}

#endif
