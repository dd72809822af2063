/* Attention backward: the weights of a block of rows are computed again, then what the block adds to each gradient.
 *
 * views: the gradients of queries, keys and values, then the gradient of the output, queries, keys, values and, if there is
 * one, the mask, all of rank 4. params: whether the mask is causal. words: the scale.
 *
 * Gradients of keys and values sum over rows: a chunk of rows is one chain, which every block of its rows goes on with.
 */
#include "attention_head.h"

enum { GRAD_QUERY, GRAD_KEY, GRAD_VALUE, GRAD_OUT, QUERY, KEY, VALUE, MASK };
/* Scores of a block, and multiply-adds that are worth a task. */
enum { SCORES = 1 << 16, ROWS_MAX = 64, GRAIN = 1 << 18 };

typedef struct {
  attention a;
  int64_t per_task;
  int status;
} job;

/* A gradient that sums over rows: of the chunk at hand, and of all chunks; the same buffer where there is one chunk. */
typedef struct {
  float *chunk, *total;
  int64_t cols;
} row_sum;

typedef struct {
  packed key_turned, value_turned, key;
  packed query, grad; /* of a block, as vectors */
  float *query_rows, *grad_rows, *weight, *gradient, *spare, *mask;
  row_sum grad_key, grad_value;
} buffers;

/* The next `size` floats of scratch at `base`; if that is NULL they are only counted. */
static float *part(float *base, int64_t *used, int64_t size) {
  int64_t at = *used;
  *used += ceil_div(size, 16) * 16;
  return base ? base + at : 0;
}

static packed packed_part(float *base, int64_t *used, int64_t terms, int64_t cols) {
  return (packed){part(base, used, packed_floats(terms, cols)), terms, cols};
}

static row_sum sum_part(const attention *a, float *base, int64_t *used, int64_t cols) {
  int64_t size = a->keys * tiled(cols);
  float *chunk = part(base, used, size);
  return (row_sum){chunk, a->rows > CHUNK ? part(base, used, size) : chunk, cols};
}

/* Lays the buffers out at `at`, for blocks of so many rows; returns how many floats they take. */
static int64_t lay_out(const attention *a, int64_t block, float *at, buffers *b) {
  int64_t used = 0, d = a->depth, w = a->width, n = a->keys;
  b->key_turned = packed_part(at, &used, d, n);
  b->value_turned = packed_part(at, &used, w, n);
  b->key = packed_part(at, &used, n, d);
  b->query = packed_part(at, &used, block, d);
  b->grad = packed_part(at, &used, block, w);
  b->query_rows = part(at, &used, block * block_step(d));
  b->grad_rows = part(at, &used, block * block_step(w));
  b->weight = part(at, &used, block * score_row(n));
  b->gradient = part(at, &used, block * score_row(n));
  b->spare = part(at, &used, 2 * TILE_ROWS * tiled(d));
  b->mask = part(at, &used, (a->mask < 0 ? 0 : ROWS_AT_ONCE) * tiled(n));
  b->grad_key = sum_part(a, at, &used, d);
  b->grad_value = sum_part(a, at, &used, w);
  return used;
}

/* A panel of keys meets the rows of a block from `row` on: those that have all of its keys at once, those before one by one. */
static void add_panel(const attention *a, const float *weight, int64_t step, int64_t row, int64_t rows, const packed *b,
                      int64_t key, int64_t keys, float *c) {
  int64_t c_row = tiled(b->cols), whole = a->causal ? MIN(MAX(key + keys - 1 - row, 0), rows) : 0;
  tile t = {.a = weight + whole * step + key, .a_row = 1, .a_col = step, .b_row = TILE_COLS, .c_row = c_row};
  t.rows = keys, t.k = rows - whole, t.resume = 1;
  for (int64_t j = 0; j < b->cols; j += TILE_COLS) {
    const float *panel = packed_panel(b, 0, j);
    t.cols = tile_cols(b->cols - j), t.b = panel + whole * TILE_COLS, t.c = c + key * c_row + j;
    for (int64_t q = 0; q < keys && whole; q++) {
      int64_t first = MAX(key + q - row, 0);
      if (first < whole)
        attention_go_on(t.c + q * c_row, t.cols, weight + first * step + key + q, step, panel + first * TILE_COLS,
                        whole - first);
    }
    if (t.k) gemm_tile(&t);
  }
}

static void add_block(const attention *a, const float *weight, int64_t step, int64_t row, int64_t rows, const packed *b,
                      const row_sum *to) {
  int64_t keys = keys_of(a, row + rows - 1);
  packed now = {b->at, rows, b->cols};
  for (int64_t panel = 0, key = 0, height; key < keys; panel++, key += height) {
    height = gemm_height(keys, panel);
    add_panel(a, weight, step, row, rows, &now, key, height, to->chunk);
  }
}

