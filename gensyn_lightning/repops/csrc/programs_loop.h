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

/* Lanes [lane, lane + n) from p on; the others are 0, and nothing past them is touched. And the first n lanes to p. */
#if defined(__AVX512F__)
INLINE vf f_later(const float *p, int64_t lane, int64_t n) {
  return (vf){{(nf)_mm512_maskz_loadu_ps((__mmask16)(((1u << n) - 1) << lane), p - lane)}};
}
INLINE void f_put(float *p, vf v, int64_t n) {
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v.p[0]);
}
#elif defined(__AVX2__)
INLINE vf f_later(const float *p, int64_t lane, int64_t n) {
  const vi some = i_among(lane, lane + n);
  OF_NARROW(vf, (nf)_mm256_maskload_ps(p - lane + NARROW_LANES * reg, (__m256i)some.p[reg]));
}
INLINE void f_put(float *p, vf v, int64_t n) {
  const vi some = i_below((int32_t)n);
  EACH_NARROW(_mm256_maskstore_ps(p + NARROW_LANES * reg, (__m256i)some.p[reg], (__m256)v.p[reg]))
}
#else
INLINE vf f_later(const float *p, int64_t lane, int64_t n) {
  float v[LANES] = {0};
  memcpy(v + lane, p, (size_t)n * sizeof *v);
  return f_load(v);
}
INLINE void f_put(float *p, vf v, int64_t n) {
  float all[LANES];
  f_store(all, v);
  memcpy(p, all, (size_t)n * sizeof *all);
}
#endif
INLINE vf f_some(const float *p, int64_t n) { return f_later(p, 0, n); }

#define LANES_SOME(x, type, element)                                   \
  INLINE type x##_later(const element *p, int64_t lane, int64_t n) {   \
    element v[LANES] = {0};                                            \
    memcpy(v + lane, p, (size_t)n * sizeof *v);                        \
    return x##_load(v);                                                \
  }                                                                    \
  INLINE type x##_some(const element *p, int64_t n) { return x##_later(p, 0, n); } \
  INLINE void x##_put(element *p, type v, int64_t n) {                 \
    element all[LANES];                                                \
    x##_store(all, v);                                                 \
    memcpy(p, all, (size_t)n * sizeof *all);                           \
  }
LANES_SOME(l, vl, int64_t)
LANES_SOME(d, vd, double)

#endif
