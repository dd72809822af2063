/* Whether all elements of a tensor are finite.
 *
 * views: out: one binary32, 1 if any element is infinite or NaN, else what `before` holds; in: the tensor, `before`.
 * Which thread sees such an element does not matter: all they do is say so.
 */
#include "convert.h"
#include "repops.h"

enum { BLOCK = 512, TASK_ELEMENTS = 1 << 15 };

typedef struct {
  const view *v;
  const char *data;
  int64_t total, per_task;
  int found;
} scan;

static int any32(const float *p, int64_t n) {
  int32_t found = 0;
  for (int64_t i = 0; i < n; i++) found |= (bits1(p[i]) & 0x7f800000) == 0x7f800000;
  return found;
}

static int any64(const double *p, int64_t n) {
  int found = 0;
  for (int64_t i = 0; i < n; i++) found |= !(__builtin_fabs(p[i]) < __builtin_inf());
  return found;
}

/* The place of element `at`, in elements. */
static int64_t place(const view *w, int64_t at) {
  int64_t offset = 0;
  for (int64_t d = w->rank - 1; d >= 0; d--) {
    offset += at % w->size[d] * w->stride[d];
    at /= w->size[d];
  }
  return offset;
}

static void scan_range(const void *arg, int64_t index) {
  scan *s = (scan *)arg;
  const view *w = s->v;
  double buffer[BLOCK] __attribute__((aligned(64)));
  int64_t row = w->rank ? w->size[w->rank - 1] : 1, step = w->rank ? w->stride[w->rank - 1] : 0;
  char kind = w->dtype == F64 ? 'd' : 'f';
  int64_t end = MIN(s->total, (index + 1) * s->per_task);
  for (int64_t at = index * s->per_task, n; at < end; at += n) {
    n = MIN(MIN(BLOCK, end - at), row - at % row);
    const char *from = s->data + place(w, at) * item_bytes(w->dtype);
    load_row(buffer, kind, from, w->dtype, step, n);
    if (kind == 'd' ? any64(buffer, n) : any32((const float *)buffer, n)) {
      __atomic_store_n(&s->found, 1, __ATOMIC_RELAXED);
      return;
    }
  }
}

EXPORT int repops_non_finite(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  scan s = {&l->view[1], data[1], numel(&l->view[1]), 0, 0};
  int64_t tasks = MAX(1, MIN(4 * (int64_t)threads_max(), s.total / TASK_ELEMENTS));
  s.per_task = (ceil_div(s.total, tasks) + BLOCK - 1) / BLOCK * BLOCK;
  if (s.total) run_tasks(ceil_div(s.total, s.per_task), scan_range, &s);
  *(float *)data[0] = s.found ? 1.0f : canonical1(*(const float *)data[2]);
  return DONE;
}