/* What a chunk of rows, from `row` on, came to is added to the chunks before it. */
static void close_chunk(const attention *a, int64_t row, const row_sum *s) {
  int64_t count = a->keys * tiled(s->cols);
  if (s->total == s->chunk) return;
  if (!row) memcpy(s->total, s->chunk, (size_t)count * sizeof *s->total);
  else for (int64_t i = 0; i < count; i++) s->total[i] += s->chunk[i];
}

static void weigh_rows(const attention *a, int64_t h, int64_t row, int64_t rows, const buffers *b, int64_t step) {
  float log[ROWS_AT_ONCE];
  for (int64_t i = 0; i < rows; i += ROWS_AT_ONCE) {
    score_rows r = attention_score_rows(a, h, row + i, MIN(ROWS_AT_ONCE, rows - i), b->weight + i * step, step, b->mask);
    attention_weights(&r, log);
    attention_score_gradients(&r, b->gradient + i * step);
  }
}

static void run_block(const attention *a, int64_t h, int64_t row, int64_t rows, const buffers *b) {
  matrix query = attention_matrix(a, QUERY, h), grad = attention_matrix(a, GRAD_OUT, h);
  matrix query_part = matrix_at(&query, row, 0), grad_part = matrix_at(&grad, row, 0);
  matrix out = attention_matrix(a, GRAD_QUERY, h);
  int64_t step = score_row(a->keys);
  row_block queries = {b->query_rows, 0, row, rows, a->depth}, grads = {b->grad_rows, 0, row, rows, a->width};
  attention_load_rows(&queries, &query);
  attention_load_rows(&grads, &grad);
  attention_pack(&(packed){b->query.at, rows, a->depth}, &query_part);
  attention_pack(&(packed){b->grad.at, rows, a->width}, &grad_part);
  attention_products(a, &queries, &b->key_turned, b->weight, step);
  attention_products(a, &grads, &b->value_turned, b->gradient, step);
  weigh_rows(a, h, row, rows, b, step);
  attention_sums(a, row, rows, b->gradient, step, &b->key, &out, b->spare);
  add_block(a, b->weight, step, row, rows, &b->grad, &b->grad_value);
  add_block(a, b->gradient, step, row, rows, &b->query, &b->grad_key);
}

static void finish(const attention *a, int64_t v, int64_t h, const row_sum *s) {
  product out = {.out = attention_matrix(a, v, h)};
  gemm_finish(&out, s->total, tiled(s->cols), 0, a->keys, 0, s->cols);
}

static int run_head(const attention *a, int64_t h) {
  int64_t step = attention_block_rows(a->keys, MIN(a->rows, CHUNK), SCORES, ROWS_MAX);
  buffers b;
  float *at = scratch(2, (size_t)lay_out(a, step, 0, &b) * sizeof *at);
  if (!at) return NO_MEMORY;
  lay_out(a, step, at, &b);
  matrix key = attention_matrix(a, KEY, h), value = attention_matrix(a, VALUE, h);
  matrix key_turned = matrix_transposed(&key), value_turned = matrix_transposed(&value);
  attention_pack(&b.key_turned, &key_turned);
  attention_pack(&b.value_turned, &value_turned);
  attention_pack(&b.key, &key);
  const row_sum *sums[] = {&b.grad_key, &b.grad_value};
  for (int64_t i = 0; i < MAX(a->rows, 1); i += CHUNK) {
    for (int s = 0; s < 2; s++)
      memset(sums[s]->chunk, 0, (size_t)(a->keys * tiled(sums[s]->cols)) * sizeof(float));
    for (int64_t row = i, end = MIN(a->rows, i + CHUNK); row < end; row += step)
      run_block(a, h, row, MIN(step, end - row), &b);
    for (int s = 0; s < 2; s++) close_chunk(a, i, sums[s]);
  }
  finish(a, GRAD_KEY, h, &b.grad_key);
  finish(a, GRAD_VALUE, h, &b.grad_value);
  return DONE;
}

static void run_task(const void *arg, int64_t index) {
  job *g = (job *)arg;
  for (int64_t h = index * g->per_task; h < MIN(g->a.heads, (index + 1) * g->per_task); h++) {
    int status = run_head(&g->a, h);
    if (status != DONE) __atomic_store_n(&g->status, status, __ATOMIC_RELAXED);
  }
}

EXPORT int repops_attention_backward(const layout *l, void *const *data, const uint64_t *word) {
  if (l->views < MASK || l->view[QUERY].rank != 4) return BAD_LAYOUT;
  const view *q = &l->view[QUERY], *v = &l->view[VALUE];
  job g = {.per_task = 1};
  g.a = (attention){l, data, q->size[0] * q->size[1], q->size[2], v->size[2], q->size[3], v->size[3],
                    l->views > MASK ? MASK : -1, l->param[0] != 0, from_bits1((uint32_t)word[0])};
  const attention *a = &g.a;
  if (!a->heads) return DONE;
  int64_t work = MAX(1, a->rows * a->keys * (a->depth + a->width));
  g.per_task = MIN(a->heads, MAX(1, GRAIN / work));
  run_tasks(ceil_div(a->heads, g.per_task), run_task, &g);
  return g.status;
}
