/* Softmax and its logarithm along one dimension, and their gradients.
 *
 * views: the result, then what is read (x; or the gradient and the result of the forward pass), all of one shape with
 * that dimension last. params: which of the four.
 */
#include "convert.h"
#include "reduce.h"

enum { SOFTMAX, LOG_SOFTMAX, SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD };
enum { VIEWS = 3, TASK_ELEMENTS = 1 << 14 };

typedef struct {
  const layout *l;
  void *const *data;
  int64_t what, n, rows, per_task;
} call;

/* One row as plain binary32: what is read, where the result goes, and the number that is taken off first. */
typedef struct {
  const float *a, *b;
  float *out, shift;
} row;

INLINE vf sum_of_stored_exp(vf carry, const void *ctx, int64_t j, int64_t m) {
  const row *r = ctx;
  vf e = p_exp(f_take(r->a + j, m) - f_all(r->shift));
  f_give(r->out + j, e, m);
  return carry + e;
}
INLINE vf sum_of_exp(vf carry, const void *ctx, int64_t j, int64_t m) {
  const row *r = ctx;
  return carry + p_exp(f_take(r->a + j, m) - f_all(r->shift));
}
INLINE vf sum_of_products(vf carry, const void *ctx, int64_t j, int64_t m) {
  const row *r = ctx;
  return f_fma(f_take(r->a + j, m), f_take(r->b + j, m), carry);
}
INLINE vf sum_of_a(vf carry, const void *ctx, int64_t j, int64_t m) {
  const row *r = ctx;
  return carry + f_take(r->a + j, m);
}

#define EACH(n, value)                                  \
  for (int64_t j = 0; j < (n); j += LANES) {            \
    int64_t m = MIN(LANES, (n) - j);                    \
    f_give(r->out + j, f_canonical(value), m);          \
  }

static void softmax_of_row(row *r, int64_t n) {
  r->shift = largest_of_row(r->a, n);
  vf scale = f_all(1.0f / sum_row(n, sum_of_stored_exp, r));
  EACH(n, f_take(r->out + j, m) * scale)
}

static void log_softmax_of_row(row *r, int64_t n) {
  r->shift = largest_of_row(r->a, n);
  vf off = f_all(p_log(f_all(canonical1(sum_row(n, sum_of_exp, r))))[0]), shift = f_all(r->shift);
  EACH(n, (f_take(r->a + j, m) - shift) - off)
}

static void softmax_backward_of_row(row *r, int64_t n) {
  vf sum = f_all(sum_row(n, sum_of_products, r));
  EACH(n, (f_take(r->a + j, m) - sum) * f_take(r->b + j, m))
}

static void log_softmax_backward_of_row(row *r, int64_t n) {
  vf sum = f_all(sum_row(n, sum_of_a, r));
  EACH(n, f_fma(-p_exp(f_take(r->b + j, m)), sum, f_take(r->a + j, m)))
}

static char *row_at(const call *c, int64_t v, int64_t at) {
  const view *w = &c->l->view[v];
  int64_t offset = 0;
  for (int64_t d = w->rank - 2; d >= 0; d--) {
    offset += at % w->size[d] * w->stride[d];
    at /= w->size[d];
  }
  return (char *)c->data[v] + offset * item_bytes(w->dtype);
}

static void run_rows(const void *arg, int64_t index) {
  static void (*const body[])(row *, int64_t) = {softmax_of_row, log_softmax_of_row, softmax_backward_of_row,
                                                 log_softmax_backward_of_row};
  const call *c = arg;
  int64_t end = MIN(c->rows, (index + 1) * c->per_task), room = (c->n + LANES - 1) / LANES * LANES;
  float *buffer = scratch(0, (size_t)(VIEWS * room) * 4);
  for (int64_t at = index * c->per_task; at < end; at++) {
    float *have[VIEWS] = {0};
    for (int64_t v = 0; v < c->l->views; v++) {
      const view *w = &c->l->view[v];
      have[v] = (float *)row_at(c, v, at);
      if (w->dtype == F32 && w->stride[w->rank - 1] == 1) continue;
      have[v] = buffer + v * room;
      if (v) load_row(have[v], 'f', row_at(c, v, at), w->dtype, w->stride[w->rank - 1], c->n);
    }
    row r = {have[1], have[2], have[0], 0};
    body[c->what](&r, c->n);
    const view *o = &c->l->view[0];
    if (have[0] == buffer) store_row(row_at(c, 0, at), o->dtype, o->stride[o->rank - 1], buffer, 'f', c->n);
  }
}

EXPORT int repops_softmax(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  const view *o = &l->view[0];
  if (l->views > VIEWS || !o->rank) return BAD_LAYOUT;
  call c = {l, data, l->param[0], o->size[o->rank - 1], 0, 0};
  c.rows = numel(o) / MAX(c.n, 1);
  c.per_task = MAX(1, TASK_ELEMENTS / MAX(c.n, 1));
  if (!scratch(0, (size_t)(VIEWS * (c.n + LANES)) * 4)) return NO_MEMORY;
  run_tasks(ceil_div(c.rows, c.per_task), run_rows, &c);
  return DONE;
}
