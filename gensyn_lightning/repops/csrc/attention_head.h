/* One head of attention as matrices, and products with operands packed once a head. */
#ifndef REPOPS_ATTENTION_HEAD_H
#define REPOPS_ATTENTION_HEAD_H

#include "attention.h"
#include "gemm.h"

/* A call. Rows are queries, `depth` is their length and that of keys, `width` that of values. */
typedef struct {
  const layout *l;
  void *const *data;
  int64_t heads, rows, keys, depth, width;
  int64_t mask; /* its view, or -1 */
  int causal;
  float scale;
} attention;

/* How many columns a scratch row has: whole tiles, and a little, lest rows fall on the same lines of the cache. */
static inline int64_t tiled(int64_t cols) { return ceil_div(cols, TILE_COLS) * TILE_COLS; }
static inline int64_t score_row(int64_t keys) { return tiled(keys) + 16; }

/* How many keys row i has. */
static inline int64_t keys_of(const attention *a, int64_t i) { return a->causal ? MIN(i + 1, a->keys) : a->keys; }

/* Head h of a view of rank 4, all batches counted, as a matrix. */
matrix attention_matrix(const attention *a, int64_t v, int64_t h);

/* A matrix (terms x cols) in panels, chunk after chunk. */
typedef struct {
  float *at;
  int64_t terms, cols;
} packed;

static inline int64_t packed_floats(int64_t terms, int64_t cols) { return ceil_div(terms * tiled(cols) + PACK_SLACK, 16) * 16; }
void attention_pack(const packed *to, const matrix *m);
static inline const float *packed_panel(const packed *p, int64_t k0, int64_t col) {
  return p->at + k0 * tiled(p->cols) + col * MIN(CHUNK, p->terms - k0);
}

/* The vectors that a tile's columns fill, so that none is stored in part; rows in scratch have room. */
static inline int64_t tile_cols(int64_t cols) { return cols > WIDTH ? TILE_COLS : WIDTH; }

/* A block of rows of queries (or of gradients of outputs) in binary32, `step` apart. */
typedef struct {
  float *at;
  int64_t step, row, rows, depth;
} row_block;

static inline int64_t block_step(int64_t depth) { return ceil_div(depth, 16) * 16 + 16; }
/* Copy the block's rows from a matrix; there is room for block_step(depth) floats a row. */
void attention_load_rows(row_block *to, const matrix *from);

/* c (rows x keys, `c_row` apart) gets the products of a block's rows with all keys they have, in whole tiles. */
void attention_products(const attention *a, const row_block *block, const packed *keys, float *c, int64_t c_row);

/* Go on with a chain of fused multiply-adds in c: terms a[k * a_step] times row k of b (panels' rows), `cols` lanes. */
void attention_go_on(float *c, int64_t cols, const float *a, int64_t a_step, const float *b, int64_t terms);

/* Rows [row, row + rows) of `out`, a matrix of rows x b->cols, get the sums over their keys of weight times row of b. `spare` has
 * room for 2 * TILE_ROWS rows of tiled(b->cols). */
void attention_sums(const attention *a, int64_t row, int64_t rows, const float *weight, int64_t weight_row,
                    const packed *b, const matrix *out, float *spare);

/* Describe rows of head h, from `row` on, whose products are in `score`. Masks that do not lie in rows of binary32 are read into
 * `buffer`, which has ROWS_AT_ONCE rows of tiled(keys). */
score_rows attention_score_rows(const attention *a, int64_t h, int64_t row, int64_t rows, float *score, int64_t step,
                                float *buffer);

/* Rows of scores that are worked on at once: few enough for `floats` of scratch, a whole number of tiles high. */
static inline int64_t attention_block_rows(int64_t keys, int64_t rows, int64_t floats, int64_t rows_max) {
  int64_t panels = MAX(1, MIN(rows_max, floats / score_row(keys)) / TILE_ROWS);
  int64_t blocks = ceil_div(rows, panels * TILE_ROWS);
  return MAX(1, ceil_div(rows, MAX(1, blocks)));
}

#endif
