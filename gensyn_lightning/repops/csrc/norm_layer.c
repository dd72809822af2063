/* Layer normalisation: every row minus its mean, over the root of its variance, times a weight, plus a bias.
 *
 * views: the result, mean and one over the root, x; then weight and bias if there are. Rows [rows, n], all but the half types in
 * place. params: 1 if there is a weight, plus 2 if there is a bias. words: eps.
 */
#include "norm.h"

enum { WEIGHT = 1, BIAS = 2, TASK_ELEMENTS = 1 << 14 };

typedef struct {
  const layout *l;
  void *const *data;
  int64_t rows, n, per_task;
  const float *w, *b;
  float eps;
} call;

#define EACH(value)                                       \
  {                                                       \
    int64_t j = 0, m = LANES;                             \
    for (; j + LANES <= n; j += LANES) f_store(out + j, f_canonical(value)); \
    if ((m = n - j) > 0) f_put(out + j, f_canonical(value), m);              \
  }
#define AT(p) (m == LANES ? f_load((p) + j) : f_some((p) + j, m))

static void finish_row(const normal_row *r, const float *w, const float *b, float *out, int64_t n) {
  vf mean = f_all(r->mean), rstd = f_all(r->rstd);
  if (w && b) EACH(f_fma(f_mul(f_sub(AT(r->x), mean), rstd), AT(w), AT(b)))
  else if (w) EACH(f_mul(f_mul(f_sub(AT(r->x), mean), rstd), AT(w)))
  else if (b) EACH(f_add(f_mul(f_sub(AT(r->x), mean), rstd), AT(b)))
  else EACH(f_mul(f_sub(AT(r->x), mean), rstd))
}

static void run_rows(const void *arg, int64_t index) {
  const call *c = arg;
  const view *o = &c->l->view[0], *x = &c->l->view[3];
  float *buffer = scratch(1, (size_t)(2 * c->n + 2 * LANES) * 4), *made = buffer + c->n + LANES;
  if (!buffer) return;
  for (int64_t i = index * c->per_task; i < MIN(c->rows, (index + 1) * c->per_task); i++) {
    normal_row r = {.x = plain_row(x, c->data[3], i * x->stride[0], c->n, buffer)};
    r.mean = mean_of(sum_row(c->n, sum_of_x, &r), c->n);
    r.rstd = rstd_of(sum_row(c->n, sum_of_squares, &r), c->n, c->eps);
    char *there = (char *)c->data[0] + i * o->stride[0] * item_bytes(o->dtype);
    int direct = o->dtype == F32 && o->stride[1] == 1;
    finish_row(&r, c->w, c->b, direct ? (float *)there : made, c->n);
    if (!direct) store_row(there, o->dtype, o->stride[1], made, 'f', c->n);
    for (int64_t v = 1; v < 3; v++) {
      const view *s = &c->l->view[v];
      store_row((char *)c->data[v] + i * s->stride[0] * item_bytes(s->dtype), s->dtype, 1, v == 1 ? &r.mean : &r.rstd, 'f', 1);
    }
  }
}

EXPORT int repops_layer_norm(const layout *l, void *const *data, const uint64_t *word) {
  call c = {.l = l, .data = data, .rows = l->view[3].size[0], .n = l->view[3].size[1], .eps = from_bits1((uint32_t)word[0])};
  float *kept = scratch(0, (size_t)(2 * c.n + 1) * 4);
  if (!kept || !scratch(1, (size_t)(2 * c.n + 2 * LANES) * 4)) return NO_MEMORY;
  int64_t next = 4;
  if (l->param[0] & WEIGHT) c.w = plain_row(&l->view[next], data[next], 0, c.n, kept), next++;
  if (l->param[0] & BIAS) c.b = plain_row(&l->view[next], data[next], 0, c.n, kept + c.n);
  c.per_task = MAX(1, TASK_ELEMENTS / MAX(c.n, 1));
  run_tasks(ceil_div(c.rows, c.per_task), run_rows, &c);
  return DONE;
}
