/* What a generated program needs around it: loads and stores of sixteen lanes, and of fewer at a row's end. */
#ifndef REPOPS_PROGRAMS_LOOP_H
#define REPOPS_PROGRAMS_LOOP_H

#include "repops.h"
#include "vec.h"

typedef struct program program;
typedef void loop(int64_t n, const void *const *in, void *const *out, const uint64_t *word);

/* What a fold's term has besides. Reads come without the carry; `advance` says of each whether it walks on from chunk to
 * chunk (1) or is the same chunk again (0). `init` is the word lanes start from. */
typedef struct {
  uint64_t init;
  const program *combine;
  /* Fold n terms that lie in rows: one value for each chunk of CHUNK terms. */
  void (*chunks)(int64_t n, const void *const *in, const int64_t *advance, const uint64_t *word, void *out);
  /* Fold n rows of m terms, m up to CHUNK, whose reads are `apart` elements apart: one value for each row. */
  void (*rows)(int64_t n, int64_t m, const void *const *in, const int64_t *apart, const uint64_t *word, void *out);
  /* Fold n terms that lie in rows into sixteen carries, the first into lane `lane`. */
  void (*piece)(int64_t n, int64_t lane, const void *const *in, const uint64_t *word, void *carry);
  /* The value of a chunk whose carries these are. */
  void (*close)(const void *carry, void *value);
  /* Fold `rows` terms of n neighbouring outputs into sixteen rows of carries, `apart` elements apart. `done` terms of the
   * chunk are in them already; the first sixteen begin the carries. A read's next term is `step` elements on. */
  void (*columns)(int64_t n, int64_t rows, int64_t done, const void *const *in, const int64_t *step, const uint64_t *word,
                  void *carry, int64_t apart);
  /* Fold `rows` terms of n neighbouring outputs one after the other into one row of new carries. */
  void (*tall)(int64_t n, int64_t rows, const void *const *in, const int64_t *step, const uint64_t *word, void *carry);
  /* The values of n outputs from sixteen rows of carries. */
  void (*merge)(int64_t n, const void *carry, int64_t apart, void *value);
  /* Combine `total` with n values, one after the other. */
  void (*chain)(int64_t n, const void *values, void *total);
  /* Fold n terms one after the other, from `total` on, and leave every total in `out`. */
  void (*scan)(int64_t n, const void *const *in, const uint64_t *word, void *total, void *out);
} fold;

/* `kinds` and `results` spell what reads, words and results are: f, i or d. */
struct program {
  const char *name, *kinds, *results;
  loop *run;
  const fold *fold; /* NULL unless it is a fold's term */
};

enum { CHUNK = 256 };

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
/* Lanes [lane, lane + n) from p on; the others are 0. */
INLINE vf f_later(const float *p, int64_t lane, int64_t n) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_loadu_ps((__mmask16)(((1u << n) - 1) << lane), p - lane);
#else
  vf v = {0};
  memcpy((float *)&v + lane, p, (size_t)n * 4);
  return v;
#endif
}
INLINE vl l_later(const int64_t *p, int64_t lane, int64_t n) { vl v = {0}; memcpy((int64_t *)&v + lane, p, (size_t)n * 8); return v; }
INLINE vd d_later(const double *p, int64_t lane, int64_t n) { vd v = {0}; memcpy((double *)&v + lane, p, (size_t)n * 8); return v; }
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
