/* Reads that follow an index: out[p, n, q] is table[p, r, q], where r is index[p, n, q]; 0 where the index is -1. */
#include "index.h"

typedef struct {
  const view *out, *table, *index;
  char *o;
  const char *t;
  const int64_t *i;
  index_split split;
  int bad;
} read_job;

static void run_part(const void *arg, int64_t at) {
  read_job *j = (read_job *)arg;
  index_part part = index_part_of(&j->split, at);
  const view *vo = j->out, *vt = j->table, *vi = j->index;
  int64_t bytes = item_bytes(vo->dtype), whole = vi->stride[2] == 0 || vi->size[2] == 1;
  whole = whole && (vo->stride[2] == 1 || vo->size[2] == 1) && (vt->stride[2] == 1 || vt->size[2] == 1);
  for (int64_t p = part.p0; p < part.p1; p++)
    for (int64_t n = part.r0; n < part.r1; n++)
      for (int64_t q = part.q0; q < part.q1; q = whole ? part.q1 : q + 1) {
        int64_t r = j->i[p * vi->stride[0] + n * vi->stride[1] + q * vi->stride[2]];
        char *o = j->o + (p * vo->stride[0] + n * vo->stride[1] + q * vo->stride[2]) * bytes;
        size_t length = (size_t)((whole ? part.q1 - q : 1) * bytes);
        if (r < -1 || r >= vt->size[1]) { j->bad = 1; return; }
        if (r < 0) memset(o, 0, length);
        else memcpy(o, j->t + (p * vt->stride[0] + r * vt->stride[1] + q * vt->stride[2]) * bytes, length);
      }
}

EXPORT int repops_index_read(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  const view *v = l->view;
  if (l->views != 3 || v[0].dtype != v[1].dtype || v[2].dtype != I64) return BAD_LAYOUT;
  read_job j = {&v[0], &v[1], &v[2], data[0], data[1], data[2], {0}, 0};
  j.split = index_split_of(v[0].size[0], v[0].size[1], v[0].size[2], 0);
  run_tasks(index_parts(&j.split), run_part, &j);
  return j.bad ? BAD_INDEX : DONE;
}
