/* Columns of patches back into images: an element adds up what the patches hold of it, in row-major order of its place in
 * the patch, from +0.
 *
 * Views: image[P, H, W], columns[P, KH, KW, OH, OW]. Parameters, for H and W: step, padding, spacing.
 */
#include "pool.h"

typedef struct {
  const layout *l;
  void *const *data;
} columns_job;

static void run_plane(const void *arg, int64_t p) {
  const columns_job *j = arg;
  const view *vo = &j->l->view[0], *vc = &j->l->view[1];
  const int64_t *h = j->l->param, *w = j->l->param + 3;
  float *out = (float *)j->data[0] + p * vo->stride[0];
  const float *in = (const float *)j->data[1] + p * vc->stride[0];
  for (int64_t y = 0; y < vo->size[1]; y++)
    for (int64_t x = 0; x < vo->size[2]; x++) out[y * vo->stride[1] + x * vo->stride[2]] = 0;
  for (int64_t a = 0; a < vc->size[1]; a++)
    for (int64_t b = 0; b < vc->size[2]; b++)
      for (int64_t oh = 0; oh < vc->size[3]; oh++) {
        int64_t y = oh * h[0] - h[1] + a * h[2], x = b * w[2] - w[1];
        if (y < 0 || y >= vo->size[1]) continue;
        const float *row = in + a * vc->stride[1] + b * vc->stride[2] + oh * vc->stride[3];
        float *to = out + y * vo->stride[1];
        int64_t begin = x < 0 ? ceil_div(-x, w[0]) : 0;
        int64_t end = vo->size[2] > x ? MIN(vc->size[4], ceil_div(vo->size[2] - x, w[0])) : 0;
        for (int64_t ow = begin; ow < end; ow++) {
          float *o = to + (x + ow * w[0]) * vo->stride[2];
          *o = canonical1(*o + row[ow * vc->stride[4]]);
        }
      }
}

EXPORT int repops_pool_columns(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  if (l->views != 2 || l->params < 6 || l->view[0].dtype != F32 || l->view[1].dtype != F32) return BAD_LAYOUT;
  columns_job j = {l, data};
  run_tasks(l->view[0].size[0], run_plane, &j);
  return DONE;
}
