/* Matrix products, one definition for every path that computes them.
 *
 * An element of C = A B is defined by its terms in ascending k: k is cut into chunks of CHUNK; a chunk is
 * one chain of fused multiply-adds from +0; the first chunk is taken as it is and the others are added to
 * it in ascending order. Lanes and threads are different elements, never parts of one, so every function
 * here gives the same bits on every machine. A NaN is stored as 0x7fc00000.
 *
 * From the outside in:
 *   gemm_run    a whole product on the calling thread, any strides and types, with an epilogue
 *   gemm_tile   the micro-kernel: up to TILE_ROWS x TILE_COLS elements over one chunk
 *   gemm_pack_* operands laid out as the micro-kernel likes them, widened to binary32
 *
 * gemm_run uses scratch buffers 0 and 1 of its thread; 2 and 3 are the caller's.
 */
#ifndef REPOPS_GEMM_H
#define REPOPS_GEMM_H

#include "convert.h"
#include "repops.h"
#include "vec.h"

enum { CHUNK = 256 };

/* The lanes of a register, in which tiles are counted. */
#if defined(__AVX512F__)
enum { TILE_ROWS = 14 };
#elif defined(__FMA__)
enum { TILE_ROWS = 6 };
#elif defined(__aarch64__)
enum { TILE_ROWS = 8 };
#else
enum { TILE_ROWS = 4 };
#endif
enum { WIDTH = NARROW_LANES, TILE_COLS = 2 * WIDTH };

/* A matrix somewhere in memory; strides are in elements and may be anything. */
typedef struct {
  const void *at;
  int64_t dtype; /* F32, F16 or BF16 */
  int64_t row, col;
} matrix;

/* What becomes of a product t before it is stored: alpha t, then beta c added to it, each rounded. A factor
 * of 1 is not multiplied by; with beta 0 there is no c. */
typedef struct {
  matrix c;
  float alpha, beta;
} epilogue;

typedef struct {
  int64_t m, n, k;
  matrix a, b, out; /* m x k, k x n, m x n; out is written */
  int add;          /* add every chunk to what out (F32) holds, the first one too */
  const epilogue *after; /* NULL: the product alone */
} product;

/* Computes a product on the calling thread. k = 0 gives +0 (with add: leaves out). DONE or NO_MEMORY. */
int gemm_run(const product *p);

/* One call of the micro-kernel: c (rows x cols, row stride c_row, columns adjacent) gets the chain
 *   sum over k of a[i, k] b[k, j], 1 <= rows <= TILE_ROWS, 1 <= cols <= TILE_COLS, 0 <= k <= CHUNK.
 * a[i, k] is a[i * a_row + k * a_col]; a packed panel has a_row = 1 and a_col = rows.
 * Row k of b is at b + k * b_row; TILE_COLS floats of it are read (WIDTH where cols <= WIDTH), whatever cols
 * is. */
typedef struct {
  const float *a, *b;
  int64_t a_row, a_col, b_row;
  float *c;
  int64_t c_row, rows, cols, k;
  int add;               /* add the chain to c instead of storing it */
  int resume;            /* c holds the chain of terms before these: go on with it; not with add or after */
  const epilogue *after; /* NULL, or applied to what would be stored: c in F32, moved to this tile, col 0 or 1 */
} tile;

void gemm_tile(const tile *t);

/* Packed operands. Rows of A are cut into ceil(rows / TILE_ROWS) panels of nearly equal height, so that there
 * is no short one: panel i is [k][gemm_height(rows, i)], and the panels lie one after another. B becomes
 * panels [k][TILE_COLS]; what fills up the last one means nothing. Both may write up to PACK_SLACK floats more. */
enum { PACK_SLACK = 16 };
static inline int64_t gemm_panels(int64_t rows) { return ceil_div(rows, TILE_ROWS); }
static inline int64_t gemm_height(int64_t rows, int64_t panel) {
  int64_t panels = gemm_panels(rows);
  return rows / panels + (panel < rows % panels);
}
/* Rows [row, row + rows) and columns [k, k + depth) of a. */
void gemm_pack_a(float *to, const matrix *a, int64_t row, int64_t rows, int64_t k, int64_t depth);
/* Rows [k, k + depth) and columns [col, col + cols) of b. */
void gemm_pack_b(float *to, const matrix *b, int64_t k, int64_t depth, int64_t col, int64_t cols);

/* Products with one row (or up to eight, where columns of B are adjacent), for which packing would cost more than
 * the product. gemm_is_vector says whether gemm_vector takes p. */
int gemm_is_vector(const product *p);
int gemm_vector(const product *p);

/* Writes a block of finished sums (rows x cols, adjacent columns) to out from (row, col) on, after the epilogue,
 * rounded to out's type. */
void gemm_finish(const product *p, const float *sum, int64_t sum_row, int64_t row, int64_t rows, int64_t col,
                 int64_t cols);

static inline matrix matrix_at(const matrix *m, int64_t row, int64_t col) {
  matrix moved = *m;
  moved.at = (const char *)m->at + (row * m->row + col * m->col) * item_bytes(m->dtype);
  return moved;
}
static inline matrix matrix_transposed(const matrix *m) {
  return (matrix){m->at, m->dtype, m->col, m->row};
}

#endif
