/* A program over rows of plain binary32, some of them the same for every row.
 *
 * views: the result, then the reads, all [M, C] with C side by side; a read that is the same for every row has stride 0.
 * params: the program.
 */
#include "programs.h"

enum { VIEWS_MAX = 16, TASK_ELEMENTS = 1 << 14 };

typedef struct {
  const layout *l;
  void *const *data;
  const uint64_t *word;
  const program *p;
  int64_t rows, n, per_task;
} call;

static void run_rows(const void *arg, int64_t index) {
  const call *c = arg;
  const void *in[VIEWS_MAX];
  void *out[1];
  int64_t end = MIN(c->rows, (index + 1) * c->per_task);
  for (int64_t i = index * c->per_task; i < end; i++) {
    out[0] = (float *)c->data[0] + i * c->l->view[0].stride[0];
    for (int64_t v = 1; v < c->l->views; v++) in[v - 1] = (const float *)c->data[v] + i * c->l->view[v].stride[0];
    c->p->run(c->n, in, out, c->word);
  }
}

EXPORT int repops_map_rows(const layout *l, void *const *data, const uint64_t *word) {
  const view *o = &l->view[0];
  if (l->views > VIEWS_MAX || o->rank != 2) return BAD_LAYOUT;
  call c = {l, data, word, &programs[l->param[l->params - 1]], o->size[0], o->size[1], 0};
  c.per_task = MAX(1, TASK_ELEMENTS / MAX(1, c.n));
  run_tasks(ceil_div(c.rows, c.per_task), run_rows, &c);
  return DONE;
}
