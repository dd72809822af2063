/* Products of attention with operands packed once a head. */
#include "attention_head.h"

matrix attention_matrix(const attention *a, int64_t v, int64_t h) {
  const view *w = &a->l->view[v];
  int64_t at = h / w->size[1] * w->stride[0] + h % w->size[1] * w->stride[1];
  return (matrix){(const char *)a->data[v] + at * item_bytes(w->dtype), w->dtype, w->stride[2], w->stride[3]};
}

void attention_pack(const packed *to, const matrix *m) {
  for (int64_t k = 0; k < to->terms; k += CHUNK)
    gemm_pack_b(to->at + k * tiled(to->cols), m, k, MIN(CHUNK, to->terms - k), 0, to->cols);
}

void attention_load_rows(row_block *to, const matrix *from) {
  to->step = block_step(to->depth);
  for (int64_t i = 0; i < to->rows; i++) {
    matrix m = matrix_at(from, to->row + i, 0);
    load_row(to->at + i * to->step, 'f', m.at, m.dtype, m.col, to->depth);
  }
}

/* One tile of products, through all chunks. */
static void product_tile(const row_block *b, int64_t first, tile t, const packed *keys, int64_t col) {
  if (!b->depth) gemm_tile(&t);
  for (int64_t k = 0; k < b->depth; k += CHUNK) {
    t.k = MIN(CHUNK, b->depth - k);
    t.a = b->at + first * b->step + k;
    t.b = packed_panel(keys, k, col);
    t.add = k > 0;
    gemm_tile(&t);
  }
}

void attention_products(const attention *a, const row_block *block, const packed *keys, float *c, int64_t c_row) {
  tile t = {.a_row = block->step, .a_col = 1, .b_row = TILE_COLS, .c_row = c_row};
  for (int64_t j = 0; j < keys->cols; j += TILE_COLS) {
    t.cols = tile_cols(keys->cols - j);
    for (int64_t panel = 0, i = 0; i < block->rows; panel++, i += t.rows) {
      t.rows = gemm_height(block->rows, panel);
      t.c = c + i * c_row + j;
      if (j < keys_of(a, block->row + i + t.rows - 1)) product_tile(block, i, t, keys, j);
    }
  }
}

void attention_go_on(float *c, int64_t cols, const float *a, int64_t a_step, const float *b, int64_t terms) {
  for (int64_t j = 0; j < cols; j += WIDTH) {
    nf acc = n_load(c + j);
    for (int64_t k = 0; k < terms; k++) acc = n_fma(n_all(a[k * a_step]), n_load(b + k * TILE_COLS + j), acc);
    n_store(c + j, n_canonical(acc));
  }
}

/* Rows past the first have a few keys more: each goes on by itself. */
static void own_keys(const attention *a, int64_t row, int64_t rows, const float *weight, int64_t weight_row, const float *b,
                     int64_t from, int64_t to, float *out, int64_t out_row, int64_t cols) {
  for (int64_t i = 1; i < rows; i++) {
    int64_t end = MIN(to, keys_of(a, row + i));
    if (end > from) attention_go_on(out + i * out_row, cols, weight + i * weight_row + from, 1, b, end - from);
  }
}

/* Rows of whole vectors. */
static void add_rows(float *to, int64_t to_row, const float *from, int64_t rows, int64_t cols) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j += WIDTH)
      n_store(to + i * to_row + j, n_canonical(n_load(to + i * to_row + j) + n_load(from + i * tiled(cols) + j)));
}

static void add_zero(float *to, int64_t to_row, int64_t rows, int64_t cols) {
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j++) to[i * to_row + j] += 0.0f;
}

/* At most TILE_ROWS rows. `out` has room for whole vectors. */
static void sums(const attention *a, int64_t row, int64_t rows, const float *weight, int64_t weight_row, const packed *b,
                 float *out, int64_t out_row, float *spare) {
  int64_t first = keys_of(a, row), last = keys_of(a, row + rows - 1);
  tile t = {.a_row = weight_row, .a_col = 1, .b_row = TILE_COLS, .rows = rows};
  for (int64_t k = 0; k < MAX(last, 1); k += CHUNK) {
    int64_t stop = MIN(k + CHUNK, last), both = MIN(MAX(first, k), stop);
    float *to = k && both < stop ? spare : out;
    t.c_row = to == out ? out_row : tiled(b->cols);
    t.a = weight + k, t.k = both - k, t.add = k && to == out;
    for (int64_t j = 0; j < b->cols; j += TILE_COLS) {
      t.b = packed_panel(b, k, j), t.c = to + j, t.cols = tile_cols(b->cols - j);
      gemm_tile(&t);
      if (both < stop)
        own_keys(a, row, rows, weight, weight_row, t.b + t.k * TILE_COLS, both, stop, t.c, t.c_row, t.cols);
    }
    if (to == spare) add_rows(out, out_row, spare, rows, b->cols);
  }
  /* Chunks of which no key is a term are +0, and added. */
  if (ceil_div(last, CHUNK) < ceil_div(a->keys, CHUNK)) add_zero(out, out_row, rows, b->cols);
}

void attention_sums(const attention *a, int64_t row, int64_t rows, const float *weight, int64_t weight_row,
                    const packed *b, const matrix *out, float *spare) {
  product p = {.out = *out};
  int64_t wide_row = tiled(b->cols), in_place = out->dtype == F32 && out->col == 1 && b->cols % WIDTH == 0;
  for (int64_t panel = 0, i = 0, height; i < rows; panel++, i += height, weight += height * weight_row) {
    height = gemm_height(rows, panel);
    float *to = in_place ? (float *)matrix_at(out, row + i, 0).at : spare;
    sums(a, row + i, height, weight, weight_row, b, to, in_place ? out->row : wide_row, spare + TILE_ROWS * wide_row);
    if (!in_place) gemm_finish(&p, to, wide_row, row + i, height, 0, b->cols);
  }
}

static const float *mask_row(const matrix *head, int64_t i, int64_t n, float *buffer) {
  matrix m = matrix_at(head, i, 0);
  if (m.dtype == F32 && m.col == 1) return m.at;
  load_row(buffer, 'f', m.at, m.dtype, m.col, n);
  if (m.dtype == BOOL) attention_mask_numbers(buffer, n);
  return buffer;
}

score_rows attention_score_rows(const attention *a, int64_t h, int64_t row, int64_t rows, float *score, int64_t step,
                                float *buffer) {
  score_rows r = {.score = score, .step = step, .rows = rows, .all = a->keys, .scale = a->scale};
  for (int64_t i = 0; i < rows; i++) r.keys[i] = keys_of(a, row + i);
  if (a->mask < 0) return r;
  matrix m = attention_matrix(a, a->mask, h);
  for (int64_t i = 0; i < rows; i++)
    r.mask[i] = i && !m.row ? r.mask[0] : mask_row(&m, row + i, a->keys, buffer + i * tiled(a->keys));
  return r;
}
