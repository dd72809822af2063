/* Sixteen lanes of one type, on whatever registers the machine has.
 *
 * Lanes are always sixteen, whatever the build: GCC and Clang split a vector over as many registers as
 * it takes, and no operation here mixes lanes but those that say so. `fma` is fused on every machine:
 * in hardware where there is an instruction, otherwise by `soft_fmaf`.
 */
#ifndef REPOPS_VEC_H
#define REPOPS_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64)));
typedef double vd __attribute__((vector_size(128)));
typedef int64_t vl __attribute__((vector_size(128)));
typedef uint64_t vul __attribute__((vector_size(128)));

#define INLINE static inline __attribute__((always_inline))
#define LANES 16

INLINE vf f_load(const float *p) { vf v; memcpy(&v, p, sizeof v); return v; }
INLINE void f_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
INLINE vl l_load(const int64_t *p) { vl v; memcpy(&v, p, sizeof v); return v; }
INLINE void l_store(int64_t *p, vl v) { memcpy(p, &v, sizeof v); }
INLINE vd d_load(const double *p) { vd v; memcpy(&v, p, sizeof v); return v; }
INLINE void d_store(double *p, vd v) { memcpy(p, &v, sizeof v); }

/* Broadcast by subtraction of +0: adding to +0 would turn -0 into +0. */
INLINE vf f_all(float s) { return s - (vf){0}; }
INLINE vd d_all(double s) { return s - (vd){0}; }
INLINE vi i_all(int32_t s) { return s - (vi){0}; }
INLINE vl l_all(int64_t s) { return s - (vl){0}; }

INLINE vi f_bits(vf v) { return (vi)v; }
INLINE vf f_from_bits(vi v) { return (vf)v; }

float soft_fmaf(float a, float b, float c);

