/* The micro-kernel of the convolutions: a tile of outputs, all chains of the same terms.
 *
 * A tile keeps rows x lanes sums in registers, loads one vector of weights per term and broadcasts one
 * source value per row. Rows stand `step` apart in the source; 1 and 2 are compiled in, so that a
 * row's address is the term's address and a constant.
 */
#include "conv.h"

enum { TILE_PARTS = TILE_VECTORS * NARROW };

INLINE void chain(int rows, int parts, int64_t step, const float *x, const int64_t *offset, int64_t terms,
                  const float *w, nf (*sum)[TILE_PARTS]) {
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
    for (int j = 0; j < parts; j++) sum[r][j] = (nf){0};
  for (int64_t k = 0; k < terms; k++, w += NARROW_LANES * parts) {
    const float *at = x + offset[k];
    nf b[TILE_PARTS];
#pragma GCC unroll 4
    for (int j = 0; j < parts; j++) b[j] = n_load(w + NARROW_LANES * j);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
      nf a = n_all(at[r * step]);
#pragma GCC unroll 4
      for (int j = 0; j < parts; j++) sum[r][j] = n_fma(a, b[j], sum[r][j]);
    }
  }
}

INLINE void chunks(int rows, int vectors, int64_t step, const float *x, const int64_t *offset, int64_t terms,
                   const float *w, float *sum, int first) {
  int parts = vectors * NARROW;
  for (int64_t k = 0; k < terms; k += CHUNK) {
    nf made[TILE_ROWS][TILE_PARTS];
    chain(rows, parts, step, x, offset + k, MIN(terms - k, CHUNK), w + k * LANES * vectors, made);
    int keep = first && k == 0;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
      for (int j = 0; j < parts; j++) {
        float *at = sum + (r * parts + j) * NARROW_LANES;
        n_store(at, keep ? made[r][j] : n_load(at) + made[r][j]);
      }
  }
}

#define TILE(ROWS, NAME, STEP, VECTORS)                                                                            \
  static void tile_##NAME##_##VECTORS##_##ROWS(const float *x, int64_t step, const int64_t *offset, int64_t terms, \
                                               const float *w, float *sum, int first) {                           \
    (void)step;                                                                                                    \
    chunks(ROWS, VECTORS, STEP, x, offset, terms, w, sum, first);                                                  \
  }
#define NAME_OF(ROWS, NAME, STEP, VECTORS) tile_##NAME##_##VECTORS##_##ROWS,

#if defined(__AVX512F__)
#define EVERY_ROWS(F, ...)                                                                                           \
  F(1, __VA_ARGS__) F(2, __VA_ARGS__) F(3, __VA_ARGS__) F(4, __VA_ARGS__) F(5, __VA_ARGS__) F(6, __VA_ARGS__)       \
  F(7, __VA_ARGS__) F(8, __VA_ARGS__) F(9, __VA_ARGS__) F(10, __VA_ARGS__) F(11, __VA_ARGS__) F(12, __VA_ARGS__)   \
  F(13, __VA_ARGS__) F(14, __VA_ARGS__)
#elif defined(__FMA__) || defined(__aarch64__)
#define EVERY_ROWS(F, ...)                                                                                           \
  F(1, __VA_ARGS__) F(2, __VA_ARGS__) F(3, __VA_ARGS__) F(4, __VA_ARGS__) F(5, __VA_ARGS__) F(6, __VA_ARGS__)
#else
#define EVERY_ROWS(F, ...) F(1, __VA_ARGS__) F(2, __VA_ARGS__)
#endif

EVERY_ROWS(TILE, one, 1, 1)
EVERY_ROWS(TILE, two, 2, 1)
EVERY_ROWS(TILE, any, step, 1)
#if defined(__AVX512F__)
EVERY_ROWS(TILE, one, 1, 2)
EVERY_ROWS(TILE, two, 2, 2)
EVERY_ROWS(TILE, any, step, 2)
#endif

static tile *const tiles[TILE_VECTORS][3][TILE_ROWS] = {
    {{EVERY_ROWS(NAME_OF, one, 1, 1)}, {EVERY_ROWS(NAME_OF, two, 2, 1)}, {EVERY_ROWS(NAME_OF, any, step, 1)}},
#if defined(__AVX512F__)
    {{EVERY_ROWS(NAME_OF, one, 1, 2)}, {EVERY_ROWS(NAME_OF, two, 2, 2)}, {EVERY_ROWS(NAME_OF, any, step, 2)}},
#endif
};

tile *conv_tile(int64_t rows, int64_t step, int64_t lanes) {
  return tiles[lanes / LANES - 1][step == 1 ? 0 : step == 2 ? 1 : 2][rows - 1];
}
