/* The gradient of a loss of classes: out[n, c, q] is value[n, q] where c is class[n, q], else 0; -1 is no class. */
#include "convert.h"
#include "repops.h"

enum { PART = 1 << 15 }; /* elements a task clears, about */

typedef struct {
  const view *out, *value, *named;
  char *o;
  const char *v;
  const int64_t *c;
  int64_t parts, height; /* parts of the classes, and how many classes a part has */
  int bad;
} class_job;

/* One sample's classes from `height * part` on. The output is contiguous: it is cleared, then written at the classes. */
static void run_part(const void *arg, int64_t at) {
  class_job *j = (class_job *)arg;
  int64_t n = at / j->parts, first = at % j->parts * j->height;
  int64_t classes = j->out->size[1], width = j->out->size[2], bytes = item_bytes(j->out->dtype);
  int64_t end = MIN(first + j->height, classes);
  char *o = j->o + n * classes * width * bytes;
  memset(o + first * width * bytes, 0, (size_t)((end - first) * width * bytes));
  const view *vv = j->value, *vn = j->named;
  for (int64_t q = 0; q < width; q++) {
    int64_t c = j->c[n * vn->stride[0] + q * vn->stride[1]];
    if (c < -1 || c >= classes) { j->bad = 1; return; }
    if (c < first || c >= end) continue;
    const char *from = j->v + (n * vv->stride[0] + q * vv->stride[1]) * bytes;
    memcpy(o + (c * width + q) * bytes, from, (size_t)bytes);
  }
}

EXPORT int repops_class_write(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  const view *v = l->view;
  if (l->views != 3 || v[0].dtype != v[1].dtype || v[2].dtype != I64) return BAD_LAYOUT;
  class_job j = {&v[0], &v[1], &v[2], data[0], data[1], data[2], 1, v[0].size[1], 0};
  j.parts = MAX(1, MIN(v[0].size[1], v[0].size[1] * v[0].size[2] / PART));
  j.height = ceil_div(v[0].size[1], j.parts);
  j.parts = ceil_div(v[0].size[1], j.height);
  run_tasks(v[0].size[0] * j.parts, run_part, &j);
  return j.bad ? BAD_INDEX : DONE;
}
