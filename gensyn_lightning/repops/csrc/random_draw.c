/* The generic kernel for draws: one scalar program over random bits, and over views of the outputs' shape.
 *
 * views: `param[0]` outputs, then the program's reads after its first `param[1]` inputs, which are bits: element i of the
 * outputs, in row-major order of their shape, gets words param[1] * i and on of the stream. The first word is
 * the key. With `param[2]` every read is a probability, and the call fails if one is not.
 */
#include "convert.h"
#include "programs.h"
#include "random.h"

enum { BLOCK = 512, VIEWS_MAX = 8, BITS_MAX = 2, TASK_ELEMENTS = 1 << 14 };

typedef struct {
  const layout *l;
  void *const *data;
  uint64_t key;
  const uint64_t *word;
  const program *p;
  int64_t outs, bits, total;
  int probabilities, status;
} draw;

static char kind_of(const draw *d, int64_t v) {
  return v < d->outs ? d->p->results[v] : d->p->kinds[v - d->outs + d->bits];
}

/* The address of element `at`, and in `row` how many elements of the last dimension follow from it on. */
static char *element(const draw *d, int64_t v, int64_t at, int64_t *row) {
  const view *w = &d->l->view[v];
  int64_t offset = 0;
  *row = w->rank ? w->size[w->rank - 1] - at % w->size[w->rank - 1] : 1;
  for (int64_t k = w->rank - 1; k >= 0; k--) {
    offset += at % w->size[k] * w->stride[k];
    at /= w->size[k];
  }
  return (char *)d->data[v] + offset * item_bytes(w->dtype);
}

/* Elements [at, at + n) of a view to a buffer or, for an output, from it. */
static void pass(const draw *d, int64_t v, int64_t at, int64_t n, char *buffer) {
  const view *w = &d->l->view[v];
  int64_t step = w->rank ? w->stride[w->rank - 1] : 0, row, bytes = kind_of(d, v) == 'f' ? 4 : 8;
  for (int64_t done = 0; done < n; done += row) {
    char *memory = element(d, v, at + done, &row);
    row = MIN(row, n - done);
    if (v < d->outs) store_row(memory, w->dtype, step, buffer + done * bytes, kind_of(d, v), row);
    else load_row(buffer + done * bytes, kind_of(d, v), memory, w->dtype, step, row);
  }
}

/* Whether n elements from `at` on can be written where they are. */
static char *in_place(const draw *d, int64_t v, int64_t at, int64_t n) {
  const view *w = &d->l->view[v];
  int64_t own = kind_of(d, v) == 'f' ? F32 : kind_of(d, v) == 'd' ? F64 : I64, row;
  if (w->dtype != own || (w->rank && w->stride[w->rank - 1] != 1)) return 0;
  char *memory = element(d, v, at, &row);
  return row >= n ? memory : 0;
}

/* The words of BLOCK elements; with two each, the first ones apart from the second ones. */
static void fill(const draw *d, int64_t at, uint32_t (*to)[BLOCK]) {
  uint32_t both[2 * BLOCK] __attribute__((aligned(64)));
  if (d->bits == 1) {
    philox(to[0], d->key, at, BLOCK);
    return;
  }
  philox(both, d->key, 2 * at, 2 * BLOCK);
  for (int i = 0; i < BLOCK; i++) to[0][i] = both[2 * i], to[1][i] = both[2 * i + 1];
}

static int are_probabilities(const draw *d, int64_t v, const void *read, int64_t n) {
  const double *p = read;
  if (kind_of(d, v) != 'd') return 0;
  for (int64_t i = 0; i < n; i++)
    if (!(p[i] >= 0 && p[i] <= 1)) return 0;
  return 1;
}

static void run_task(const void *arg, int64_t index) {
  draw *d = (draw *)arg;
  uint32_t bits[BITS_MAX][BLOCK] __attribute__((aligned(64)));
  double buffer[VIEWS_MAX][BLOCK] __attribute__((aligned(64)));
  int64_t end = MIN(d->total, (index + 1) * TASK_ELEMENTS);
  for (int64_t at = index * TASK_ELEMENTS; at < end; at += BLOCK) {
    const void *in[BITS_MAX + VIEWS_MAX];
    void *out[VIEWS_MAX];
    int64_t n = MIN(BLOCK, end - at);
    fill(d, at, bits);
    for (int64_t b = 0; b < d->bits; b++) in[b] = bits[b];
    for (int64_t v = d->outs; v < d->l->views; v++) {
      pass(d, v, at, n, (char *)buffer[v]);
      in[v - d->outs + d->bits] = buffer[v];
      if (d->probabilities && !are_probabilities(d, v, buffer[v], n))
        __atomic_store_n(&d->status, BAD_VALUE, __ATOMIC_RELAXED);
    }
    for (int64_t v = 0; v < d->outs; v++) {
      char *there = in_place(d, v, at, n);
      out[v] = there ? there : (char *)buffer[v];
    }
    d->p->run(n, in, out, d->word);
    for (int64_t v = 0; v < d->outs; v++)
      if (out[v] == buffer[v]) pass(d, v, at, n, out[v]);
  }
}

EXPORT int repops_draw(const layout *l, void *const *data, const uint64_t *word) {
  draw d = {l, data, word[0], word + 1, &programs[l->param[l->params - 1]], l->param[0], l->param[1],
            numel(&l->view[0]), (int)l->param[2], DONE};
  if (l->views > VIEWS_MAX || d.bits > BITS_MAX) return BAD_LAYOUT;
  run_tasks(ceil_div(d.total, TASK_ELEMENTS), run_task, &d);
  return d.status;
}
