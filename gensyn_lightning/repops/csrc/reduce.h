/* The fixed order of a reduction, for kernels that fold rows of their own: chunks, sixteen lanes, a tree, chunks in order. */
#ifndef REPOPS_REDUCE_H
#define REPOPS_REDUCE_H

#include "programs.h"

/* A term: what sixteen carries become when they meet elements [j, j + m), m up to sixteen, of what `ctx` describes. */
typedef vf term(vf carry, const void *ctx, int64_t j, int64_t m);

INLINE vf f_take(const float *p, int64_t m) { return m == LANES ? f_load(p) : f_some(p, m); }
INLINE void f_give(float *p, vf v, int64_t m) {
  if (m == LANES) f_store(p, v);
  else f_put(p, v, m);
}

/* The lanes of one chunk: elements [from, to), to - from up to CHUNK. */
INLINE vf lanes_of_chunk(int64_t from, int64_t to, term *next, const void *ctx) {
  vf acc = {0};
  int64_t j = from;
  for (; j + LANES <= to; j += LANES) acc = next(acc, ctx, j, LANES);
  if (j < to) acc = f_select(i_below((int32_t)(to - j)), next(acc, ctx, j, to - j), acc);
  return acc;
}
INLINE float sum_chunk(int64_t from, int64_t to, term *next, const void *ctx) {
  return f_first(t_add_ff(lanes_of_chunk(from, to, next, ctx)));
}

/* The sum of n terms. */
INLINE float sum_row(int64_t n, term *next, const void *ctx) {
  float total = 0;
  for (int64_t at = 0; at < n; at += CHUNK) {
    float value = sum_chunk(at, MIN(n, at + CHUNK), next, ctx);
    total = at ? total + value : value;
  }
  return total;
}

/* The trees of neighbours over the lanes of sixteen vectors; lane i of the result is that of v[i]. v is overwritten. A row of
 * its own waits for every step of its tree; sixteen rows side by side do not. */
#define TREES(name, join)                                                                        \
  INLINE vf name(vf *v) {                                                                        \
    for (int width = LANES / 2; width; width /= 2)                                               \
      for (int i = 0; i < width; i++) {                                                          \
        vf even = f_even_of(v[2 * i], v[2 * i + 1]), odd = f_odd_of(v[2 * i], v[2 * i + 1]);     \
        v[i] = join;                                                                             \
      }                                                                                          \
    return v[0];                                                                                 \
  }
TREES(trees_of_sums, f_add(even, odd))
TREES(trees_of_largest, f_larger(even, odd))

/* The largest of n numbers: NaN if one is, +0 of two zeros. No order matters. */
INLINE float largest_of_row(const float *x, int64_t n) {
  vf best = f_all(-__builtin_inff()), other = best;
  int64_t j = 0;
  for (; j + 2 * LANES <= n; j += 2 * LANES) {
    best = q_larger_ff(best, f_load(x + j));
    other = q_larger_ff(other, f_load(x + j + LANES));
  }
  for (; j < n; j += LANES) {
    int64_t m = MIN(LANES, n - j);
    best = f_select(i_below((int32_t)m), q_larger_ff(best, f_take(x + j, m)), best);
  }
  return canonical1(f_first(t_larger_ff(q_larger_ff(best, other))));
}

#endif
