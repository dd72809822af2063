/* Operands laid out for the micro-kernel: panels that it reads from front to back.
 *
 * Strides decide how a panel is read. Along the vectors it is copied; across them it is turned in registers;
 * anything else is gathered. Halves are widened first, a panel at a time, and then packed as binary32.
 */
#include "gemm_turn.h"

/* `rows` lines of `cols` elements that follow each other in memory by `row` and `col`. */
static void widen_block(float *to, const matrix *from, int64_t rows, int64_t cols) {
  for (int64_t i = 0; i < rows; i++) {
    const uint16_t *at = (const uint16_t *)from->at + i * from->row;
    float *line = to + i * cols;
    if (from->dtype == BF16)
      for (int64_t j = 0; j < cols; j++) line[j] = from_bf16(at[j * from->col]);
    else
      for (int64_t j = 0; j < cols; j++) line[j] = from_f16(at[j * from->col]);
  }
}

/* A block of halves in binary32, adjacent in the direction in which the halves are. */
static matrix widened(float *to, const matrix *from, int64_t rows, int64_t cols) {
  if (from->row == 1) {
    matrix turned = matrix_transposed(from);
    widen_block(to, &turned, cols, rows);
    return (matrix){to, F32, 1, rows};
  }
  widen_block(to, from, rows, cols);
  return (matrix){to, F32, cols, 1};
}

/* SPAN rows of adjacent terms become SPAN lanes of a panel `step` wide. */
static void turn_span(float *to, int64_t step, const float *from, int64_t row, int64_t depth) {
  span r[4];
  int64_t k = 0;
  for (; k + 4 <= depth; k += 4) {
    turn_load(r, from + k, row);
    for (int64_t q = 0; q < 4; q++) s_store(to + (k + q) * step, r[q]);
  }
  for (; k < depth; k++) s_store(to + k * step, turn_one(from + k, row, SPAN));
}

/* `rows` rows do. The last span overlaps the one before it rather than to reach past the end. */
static void turn_lanes(float *to, int64_t step, const float *from, int64_t row, int64_t rows, int64_t depth) {
  int64_t i = 0;
  for (; i + SPAN <= rows; i += SPAN) turn_span(to + i, step, from + i * row, row, depth);
  if (i == rows) return;
  if (rows >= SPAN) turn_span(to + rows - SPAN, step, from + (rows - SPAN) * row, row, depth);
  else
    for (int64_t k = 0; k < depth; k++)
      for (int64_t q = 0; q < rows; q++) to[k * step + q] = from[q * row + k];
}

/* Rows adjacent: a store runs over into the next row of the panel, which is written after it. */
static void copy_a(float *to, const float *at, int64_t col, int64_t height, int64_t depth) {
  for (int64_t k = 0; k < depth; k++)
    for (int64_t i = 0; i < height; i += WIDTH)
      n_store(to + k * height + i, n_load_some(at + k * col + i, MIN(height - i, WIDTH)));
}

static void panel_a(float *to, const matrix *a, int64_t height, int64_t depth) {
  const float *at = a->at;
  if (a->col == 1) turn_lanes(to, height, at, a->row, height, depth);
  else if (a->row == 1) copy_a(to, at, a->col, height, depth);
  else
    for (int64_t k = 0; k < depth; k++)
      for (int64_t i = 0; i < height; i++) to[k * height + i] = at[i * a->row + k * a->col];
}

void gemm_pack_a(float *to, const matrix *a, int64_t row, int64_t rows, int64_t k, int64_t depth) {
  float block[TILE_ROWS * CHUNK];
  for (int64_t i = 0, height; i < gemm_panels(rows); i++, row += height) {
    height = gemm_height(rows, i);
    matrix part = matrix_at(a, row, k);
    if (part.dtype != F32) part = widened(block, &part, height, depth);
    panel_a(to, &part, height, depth);
    to += height * depth;
  }
}

static void copy_b(float *to, const float *at, int64_t row, int64_t cols, int64_t depth) {
  int64_t left = MIN(cols, WIDTH), right = MAX(cols - WIDTH, 0);
  for (int64_t k = 0; k < depth; k++, at += row, to += TILE_COLS) {
    n_store(to, n_load_some(at, left));
    n_store(to + WIDTH, n_load_some(at + left, right));
  }
}

static void panel_b(float *to, const matrix *b, int64_t cols, int64_t depth) {
  const float *at = b->at;
  if (b->col == 1) copy_b(to, at, b->row, cols, depth);
  else if (b->row == 1) turn_lanes(to, TILE_COLS, at, b->col, cols, depth);
  else
    for (int64_t k = 0; k < depth; k++)
      for (int64_t j = 0; j < TILE_COLS; j++) to[k * TILE_COLS + j] = at[k * b->row + MIN(j, cols - 1) * b->col];
}

void gemm_pack_b(float *to, const matrix *b, int64_t k, int64_t depth, int64_t col, int64_t cols) {
  float block[TILE_COLS * CHUNK];
  for (int64_t j = 0; j < cols; j += TILE_COLS) {
    int64_t width = MIN(cols - j, TILE_COLS);
    matrix part = matrix_at(b, k, col + j);
    if (part.dtype != F32) part = widened(block, &part, depth, width);
    panel_b(to, &part, width, depth);
    to += TILE_COLS * depth;
  }
}
