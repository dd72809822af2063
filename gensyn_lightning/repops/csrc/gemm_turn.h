/* Squares of WIDTH x WIDTH elements turned in registers, for operands whose adjacent elements are terms.
 */
#ifndef REPOPS_GEMM_TURN_H
#define REPOPS_GEMM_TURN_H

#include "gemm.h"

/* WIDTH rows in registers, turned about their diagonal. */
#if defined(__AVX512F__)
INLINE void w_turn(wide *r) {
  __m512 q[16], p[16];
  for (int g = 0; g < 16; g += 4) {
    __m512 a = (__m512)r[g], b = (__m512)r[g + 1], c = (__m512)r[g + 2], d = (__m512)r[g + 3];
    __m512d s = (__m512d)_mm512_unpacklo_ps(a, b), t = (__m512d)_mm512_unpackhi_ps(a, b);
    __m512d u = (__m512d)_mm512_unpacklo_ps(c, d), v = (__m512d)_mm512_unpackhi_ps(c, d);
    q[g] = (__m512)_mm512_unpacklo_pd(s, u), q[g + 1] = (__m512)_mm512_unpackhi_pd(s, u);
    q[g + 2] = (__m512)_mm512_unpacklo_pd(t, v), q[g + 3] = (__m512)_mm512_unpackhi_pd(t, v);
  }
  for (int j = 0; j < 4; j++) {
    p[j] = _mm512_shuffle_f32x4(q[j], q[4 + j], 0x44), p[4 + j] = _mm512_shuffle_f32x4(q[j], q[4 + j], 0xee);
    p[8 + j] = _mm512_shuffle_f32x4(q[8 + j], q[12 + j], 0x44), p[12 + j] = _mm512_shuffle_f32x4(q[8 + j], q[12 + j], 0xee);
  }
  for (int j = 0; j < 4; j++) {
    r[j] = (wide)_mm512_shuffle_f32x4(p[j], p[8 + j], 0x88), r[4 + j] = (wide)_mm512_shuffle_f32x4(p[j], p[8 + j], 0xdd);
    r[8 + j] = (wide)_mm512_shuffle_f32x4(p[4 + j], p[12 + j], 0x88), r[12 + j] = (wide)_mm512_shuffle_f32x4(p[4 + j], p[12 + j], 0xdd);
  }
}
#elif defined(__FMA__)
INLINE void w_turn(wide *r) {
  __m256 q[8];
  for (int g = 0; g < 8; g += 4) {
    __m256 a = (__m256)r[g], b = (__m256)r[g + 1], c = (__m256)r[g + 2], d = (__m256)r[g + 3];
    __m256d s = (__m256d)_mm256_unpacklo_ps(a, b), t = (__m256d)_mm256_unpackhi_ps(a, b);
    __m256d u = (__m256d)_mm256_unpacklo_ps(c, d), v = (__m256d)_mm256_unpackhi_ps(c, d);
    q[g] = (__m256)_mm256_unpacklo_pd(s, u), q[g + 1] = (__m256)_mm256_unpackhi_pd(s, u);
    q[g + 2] = (__m256)_mm256_unpacklo_pd(t, v), q[g + 3] = (__m256)_mm256_unpackhi_pd(t, v);
  }
  for (int j = 0; j < 4; j++) {
    r[j] = (wide)_mm256_permute2f128_ps(q[j], q[4 + j], 0x20);
    r[4 + j] = (wide)_mm256_permute2f128_ps(q[j], q[4 + j], 0x31);
  }
}
#else
INLINE void w_turn(wide *r) {
  wide s = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), t = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  wide u = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5), v = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(s, u, 0, 1, 4, 5), r[1] = __builtin_shufflevector(s, u, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(t, v, 0, 1, 4, 5), r[3] = __builtin_shufflevector(t, v, 2, 3, 6, 7);
}
#endif

/* The square that starts at `at`, rows `row` floats apart, turned. On AVX-512 the first exchange, of neighbouring
 * lanes of neighbouring rows, is done by masked loads one float to the side: shuffles are what limits a turn. */
INLINE void w_turn_load(wide *r, const float *at, int64_t row) {
  for (int i = 0; i < WIDTH; i++) r[i] = w_load(at + i * row);
  w_turn(r);
}

/* The same with fewer rows and columns; what is missing is 0. */
INLINE void w_turn_load_part(wide *r, const float *at, int64_t row, int64_t rows, int64_t cols) {
  for (int i = 0; i < WIDTH; i++) r[i] = i < rows ? w_load_part(at + i * row, cols) : (wide){0};
  w_turn(r);
}

#endif
