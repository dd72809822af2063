/* Softmax and its logarithm along one dimension, and their gradients.
 *
 * views: the result, then what is read (x; or the gradient and the result of the forward pass), all of one shape with
 * that dimension last. params: which of the four.
 */
#include "convert.h"
#include "reduce.h"

enum { SOFTMAX, LOG_SOFTMAX, SOFTMAX_BACKWARD, LOG_SOFTMAX_BACKWARD };
enum { VIEWS = 3, TASK_ELEMENTS = 1 << 14, ROWS = LANES, BLOCK_ELEMENTS = 1 << 12 };

typedef struct {
  const layout *l;
  void *const *data;
  int64_t what, n, rows, per_task, at_once;
  int64_t step[VIEWS];
  int simple; /* all views are rows of plain binary32 at even steps */
} call;

/* One row as plain binary32: what is read, where the result goes, and the number that is taken off first. */
typedef struct {
  const float *a, *b;
  float *out, shift;
} row;

/* Rows that go side by side, so that none waits for its own trees; lanes past `count` mean nothing. */
typedef struct {
  row row[ROWS];
  int64_t count, n;
} block;

INLINE vf sum_of_stored_exp(vf carry, const void *ctx, int64_t j, int64_t m) {
  const row *r = ctx;
  vf e = p_exp(f_sub(f_take(r->a + j, m), f_all(r->shift)));
  f_give(r->out + j, e, m);
  return f_add(carry, e);
}
INLINE vf sum_of_exp(vf carry, const void *ctx, int64_t j, int64_t m) {
  const row *r = ctx;
  return f_add(carry, p_exp(f_sub(f_take(r->a + j, m), f_all(r->shift))));
}
INLINE vf sum_of_products(vf carry, const void *ctx, int64_t j, int64_t m) {
  const row *r = ctx;
  return f_fma(f_take(r->a + j, m), f_take(r->b + j, m), carry);
}
INLINE vf sum_of_a(vf carry, const void *ctx, int64_t j, int64_t m) {
  const row *r = ctx;
  return f_add(carry, f_take(r->a + j, m));
}

/* The sum of every row. */
INLINE vf sums(const block *b, term *next) {
  vf total = {0}, part[ROWS];
  for (int64_t at = 0; at < b->n; at += CHUNK) {
    for (int64_t i = b->count; i < ROWS; i++) part[i] = (vf){0};
    for (int64_t i = 0; i < b->count; i++) {
      const row r = b->row[i];
      part[i] = lanes_of_chunk(at, MIN(b->n, at + CHUNK), next, &r);
    }
    vf value = b->count > 1 ? trees_of_sums(part) : t_add_ff(*part);
    total = at ? f_add(total, value) : value;
  }
  return total;
}

/* The largest number of a row becomes its shift. Of zeros it may be either: where there are two, the logarithm of the sum is
 * not zero, and no sign is left of them. It may miss a NaN, which the sum does not. */
INLINE void shift_by_largest(block *b) {
  float each[ROWS];
  vf part[ROWS], lowest = f_all(-__builtin_inff());
  for (int64_t i = b->count; i < ROWS; i++) part[i] = lowest;
  for (int64_t i = 0; i < b->count; i++) {
    const float *x = b->row[i].a;
    vf best = lowest, other = lowest;
    int64_t j = 0;
    for (; j + 2 * LANES <= b->n; j += 2 * LANES)
      best = f_larger(best, f_load(x + j)), other = f_larger(other, f_load(x + j + LANES));
    for (; j < b->n; j += LANES) {
      int64_t m = MIN(LANES, b->n - j);
      best = f_select(i_below((int32_t)m), f_larger(best, f_take(x + j, m)), best);
    }
    part[i] = f_larger(best, other);
  }
  f_store(each, trees_of_largest(part));
  for (int64_t i = 0; i < b->count; i++) b->row[i].shift = each[i];
}

/* All elements of the result; `each` is one number for every row, and `of_row` its own. */
#define EACH(each, value)                                                                      \
  float number[ROWS];                                                                          \
  f_store(number, each);                                                                       \
  for (int64_t i = 0, n = b->n; i < b->count; i++) {                                           \
    const row r = b->row[i];                                                                   \
    vf of_row = f_all(number[i]);                                                              \
    int64_t j = 0, m = LANES;                                                                  \
    for (; j + LANES <= n; j += LANES) f_store(r.out + j, f_canonical(value));                 \
    if ((m = n - j) > 0) f_put(r.out + j, f_canonical(value), m);                              \
  }
#define AT(p) (m == LANES ? f_load((p) + j) : f_some((p) + j, m))

