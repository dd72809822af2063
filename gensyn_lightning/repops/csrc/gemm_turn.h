/* Small blocks turned in registers, for operands whose adjacent elements are terms and not lanes.
 *
 * Four terms of SPAN rows, turned, are four vectors of one term each. Rows are loaded by
 * quarters: where a register is two, the second is inserted on the way from memory, which costs no shuffle. Wider
 * registers would need more shuffles for the same bytes, and some machines run those at half the rate.
 */
#ifndef REPOPS_GEMM_TURN_H
#define REPOPS_GEMM_TURN_H

#include "gemm.h"

#if defined(__AVX2__)
enum { SPAN = 8 };
#else
enum { SPAN = 4 };
#endif
typedef float span __attribute__((vector_size(4 * SPAN)));

INLINE void s_store(float *p, span v) { memcpy(p, &v, sizeof v); }

#if defined(__AVX2__)
INLINE span s_all(float s) { return (span)_mm256_set1_ps(s); }
INLINE span s_fma(span a, span b, span c) { return (span)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE span two_rows(const float *low, const float *high) {
  return (span)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}
INLINE void turn_quad(span *r, span p0, span p1, span p2, span p3) {
  __m256 a = (__m256)p0, b = (__m256)p1, c = (__m256)p2, d = (__m256)p3;
  __m256d s = (__m256d)_mm256_unpacklo_ps(a, b), t = (__m256d)_mm256_unpackhi_ps(a, b);
  __m256d u = (__m256d)_mm256_unpacklo_ps(c, d), v = (__m256d)_mm256_unpackhi_ps(c, d);
  r[0] = (span)_mm256_unpacklo_pd(s, u), r[1] = (span)_mm256_unpackhi_pd(s, u);
  r[2] = (span)_mm256_unpacklo_pd(t, v), r[3] = (span)_mm256_unpackhi_pd(t, v);
}
#else
INLINE span s_all(float s) { return (span)n_all(s); }
INLINE span s_fma(span a, span b, span c) { return (span)n_fma((nf)a, (nf)b, (nf)c); }
INLINE span two_rows(const float *low, const float *high) { (void)high; return n_load(low); }
INLINE void turn_quad(span *r, span a, span b, span c, span d) {
  span s = __builtin_shufflevector(a, b, 0, 4, 1, 5), t = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  span u = __builtin_shufflevector(c, d, 0, 4, 1, 5), v = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(s, u, 0, 1, 4, 5), r[1] = __builtin_shufflevector(s, u, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(t, v, 0, 1, 4, 5), r[3] = __builtin_shufflevector(t, v, 2, 3, 6, 7);
}
#endif

/* Four terms of SPAN rows, `row` floats apart. */
INLINE void turn_load(span *r, const float *from, int64_t row) {
  const float *half = from + 4 * row;
  turn_quad(r, two_rows(from, half), two_rows(from + row, half + row), two_rows(from + 2 * row, half + 2 * row),
            two_rows(from + 3 * row, half + 3 * row));
}

/* Eight terms of SPAN rows: what a line of the cache holds of each row is asked for at once. */
INLINE void turn_eight(span *r, const float *from, int64_t row) {
#if defined(__AVX2__)
  span v[SPAN], low[4], high[4];
#pragma GCC unroll 8
  for (int i = 0; i < SPAN; i++) memcpy(&v[i], from + i * row, sizeof v[i]);
  turn_quad(low, v[0], v[1], v[2], v[3]), turn_quad(high, v[4], v[5], v[6], v[7]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    r[i] = (span)_mm256_permute2f128_ps((__m256)low[i], (__m256)high[i], 0x20);
    r[4 + i] = (span)_mm256_permute2f128_ps((__m256)low[i], (__m256)high[i], 0x31);
  }
#else
  turn_load(r, from, row), turn_load(r + 4, from + 4, row);
#endif
}

/* One term of `rows` rows; lanes past them mean nothing. */
INLINE span turn_one(const float *from, int64_t row, int64_t rows) {
  span v;
  for (int i = 0; i < SPAN; i++) v[i] = from[MIN(i, rows - 1) * row];
  return v;
}

#endif
