/* The generic elementwise kernel: one scalar program over views of one shape.
 *
 * views: `param[0]` outputs, then the program's reads. The program runs over plain rows of binary32, 64-bit integers
 * or binary64. Views that are such rows already are used in place, the others pass through buffers of BLOCK elements,
 * where types are converted and strides walked. With three parameters the second one says how many views at the end hold
 * one number each: the program's first words, before those of the call.
 */
#include "convert.h"
#include "programs.h"
#include "repops.h"

#include <string.h>

enum { BLOCK = 512, VIEWS_MAX = 24, WORDS_MAX = 32, TASK_ELEMENTS = 1 << 15 };

typedef struct {
  const layout *l;
  void *const *data;
  const uint64_t *word;
  const program *p;
  int64_t outs, views, total, per_task;
} call;

static char kind_of(const call *c, int64_t v) { return v < c->outs ? c->p->results[v] : c->p->kinds[v - c->outs]; }

static int is_plain(const call *c, int64_t v) {
  const view *w = &c->l->view[v];
  char kind = kind_of(c, v);
  int64_t own = kind == 'f' ? F32 : kind == 'd' ? F64 : I64;
  return w->dtype == own && (w->rank == 0 || w->stride[w->rank - 1] == 1);
}

/* The place of element `at` in a view, in elements, and how many follow it in the same row. */
static int64_t place(const view *w, int64_t at) {
  if (w->rank == 1) return at * w->stride[0];
  int64_t offset = 0;
  for (int64_t d = w->rank - 1; d >= 0; d--) {
    offset += at % w->size[d] * w->stride[d];
    at /= w->size[d];
  }
  return offset;
}

static void *address(const call *c, int64_t v, int64_t offset) {
  return (char *)c->data[v] + offset * item_bytes(c->l->view[v].dtype);
}

/* Fill or empty a buffer of `n` elements that start at element `at`, row by row. */
static void pass(const call *c, int64_t v, int64_t at, int64_t n, void *buffer, int out) {
  const view *w = &c->l->view[v];
  char kind = kind_of(c, v);
  size_t bytes = kind == 'f' ? 4 : 8;
  int64_t row = w->rank ? w->size[w->rank - 1] : 1, step = w->rank ? w->stride[w->rank - 1] : 0;
  for (int64_t done = 0; done < n;) {
    int64_t here = MIN(n - done, row - (at + done) % row);
    char *memory = address(c, v, place(w, at + done));
    if (out)
      store_row(memory, w->dtype, step, (char *)buffer + done * bytes, kind, here);
    else
      load_row((char *)buffer + done * bytes, kind, memory, w->dtype, step, here);
    done += here;
  }
}

/* Run over elements [at, at + n); plain views are used where they are. */
static void run_block(const call *c, int64_t at, int64_t n, const int *plain, double (*buffers)[BLOCK], int64_t *filled) {
  const void *in[VIEWS_MAX];
  void *out[VIEWS_MAX];
  for (int64_t v = 0; v < c->views; v++) {
    void *there = plain[v] ? address(c, v, place(&c->l->view[v], at)) : buffers[v];
    if (v < c->outs) {
      out[v] = there;
      continue;
    }
    in[v - c->outs] = there;
    if (plain[v] || filled[v] >= n) continue;
    pass(c, v, at, n, buffers[v], 0);
    int same = 1;
    for (int64_t d = 0; d < c->l->view[v].rank; d++) same &= c->l->view[v].stride[d] == 0;
    if (same) filled[v] = n;
  }
  c->p->run(n, in, out, c->word);
  for (int64_t v = 0; v < c->outs; v++)
    if (!plain[v]) pass(c, v, at, n, buffers[v], 1);
}

static void run_range(const void *arg, int64_t index) {
  const call *c = arg;
  double buffers[VIEWS_MAX][BLOCK] __attribute__((aligned(64)));
  int plain[VIEWS_MAX], all = 1;
  int64_t filled[VIEWS_MAX] = {0};
  for (int64_t v = 0; v < c->views; v++) all &= plain[v] = is_plain(c, v);
  const view *first = &c->l->view[0];
  int64_t row = first->rank ? first->size[first->rank - 1] : 1;
  /* Short rows are gathered: a block then spans many of them, and no view is used in place. */
  int gathers = first->rank > 1 && row < 128;
  if (gathers) memset(plain, 0, sizeof plain);
  int64_t at = index * c->per_task, end = MIN(c->total, at + c->per_task);
  while (at < end) {
    int64_t n = end - at;
    if (!gathers) n = MIN(n, row - at % row);
    if (!all || gathers) n = MIN(n, BLOCK);
    run_block(c, at, n, plain, buffers, filled);
    at += n;
  }
}

/* All words of the program: those that views hold, then those of the call. */
static void gather_words(const call *c, const uint64_t *given, uint64_t *word) {
  const char *kind = c->p->kinds + (c->views - c->outs);
  int64_t at = 0;
  for (int64_t v = c->views; v < c->l->views; v++, at++) {
    word[at] = 0;
    load_row(&word[at], (char)(kind[at] | 32), c->data[v], c->l->view[v].dtype, 0, 1);
  }
  for (; kind[at]; at++) word[at] = *given++;
}

EXPORT int repops_map(const layout *l, void *const *data, const uint64_t *word) {
  const program *p = &programs[l->param[l->params - 1]];
  int64_t singles = l->params > 2 ? l->param[1] : 0;
  call c = {l, data, word, p, l->param[0], l->views - singles, numel(&l->view[0]), 0};
  uint64_t words[WORDS_MAX];
  if (c.views > VIEWS_MAX || strlen(p->kinds) > WORDS_MAX) return BAD_LAYOUT;
  if (singles) gather_words(&c, word, words), c.word = words;
  int64_t tasks = MAX(1, MIN(4 * (int64_t)threads_max(), c.total / TASK_ELEMENTS));
  c.per_task = (ceil_div(c.total, tasks) + BLOCK - 1) / BLOCK * BLOCK;
  run_tasks(ceil_div(c.total, c.per_task), run_range, &c);
  return DONE;
}

/* The number of a program by its name, or -1. */
EXPORT int64_t repops_program(const char *name) {
  for (int64_t i = 0; programs[i].name; i++)
    if (!strcmp(programs[i].name, name)) return i;
  return -1;
}
