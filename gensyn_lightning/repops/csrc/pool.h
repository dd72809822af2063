/* What pooling kernels share: windows along three dimensions, and sixteen outputs' taps of one row.
 *
 * Views are [N, C, D, H, W]; a dimension that is not pooled has windows of one. Parameters, for D, H and W each: window,
 * step, padding, spacing of taps; then 1 if windows are adaptive: output o covers [floor(o I / O), ceil((o + 1) I / O)).
 */
#ifndef REPOPS_POOL_H
#define REPOPS_POOL_H

#include "convert.h"
#include "programs_loop.h"
#include "repops.h"

typedef struct {
  int64_t size, outs, window, step, padding, spacing, adaptive;
} pool_dim;

typedef struct {
  int64_t first, count; /* the taps that lie inside: the first one's place, and how many */
  int64_t skipped;      /* taps before it that do not */
} pool_taps;

INLINE pool_dim pool_dim_of(const layout *l, const view *in, const view *out, int d) {
  const int64_t *p = l->param + 4 * d;
  pool_dim dim = {in->size[2 + d], out->size[2 + d], p[0], p[1], p[2], p[3], l->param[12]};
  return dim;
}

INLINE pool_taps pool_taps_of(const pool_dim *d, int64_t o) {
  if (d->adaptive) {
    int64_t first = o * d->size / d->outs;
    pool_taps t = {first, ceil_div((o + 1) * d->size, d->outs) - first, 0};
    return t;
  }
  int64_t start = o * d->step - d->padding;
  int64_t skipped = start < 0 ? ceil_div(-start, d->spacing) : 0;
  int64_t end = start >= d->size ? 0 : MIN(d->window, ceil_div(d->size - start, d->spacing));
  pool_taps t = {start + skipped * d->spacing, MAX(end - skipped, 0), skipped};
  return t;
}

/* The windows of a row, once for all rows; in a buffer of the calling thread that no plane uses. */
INLINE pool_taps *pool_table(const pool_dim *d) {
  pool_taps *t = scratch(3, (size_t)(d->outs + 1) * sizeof *t);
  for (int64_t o = 0; t && o < d->outs; o++) t[o] = pool_taps_of(d, o);
  return t;
}

/* Elements [first, first + n) of a row, n <= 16; 0 where there is none. */
INLINE vf pool_load(const float *row, int64_t first, int64_t n, int64_t size) {
  if (n == LANES && first >= 0 && first + LANES <= size) return f_load(row + first);
  int64_t begin = MAX(-first, 0), end = MIN(n, size - first);
  if (begin >= end) return f_all(0);
  return f_later(row + first + begin, begin, end - begin);
}

/* Tap `k` of outputs [o, o + n) of a row, n <= 16, for steps of 1 or 2; 0 where it lies outside. */
INLINE vf pool_row(const pool_dim *d, const float *row, int64_t o, int64_t n, int64_t k) {
  int64_t first = o * d->step - d->padding + k * d->spacing;
  if (d->step == 1) return pool_load(row, first, n, d->size);
  vf a = pool_load(row, first, MIN(2 * n - 1, LANES), d->size), b = f_all(0);
  if (2 * n - 1 > LANES) b = pool_load(row, first + LANES, 2 * n - 1 - LANES, d->size);
  return f_even_of(a, b);
}

/* Whether rows are pooled sixteen outputs at a time. */
INLINE int pool_is_wide(const pool_dim *d) { return !d->adaptive && d->step <= 2; }

/* Whether the planes of a view are plain rows, one after the other. */
INLINE int pool_is_plain(const view *v) {
  return (v->size[4] == 1 || v->stride[4] == 1) && (v->size[3] == 1 || v->stride[3] == v->size[4]) &&
         (v->size[2] == 1 || v->stride[2] == v->size[3] * v->size[4]);
}

/* Whether sixteen channels lie side by side in both views. */
INLINE int pool_is_last(const view *a, const view *b) {
  return a->size[1] >= 8 && a->stride[1] == 1 && b->stride[1] == 1 && !(pool_is_plain(a) && pool_is_plain(b));
}

/* A plane as plain rows: where it is, or copied into a buffer. */
INLINE const float *pool_plane(const view *v, const void *data, int64_t n, int64_t c, int which) {
  const float *p = (const float *)data + n * v->stride[0] + c * v->stride[1];
  int64_t d_all = v->size[2], h_all = v->size[3], w_all = v->size[4];
  if (pool_is_plain(v)) return p;
  float *copy = scratch(which, (size_t)(d_all * h_all * w_all) * sizeof *copy);
  if (!copy) return 0;
  for (int64_t d = 0; d < d_all; d++)
    for (int64_t h = 0; h < h_all; h++)
      for (int64_t w = 0; w < w_all; w++)
        copy[(d * h_all + h) * w_all + w] = p[d * v->stride[2] + h * v->stride[3] + w * v->stride[4]];
  return copy;
}

INLINE void pool_put(float *to, int64_t step, vf v, int64_t n) {
  if (step == 1 && n == LANES) f_store(to, v);
  else if (step == 1) f_put(to, v, n);
  else {
    float each[LANES];
    f_store(each, v);
    for (int64_t i = 0; i < n; i++) to[i * step] = each[i];
  }
}

INLINE int64_t pool_tasks(int64_t planes, int64_t elements) {
  return planes * elements < (1 << 15) ? 1 : MIN(planes, 8 * (int64_t)threads_max());
}

#endif
