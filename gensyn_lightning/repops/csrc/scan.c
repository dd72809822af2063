/* The generic scan: a fold's term applied to one element after the other along one dimension, every carry kept.
 *
 * views: the result and what is read, the dimension last; params: the term. Along rows one carry runs; where neighbouring rows lie
 * side by side, a vector holds the carries of sixteen.
 */
#include "convert.h"
#include "programs.h"

#include <stdlib.h>

enum { WIDTH = 256, TASK_ELEMENTS = 1 << 14 };

typedef struct {
  const layout *l;
  void *const *data;
  const uint64_t *word;
  const program *term;
  int64_t n, rows, inner, across, per_task;
  int by_columns;
  char kind;
  size_t bytes;
} call;

/* The place of row `at`, in elements. */
static int64_t place(const view *w, int64_t at) {
  int64_t offset = 0;
  for (int64_t d = w->rank - 2; d >= 0 && at; d--) {
    offset += at % w->size[d] * w->stride[d];
    at /= w->size[d];
  }
  return offset;
}

static char *address(const call *c, int64_t v, int64_t offset) {
  return (char *)c->data[v] + offset * item_bytes(c->l->view[v].dtype);
}

static int is_plain(const call *c, int64_t v, int64_t stride) {
  return c->l->view[v].dtype == (c->kind == 'f' ? F32 : c->kind == 'd' ? F64 : I64) && stride == 1;
}

static void begin(const call *c, void *carry, int64_t n) {
  uint64_t init = c->term->fold->init;
  for (int64_t i = 0; i < n; i++) memcpy((char *)carry + i * c->bytes, &init, c->bytes);
}

static void scan_row(const call *c, int64_t row) {
  const view *o = &c->l->view[0], *x = &c->l->view[1];
  int64_t to = place(o, row), from = place(x, row), step[2] = {o->stride[o->rank - 1], x->stride[x->rank - 1]};
  double carry, in[WIDTH], out[WIDTH];
  begin(c, &carry, 1);
  for (int64_t at = 0; at < c->n; at += WIDTH) {
    int64_t m = MIN(WIDTH, c->n - at);
    void *reads = is_plain(c, 1, step[1]) ? (void *)address(c, 1, from + at) : in;
    void *made = is_plain(c, 0, step[0]) ? (void *)address(c, 0, to + at) : out;
    if (reads == in) load_row(in, c->kind, address(c, 1, from + at * step[1]), x->dtype, step[1], m);
    c->term->fold->scan(m, (const void *[]){reads}, c->word, &carry, made);
    if (made == out) store_row(address(c, 0, to + at * step[0]), o->dtype, step[0], out, c->kind, m);
  }
}

static void scan_columns(const call *c, int64_t row, int64_t n) {
  const view *o = &c->l->view[0], *x = &c->l->view[1];
  int64_t to = place(o, row), from = place(x, row), step[2] = {o->stride[o->rank - 2], x->stride[x->rank - 2]};
  double carry[WIDTH], in[WIDTH];
  begin(c, carry, n);
  for (int64_t t = 0; t < c->n; t++) {
    void *reads = address(c, 1, from + t * x->stride[x->rank - 1]);
    if (!is_plain(c, 1, step[1])) {
      load_row(in, c->kind, reads, x->dtype, step[1], n);
      reads = in;
    }
    c->term->run(n, (const void *[]){carry, reads}, (void *[]){carry}, c->word);
    store_row(address(c, 0, to + t * o->stride[o->rank - 1]), o->dtype, step[0], carry, c->kind, n);
  }
}

static void run_blocks(const void *arg, int64_t index) {
  const call *c = arg;
  int64_t blocks = c->by_columns ? c->rows / c->inner * c->across : c->rows;
  for (int64_t i = index * c->per_task; i < MIN(blocks, (index + 1) * c->per_task); i++) {
    int64_t column = i % c->across * WIDTH;
    if (c->by_columns)
      scan_columns(c, i / c->across * c->inner + column, MIN(WIDTH, c->inner - column));
    else
      scan_row(c, i);
  }
}

EXPORT int repops_scan(const layout *l, void *const *data, const uint64_t *word) {
  const view *o = &l->view[0], *x = &l->view[1];
  call c = {.l = l, .data = data, .word = word, .term = &programs[l->param[l->params - 1]], .inner = 1, .across = 1};
  if (!c.term->fold || !o->rank) return BAD_LAYOUT;
  c.kind = c.term->results[0];
  c.bytes = c.kind == 'f' ? 4 : 8;
  c.n = o->size[o->rank - 1];
  c.rows = numel(o) / MAX(c.n, 1);
  if (o->rank > 1) {
    c.inner = o->size[o->rank - 2];
    c.by_columns = c.inner >= LANES && llabs(x->stride[x->rank - 2]) < llabs(x->stride[x->rank - 1]);
  }
  if (c.by_columns) c.across = ceil_div(c.inner, WIDTH);
  int64_t blocks = c.by_columns ? c.rows / c.inner * c.across : c.rows;
  c.per_task = MAX(1, TASK_ELEMENTS / (c.n * (c.by_columns ? MIN(WIDTH, c.inner) : 1)));
  run_tasks(ceil_div(blocks, c.per_task), run_blocks, &c);
  return DONE;
}
