/* Resampling of planes along width, height and depth, one after the other; the adjoint goes along depth first.
 *
 * Views: out[N, C, D, H, W], in[N, C, D, H, W], then places[O, T] and weights[O, T] for each dimension that is resampled,
 * depth first. Parameters: whether depth, height, width are; whether it is the adjoint, in which case the tables lead from
 * `in` to `out`: every element of `out` then adds up what the tables take from it, in order.
 */
#include "upsample.h"

typedef struct {
  const layout *l;
  void *const *data;
  resampling along[3]; /* depth, height, width */
  int64_t planes, tasks;
  int used[3], status;
} resample_job;

static int is_plain(const view *v) {
  return (v->size[4] == 1 || v->stride[4] == 1) && (v->size[3] == 1 || v->stride[3] == v->size[4]) &&
         (v->size[2] == 1 || v->stride[2] == v->size[3] * v->size[4]);
}

/* Resample a block [d, h, w] along dimension `at`; the size along it becomes `outs`. */
static void run_pass(const resample_job *j, int at, const float *in, int64_t *size, float *out) {
  const resampling *r = &j->along[at];
  if (at == 2) {
    for (int64_t row = 0; row < size[0] * size[1]; row++) resample_row(r, in + row * size[2], size[2], out + row * r->outs);
  } else if (at == 1) {
    for (int64_t d = 0; d < size[0]; d++) resample_rows(r, in + d * size[1] * size[2], size[2], out + d * r->outs * size[2]);
  } else {
    resample_rows(r, in, size[1] * size[2], out);
  }
  size[at] = r->outs;
}

static void copy_plane(const view *v, float *plane, float *plain, int out) {
  for (int64_t d = 0; d < v->size[2]; d++)
    for (int64_t h = 0; h < v->size[3]; h++)
      for (int64_t w = 0; w < v->size[4]; w++) {
        float *there = plane + d * v->stride[2] + h * v->stride[3] + w * v->stride[4];
        float *here = plain + (d * v->size[3] + h) * v->size[4] + w;
        if (out) *there = canonical1(*here);
        else *here = *there;
      }
}

static void run_plane(resample_job *j, int64_t plane) {
  const view *vo = &j->l->view[0], *vi_ = &j->l->view[1];
  int64_t n = plane / vo->size[1], c = plane % vo->size[1], most = 1, size[3], passes = 0;
  float *in = (float *)j->data[1] + n * vi_->stride[0] + c * vi_->stride[1];
  float *out = (float *)j->data[0] + n * vo->stride[0] + c * vo->stride[1];
  for (int d = 0; d < 3; d++) {
    size[d] = vi_->size[2 + d];
    most *= MAX(vi_->size[2 + d], vo->size[2 + d]);
    passes += j->used[d];
  }
  float *buffer[3];
  for (int i = 0; i < 3; i++)
    if (!(buffer[i] = scratch(i, (size_t)(most + LANES) * sizeof(float)))) { j->status = NO_MEMORY; return; }
  if (!is_plain(vi_)) {
    copy_plane(vi_, in, buffer[2], 0);
    in = buffer[2];
  }
  int adjoint = j->l->param[3] != 0;
  for (int i = 0, done = 0; i < 3; i++) {
    int at = adjoint ? i : 2 - i;
    if (!j->used[at]) continue;
    float *to = ++done == passes && is_plain(vo) ? out : buffer[done % 2];
    run_pass(j, at, in, size, to);
    in = to;
  }
  if (in != out) copy_plane(vo, out, in, 1);
  else
    for (int64_t i = 0; i < size[0] * size[1] * size[2]; i++) out[i] = canonical1(out[i]);
}

static void run_task(const void *arg, int64_t i) {
  resample_job *j = (resample_job *)arg;
  for (int64_t p = j->planes * i / j->tasks; p < j->planes * (i + 1) / j->tasks; p++) run_plane(j, p);
}

EXPORT int repops_upsample(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  const view *v = l->view;
  if (l->params < 4 || v[0].dtype != F32 || v[1].dtype != F32) return BAD_LAYOUT;
  resample_job j = {l, data, {{0}}, v[0].size[0] * v[0].size[1], 1, {0}, DONE};
  int table = 2, adjoint = l->param[3] != 0;
  for (int d = 0; d < 3; d++) {
    if (!(j.used[d] = l->param[d] != 0)) continue;
    int64_t size = v[adjoint ? 0 : 1].size[2 + d];
    int status = resampling_make(&j.along[d], &v[table], data[table], &v[table + 1], data[table + 1], size, adjoint);
    if (status != DONE) j.status = status;
    table += 2;
  }
  int64_t work = numel(&v[0]) + numel(&v[1]);
  j.tasks = work < (1 << 14) ? 1 : MIN(j.planes, 8 * (int64_t)threads_max());
  if (j.status == DONE) run_tasks(j.tasks, run_task, &j);
  for (int d = 0; d < 3; d++) resampling_free(&j.along[d]);
  return j.status;
}
