/* What a generated program needs around it: loads and stores of sixteen lanes, and of fewer at a row's end. */
#ifndef REPOPS_PROGRAMS_LOOP_H
#define REPOPS_PROGRAMS_LOOP_H

#include "repops.h"
#include "vec.h"

/* `kinds` and `results` spell what reads, words and results are: f, i or d. */
typedef struct {
  const char *name, *kinds, *results;
  void (*run)(int64_t n, const void *const *in, void *const *out, const uint64_t *word);
} program;

extern const program programs[];

INLINE vf f_some(const float *p, int64_t n) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
  vf v = {0};
  memcpy(&v, p, (size_t)n * 4);
  return v;
#endif
}
INLINE void f_put(float *p, vf v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  memcpy(p, &v, (size_t)n * 4);
#endif
}
INLINE vl l_some(const int64_t *p, int64_t n) { vl v = {0}; memcpy(&v, p, (size_t)n * 8); return v; }
INLINE void l_put(int64_t *p, vl v, int64_t n) { memcpy(p, &v, (size_t)n * 8); }
INLINE vd d_some(const double *p, int64_t n) { vd v = {0}; memcpy(&v, p, (size_t)n * 8); return v; }
INLINE void d_put(double *p, vd v, int64_t n) { memcpy(p, &v, (size_t)n * 8); }

#endif
