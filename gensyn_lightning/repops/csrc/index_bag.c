/* What bags of embeddings need: which bag an item is in, products of two rows, the size of a row. */
#include "convert.h"
#include "repops.h"

/* out[n] is how many of the offsets are at most n, less one. */
EXPORT int repops_index_bags(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  const view *vo = &l->view[0], *vf = &l->view[1];
  if (vo->dtype != I64 || vf->dtype != I64) return BAD_LAYOUT;
  int64_t *out = data[0], items = vo->size[0], step = vo->stride[0], bag = -1;
  const int64_t *offset = data[1];
  for (int64_t n = 0; n < items; n++) out[n * step] = 0;
  for (int64_t b = 0; b < vf->size[0]; b++) {
    int64_t at = offset[b * vf->stride[0]];
    if (at < items) out[MAX(at, 0) * step]++;
  }
  for (int64_t n = 0; n < items; n++) out[n * step] = bag += out[n * step];
  return DONE;
}

typedef struct {
  const layout *l;
  void *const *data;
  int bad;
} dot_job;

/* One row pair: chunks of 256 fused multiply-adds, each from +0; the first is taken as it is. */
static void run_dot(const void *arg, int64_t n) {
  dot_job *j = (dot_job *)arg;
  const view *v = j->l->view;
  int64_t r = ((int64_t *)j->data[2])[n * v[2].stride[0]], s = ((int64_t *)j->data[4])[n * v[4].stride[0]];
  if (r < 0 || r >= v[1].size[0] || s < 0 || s >= v[3].size[0]) { j->bad = 1; return; }
  const float *a = (const float *)j->data[1] + r * v[1].stride[0], *b = (const float *)j->data[3] + s * v[3].stride[0];
  float total = 0;
  for (int64_t start = 0; start < v[1].size[1]; start += 256) {
    float chunk = 0;
    for (int64_t d = start; d < MIN(start + 256, v[1].size[1]); d++)
      chunk = canonical1(fma1(a[d * v[1].stride[1]], b[d * v[3].stride[1]], chunk));
    total = start ? canonical1(total + chunk) : chunk;
  }
  ((float *)j->data[0])[n * v[0].stride[0]] = total;
}

/* out[n] is the product of rows a[i[n]] and b[k[n]]. Views: out, a, i, b, k. */
EXPORT int repops_index_dot(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  if (l->views != 5 || l->view[0].dtype != F32) return BAD_LAYOUT;
  dot_job j = {l, data, 0};
  run_tasks(l->view[0].size[0], run_dot, &j);
  return j.bad ? BAD_INDEX : DONE;
}

static void run_size(const void *arg, int64_t n) {
  const dot_job *j = arg;
  const view *v = j->l->view;
  const float *x = (const float *)j->data[1] + n * v[1].stride[0];
  int64_t length = v[1].size[1], step = v[1].stride[1], norm = j->l->param[0];
  float total = 0;
  for (int64_t start = 0; start < length || start == 0; start += 256) {
    vf lane = f_all(0);
    for (int64_t at = start; at < MIN(start + 256, length); at += LANES) {
      float terms[LANES] = {0};
      for (int64_t i = 0; i < MIN(LANES, length - at); i++) terms[i] = x[(at + i) * step];
      vf term = f_load(terms);
      lane = norm == 2 ? f_fma(term, term, lane) : f_add(lane, i_as_f(i_and(f_as_i(term), i_all(0x7fffffff))));
    }
    float chunk = f_tree(lane);
    total = start ? total + chunk : chunk;
  }
  ((float *)j->data[0])[n * v[0].stride[0]] = canonical1(total);
}

/* out[n] is the sum of the squares (param 0 is 2) or magnitudes (1) of x[n]. */
EXPORT int repops_index_size(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  if (l->views != 2 || l->view[0].dtype != F32 || l->view[1].dtype != F32) return BAD_LAYOUT;
  dot_job j = {l, data, 0};
  run_tasks(l->view[0].size[0], run_size, &j);
  return DONE;
}