static void softmax(block *b) {
  shift_by_largest(b);
  EACH(f_div(f_all(1.0f), sums(b, sum_of_stored_exp)), f_mul(AT(r.out), of_row))
}

static void log_softmax(block *b) {
  shift_by_largest(b);
  EACH(p_log(f_canonical(sums(b, sum_of_exp))), f_sub(f_sub(AT(r.a), f_all(r.shift)), of_row))
}

static void softmax_backward(block *b) {
  EACH(sums(b, sum_of_products), f_mul(f_sub(AT(r.a), of_row), AT(r.b)))
}

static void log_softmax_backward(block *b) {
  EACH(sums(b, sum_of_a), f_fma(f_neg(p_exp(AT(r.b))), of_row, AT(r.a)))
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

/* How many bytes rows of a view are apart; -1 if that is not the same for all, or backwards. */
static int64_t step_of(const view *w) {
  int64_t d = w->rank - 2;
  if (d < 0) return 0;
  for (; d > 0; d--)
    if (w->stride[d - 1] != w->stride[d] * w->size[d]) return -1;
  return MAX(-1, w->stride[w->rank - 2] * item_bytes(w->dtype));
}

static int is_plain(const view *w) { return w->dtype == F32 && w->stride[w->rank - 1] == 1; }

/* Row `at` of a view, copied into `buffer` if it is not plain. */
static float *plain_row(const call *c, int64_t v, int64_t at, float *buffer) {
  const view *w = &c->l->view[v];
  if (is_plain(w)) return (float *)row_at(c, v, at);
  if (v) load_row(buffer, 'f', row_at(c, v, at), w->dtype, w->stride[w->rank - 1], c->n);
  return buffer;
}

/* Rows from `at` on. */
static void run_block(const call *c, int64_t at, int64_t count, float *buffer) {
  static void (*const body[])(block *) = {softmax, log_softmax, softmax_backward, log_softmax_backward};
  int64_t n = c->n, room = (n + LANES - 1) / LANES * LANES, has_b = c->l->views > 2;
  block b;
  b.count = count, b.n = n;
  for (int64_t i = 0; i < count; i++) {
    row *r = &b.row[i];
    if (c->simple) {
      r->out = (float *)((char *)c->data[0] + (at + i) * c->step[0]);
      r->a = (float *)((char *)c->data[1] + (at + i) * c->step[1]);
      if (has_b) r->b = (float *)((char *)c->data[2] + (at + i) * c->step[2]);
      continue;
    }
    r->out = plain_row(c, 0, at + i, buffer + i * room);
    r->a = plain_row(c, 1, at + i, buffer + (c->at_once + i) * room);
    if (has_b) r->b = plain_row(c, 2, at + i, buffer + (2 * c->at_once + i) * room);
  }
  body[c->what](&b);
  const view *o = &c->l->view[0];
  for (int64_t i = 0; !is_plain(o) && i < count; i++)
    store_row(row_at(c, 0, at + i), o->dtype, o->stride[o->rank - 1], b.row[i].out, 'f', n);
}

static size_t buffer_bytes(const call *c) { return (size_t)(VIEWS * c->at_once * (c->n + LANES)) * 4; }

static void run_rows(const void *arg, int64_t index) {
  const call *c = arg;
  int64_t end = MIN(c->rows, (index + 1) * c->per_task);
  float *buffer = c->simple ? NULL : scratch(0, buffer_bytes(c));
  for (int64_t at = index * c->per_task; at < end; at += c->at_once) run_block(c, at, MIN(c->at_once, end - at), buffer);
}

EXPORT int repops_softmax(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  const view *o = &l->view[0];
  if (l->views > VIEWS || !o->rank) return BAD_LAYOUT;
  call c = {.l = l, .data = data, .what = l->param[0], .simple = 1, .n = o->size[o->rank - 1]};
  c.rows = numel(o) / MAX(c.n, 1);
  c.at_once = c.n > 2 * CHUNK ? 1 : MIN(ROWS, BLOCK_ELEMENTS / MAX(c.n, 1));
  c.per_task = ceil_div(MAX(1, TASK_ELEMENTS / MAX(c.n, 1)), c.at_once) * c.at_once;
  for (int64_t v = 0; v < l->views; v++) {
    c.step[v] = step_of(&l->view[v]);
    c.simple &= is_plain(&l->view[v]) && c.step[v] >= 0;
  }
  if (!c.simple && !scratch(0, buffer_bytes(&c))) return NO_MEMORY;
  run_tasks(ceil_div(c.rows, c.per_task), run_rows, &c);
  return DONE;
}
