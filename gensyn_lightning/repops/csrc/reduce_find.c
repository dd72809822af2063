/* Finds, for each output, the first of its terms that equals a value; NaN equals NaN; -1 where none does.
 *
 * views: the numbers found (64-bit, rank K), the terms and the values (rank K + m: the output's dimensions, then the
 * reduced ones). params: m.
 */
#include "convert.h"
#include "repops.h"

#include <stdlib.h>

enum { WIDTH = 256 };

typedef struct {
  const layout *l;
  void *const *data;
  int64_t kept, terms, outputs, inner, across, per_task;
} call;

static int64_t place(const view *w, int64_t from, int64_t to, int64_t at) {
  int64_t offset = 0;
  for (int64_t d = to - 1; d >= from && at; d--) {
    offset += at % w->size[d] * w->stride[d];
    at /= w->size[d];
  }
  return offset;
}

static const char *address(const call *c, int64_t v, int64_t offset) {
  return (const char *)c->data[v] + offset * item_bytes(c->l->view[v].dtype);
}

/* The first of n binary32 numbers in a row that equals `value`, or n. */
static int64_t find_in_row(const float *x, int64_t n, float value) {
  vf wanted = f_all(value);
  int64_t j = 0;
  for (; j + LANES <= n; j += LANES) {
    vf v = f_load(x + j);
    vi hit = i_or(f_eq(v, wanted), i_not(i_or(f_eq(v, v), f_eq(wanted, wanted))));
    ni any = {0};
    EACH_NARROW(any |= hit.p[reg])
    nul halves = (nul)any;
    uint64_t all = 0;
    for (int i = 0; i < WIDE_LANES; i++) all |= halves[i];
    if (all) break;
  }
  for (; j < n; j++)
    if (x[j] == value || (x[j] != x[j] && value != value)) return j;
  return n;
}

/* `n` neighbouring outputs from `output` on, term by term until all are found. */
static void find_in_columns(const call *c, int64_t output, int64_t n) {
  const view *x = &c->l->view[1], *v = &c->l->view[2], *o = &c->l->view[0];
  double value[WIDTH], term[WIDTH];
  int64_t found[WIDTH], base = place(x, 0, c->kept, output), left = n;
  int64_t step = c->kept ? x->stride[c->kept - 1] : 0;
  load_row(value, 'd', address(c, 2, place(v, 0, c->kept, output)), v->dtype, c->kept ? v->stride[c->kept - 1] : 0, n);
  for (int64_t j = 0; j < n; j++) found[j] = -1;
  for (int64_t t = 0; t < c->terms && left; t++) {
    load_row(term, 'd', address(c, 1, base + place(x, c->kept, x->rank, t)), x->dtype, step, n);
    for (int64_t j = 0; j < n; j++) {
      int hit = (term[j] == value[j]) | ((term[j] != term[j]) & (value[j] != value[j]));
      if (!hit || found[j] >= 0) continue;
      found[j] = t;
      left--;
    }
  }
  store_row((char *)address(c, 0, place(o, 0, c->kept, output)), I64, c->kept ? o->stride[c->kept - 1] : 0, found, 'i', n);
}

static void run_blocks(const void *arg, int64_t index) {
  const call *c = arg;
  const view *x = &c->l->view[1];
  int is_row = x->rank == c->kept + 1 && x->dtype == F32 && x->stride[c->kept] == 1;
  int64_t end = MIN(c->outputs / c->inner * c->across, (index + 1) * c->per_task);
  for (int64_t block = index * c->per_task; block < end; block++) {
    int64_t column = block % c->across * WIDTH, output = block / c->across * c->inner + column, n = MIN(WIDTH, c->inner - column);
    if (!is_row) {
      find_in_columns(c, output, n);
      continue;
    }
    for (int64_t i = output; i < output + n; i++) {
      float value;
      load_row(&value, 'f', address(c, 2, place(&c->l->view[2], 0, c->kept, i)), c->l->view[2].dtype, 0, 1);
      int64_t found = find_in_row((const float *)address(c, 1, place(x, 0, c->kept, i)), c->terms, value);
      *(int64_t *)address(c, 0, place(&c->l->view[0], 0, c->kept, i)) = found < c->terms ? found : -1;
    }
  }
}

EXPORT int repops_find(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  call c = {l, data, l->view[0].rank, 1, numel(&l->view[0]), 1, 1, 1};
  for (int64_t d = c.kept; d < l->view[1].rank; d++) c.terms *= l->view[1].size[d];
  if (c.kept) c.inner = l->view[0].size[c.kept - 1];
  c.across = ceil_div(c.inner, WIDTH);
  int64_t blocks = c.outputs / c.inner * c.across, work = c.outputs * c.terms;
  c.per_task = MAX(1, blocks * (1 << 15) / MAX(work, 1));
  run_tasks(ceil_div(blocks, c.per_task), run_blocks, &c);
  return DONE;
}
