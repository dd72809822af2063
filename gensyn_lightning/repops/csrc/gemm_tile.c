/* The micro-kernel: a tile of C held in registers through one chunk.
 *
 * Every height and both widths have code of their own, so that a tile at the edge of a matrix costs what it
 * computes. The accumulators must stay in registers: all loops over them are unrolled.
 */
#include "gemm.h"

#define UNROLL _Pragma("GCC unroll 16")

INLINE nf after_value(const epilogue *e, nf v, const float *c, int64_t lanes) {
  if (e->alpha != 1) v = n_all(e->alpha) * v;
  if (e->beta == 0) return v;
  nf u = e->c.col ? n_load_some(c, lanes) : n_all(*c);
  if (e->beta != 1) u = n_all(e->beta) * u;
  return u + v;
}

/* The way out for tiles that are not full or have an epilogue, shared by all heights. */
static __attribute__((noinline)) void put_edge(const tile *t, const float *sum, int64_t sum_row) {
  for (int64_t i = 0; i < t->rows; i++)
    for (int64_t j = 0; j < t->cols; j += WIDTH) {
      int64_t lanes = MIN(t->cols - j, WIDTH);
      float *c = t->c + i * t->c_row + j;
      nf v = n_load(sum + i * sum_row + j);
      if (t->add) v = n_load_some(c, lanes) + v;
      if (t->after) {
        const matrix *m = &t->after->c;
        v = after_value(t->after, v, (const float *)m->at + i * m->row + j * m->col, lanes);
      }
      n_store_some(c, n_canonical(v), lanes);
    }
}

INLINE void put_whole(float *c, int add, nf v) {
  if (add) v = n_load(c) + v;
  n_store(c, n_canonical(v));
}

INLINE void run(const tile *t, const int rows, const int vectors, const int packed) {
  nf acc[TILE_ROWS][2];
  const float *a = t->a, *b = t->b;
  const int64_t a_row = packed ? 1 : t->a_row, a_col = packed ? rows : t->a_col, b_row = t->b_row;
  UNROLL for (int i = 0; i < rows; i++) {
    if (t->add) __builtin_prefetch(t->c + i * t->c_row, 1);
    UNROLL for (int j = 0; j < vectors; j++) acc[i][j] = (nf){0};
  }
  if (t->resume)
    UNROLL for (int i = 0; i < rows; i++)
      UNROLL for (int j = 0; j < vectors; j++)
        acc[i][j] = n_load_some(t->c + i * t->c_row + j * WIDTH, MIN(t->cols - j * WIDTH, WIDTH));
  for (int64_t k = 0; k < t->k; k++) {
    nf v[2];
    UNROLL for (int j = 0; j < vectors; j++) v[j] = n_load(b + j * WIDTH);
    UNROLL for (int i = 0; i < rows; i++) {
      nf s = n_all(a[i * a_row]);
      UNROLL for (int j = 0; j < vectors; j++) acc[i][j] = n_fma(s, v[j], acc[i][j]);
    }
    a += a_col;
    b += b_row;
  }
  if (t->cols == vectors * WIDTH && !t->after) {
    float *c = t->c;
    const int64_t c_row = t->c_row;
    const int add = t->add;
    UNROLL for (int i = 0; i < rows; i++)
      UNROLL for (int j = 0; j < vectors; j++) put_whole(c + i * c_row + j * WIDTH, add, acc[i][j]);
  } else {
    float sum[TILE_ROWS * TILE_COLS] __attribute__((aligned(64)));
    UNROLL for (int i = 0; i < rows; i++)
      UNROLL for (int j = 0; j < vectors; j++) n_store(sum + (i * vectors + j) * WIDTH, acc[i][j]);
    put_edge(t, sum, vectors * WIDTH);
  }
}

#define ONE(rows) \
  static void packed_##rows##_1(const tile *t) { run(t, rows, 1, 1); } \
  static void packed_##rows##_2(const tile *t) { run(t, rows, 2, 1); } \
  static void strided_##rows##_1(const tile *t) { run(t, rows, 1, 0); } \
  static void strided_##rows##_2(const tile *t) { run(t, rows, 2, 0); }
#define NAMES(rows) \
  {{packed_##rows##_1, packed_##rows##_2}, {strided_##rows##_1, strided_##rows##_2}},

#if defined(__AVX512F__)
#define HEIGHTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#elif defined(__FMA__)
#define HEIGHTS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#elif defined(__aarch64__)
#define HEIGHTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#else
#define HEIGHTS(X) X(1) X(2) X(3) X(4)
#endif

HEIGHTS(ONE)
static void (*const kernels[TILE_ROWS][2][2])(const tile *) = {HEIGHTS(NAMES)};

void gemm_tile(const tile *t) {
  int strided = t->a_row != 1 || t->a_col != t->rows;
  kernels[t->rows - 1][strided][t->cols > WIDTH](t);
}
