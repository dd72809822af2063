/* What the kernels of layer and batch normalisation share: the sums they fold along rows. */
#ifndef REPOPS_NORM_H
#define REPOPS_NORM_H

#include "convert.h"
#include "reduce.h"

/* Rows of plain binary32 and the numbers that belong to them; `w` may be NULL. */
typedef struct {
  const float *x, *dy, *w;
  float mean, rstd;
} normal_row;

INLINE vf sum_of_x(vf carry, const void *ctx, int64_t j, int64_t m) {
  return f_add(carry, f_take(((const normal_row *)ctx)->x + j, m));
}
INLINE vf sum_of_dy(vf carry, const void *ctx, int64_t j, int64_t m) {
  return f_add(carry, f_take(((const normal_row *)ctx)->dy + j, m));
}
INLINE vf sum_of_squares(vf carry, const void *ctx, int64_t j, int64_t m) {
  const normal_row *r = ctx;
  vf d = f_sub(f_take(r->x + j, m), f_all(r->mean));
  return f_fma(d, d, carry);
}
INLINE vf sum_of_dy_times_difference(vf carry, const void *ctx, int64_t j, int64_t m) {
  const normal_row *r = ctx;
  return f_fma(f_sub(f_take(r->x + j, m), f_all(r->mean)), f_take(r->dy + j, m), carry);
}

INLINE float mean_of(float total, int64_t n) { return canonical1(total / (float)n); }
/* One over the root of the variance. */
INLINE float rstd_of(float squares, int64_t n, float eps) {
  return canonical1(1.0f / __builtin_sqrtf(squares / (float)n + eps));
}

/* A view's row as binary32: where it is, or copied into `buffer`. */
INLINE float *plain_row(const view *v, void *data, int64_t offset, int64_t n, float *buffer) {
  char *there = (char *)data + offset * item_bytes(v->dtype);
  int64_t step = v->rank ? v->stride[v->rank - 1] : 1;
  if (v->dtype == F32 && (step == 1 || n == 1)) return (float *)there;
  load_row(buffer, 'f', there, v->dtype, step, n);
  return buffer;
}

#endif