#if defined(__AVX512F__)
INLINE vf f_fma(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE vf f_sqrt(vf a) { return (vf)_mm512_sqrt_ps((__m512)a); }
#elif defined(__FMA__)
INLINE vf f_fma(vf a, vf b, vf c) {
  union { vf v; __m256 h[2]; } x = {a}, y = {b}, z = {c};
  z.h[0] = _mm256_fmadd_ps(x.h[0], y.h[0], z.h[0]);
  z.h[1] = _mm256_fmadd_ps(x.h[1], y.h[1], z.h[1]);
  return z.v;
}
INLINE vf f_sqrt(vf a) {
  union { vf v; __m256 h[2]; } x = {a};
  x.h[0] = _mm256_sqrt_ps(x.h[0]);
  x.h[1] = _mm256_sqrt_ps(x.h[1]);
  return x.v;
}
#elif defined(__aarch64__)
INLINE vf f_fma(vf a, vf b, vf c) {
  union { vf v; float32x4_t q[4]; } x = {a}, y = {b}, z = {c};
  for (int i = 0; i < 4; i++) z.q[i] = vfmaq_f32(z.q[i], x.q[i], y.q[i]);
  return z.v;
}
INLINE vf f_sqrt(vf a) {
  union { vf v; float32x4_t q[4]; } x = {a};
  for (int i = 0; i < 4; i++) x.q[i] = vsqrtq_f32(x.q[i]);
  return x.v;
}
#else
/* Without an instruction for it: in fma.c, and not inline, since some programs have dozens. */
vf f_fma(vf a, vf b, vf c);
INLINE vf f_sqrt(vf a) {
  for (int i = 0; i < LANES; i++) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
#endif

/* One fused multiply-add, for the tails of loops. */
INLINE float fma1(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return soft_fmaf(a, b, c);
#endif
}

#include "lanes.h"

INLINE float canonical1(float v) { return v != v ? __builtin_nanf("") : v; }

INLINE vf f_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE vi i_select(vi mask, vi a, vi b) { return (vi)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE vd d_select(vl mask, vd a, vd b) { return (vd)((mask & (vl)a) | (~mask & (vl)b)); }
INLINE vl l_select(vl mask, vl a, vl b) { return (vl)((mask & (vl)a) | (~mask & (vl)b)); }

/* `a < b ? a : b` and `a > b ? a : b`: the second of equal ones, and where either is NaN. */
#if defined(__AVX512F__)
INLINE vf f_smaller(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf f_larger(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
#elif defined(__AVX__)
INLINE vf f_smaller(vf a, vf b) {
  union { vf v; __m256 h[2]; } x = {a}, y = {b};
  x.h[0] = _mm256_min_ps(x.h[0], y.h[0]);
  x.h[1] = _mm256_min_ps(x.h[1], y.h[1]);
  return x.v;
}
INLINE vf f_larger(vf a, vf b) {
  union { vf v; __m256 h[2]; } x = {a}, y = {b};
  x.h[0] = _mm256_max_ps(x.h[0], y.h[0]);
  x.h[1] = _mm256_max_ps(x.h[1], y.h[1]);
  return x.v;
}
#else
INLINE vf f_smaller(vf a, vf b) { return f_select(f_lt(a, b), a, b); }
INLINE vf f_larger(vf a, vf b) { return f_select(f_lt(b, a), a, b); }
#endif

/* Constants by their bits. */
INLINE vf f_word(uint32_t bits) { return (vf)i_all((int32_t)bits); }
INLINE vd d_word(uint64_t bits) { return (vd)l_all((int64_t)bits); }

/* The lanes below n, as a mask. */
INLINE vi i_below(int32_t n) { return (vi){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} < i_all(n); }
INLINE vl l_below(int64_t n) { return (vl){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} < l_all(n); }

/* The lanes in [m, n). */
INLINE vi i_among(int64_t m, int64_t n) { return i_below((int32_t)n) & ~i_below((int32_t)m); }
INLINE vl l_among(int64_t m, int64_t n) { return l_below(n) & ~l_below(m); }

/* The even and the odd lanes, in the lower half of the result: the two sides of a step of the tree. */
#define EVEN(v) __builtin_shufflevector(v, v, 0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD(v) __builtin_shufflevector(v, v, 1, 3, 5, 7, 9, 11, 13, 15, 1, 3, 5, 7, 9, 11, 13, 15)
INLINE vf f_even(vf v) { return EVEN(v); }
INLINE vf f_odd(vf v) { return ODD(v); }
INLINE vd d_even(vd v) { return EVEN(v); }
INLINE vd d_odd(vd v) { return ODD(v); }
INLINE vl l_even(vl v) { return EVEN(v); }
INLINE vl l_odd(vl v) { return ODD(v); }
#undef EVEN
#undef ODD

#if defined(__AVX512F__)
INLINE vd d_sqrt(vd a) {
  union { vd v; __m512d h[2]; } x = {a};
  for (int i = 0; i < 2; i++) x.h[i] = _mm512_sqrt_pd(x.h[i]);
  return x.v;
}
#elif defined(__AVX__)
INLINE vd d_sqrt(vd a) {
  union { vd v; __m256d h[4]; } x = {a};
  for (int i = 0; i < 4; i++) x.h[i] = _mm256_sqrt_pd(x.h[i]);
  return x.v;
}
#else
INLINE vd d_sqrt(vd a) {
  for (int i = 0; i < LANES; i++) a[i] = __builtin_sqrt(a[i]);
  return a;
}
#endif

/* Towards zero; NaN is 0; what does not fit is the nearest that does. */
INLINE vl d_to_l(vd a) {
  vl r;
  for (int i = 0; i < LANES; i++)
    r[i] = a[i] != a[i] ? 0 : a[i] >= 0x1p63 ? INT64_MAX : a[i] < -0x1p63 ? INT64_MIN : (int64_t)a[i];
  return r;
}
INLINE vl f_to_l(vf a) { return d_to_l(d_of_f(a)); }

/* The fixed tree over sixteen lanes: neighbours first, then pairs of neighbours, and so on. */
INLINE float f_tree(vf v) {
  float a[16];
  memcpy(a, &v, sizeof a);
  for (int width = 8; width; width /= 2)
    for (int i = 0; i < width; i++) a[i] = a[2 * i] + a[2 * i + 1];
  return a[0];
}

#endif
