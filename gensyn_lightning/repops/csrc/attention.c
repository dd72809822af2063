/* Attention forward: a block of rows at a time has its scores, its weights and its sums of values.
 *
 * views: the output and the logarithms of the sums of exponentials, then queries, keys, values and, if there is one, the mask,
 * all of rank 4 but the logarithms. params: whether the mask is causal. words: the scale.
 */
#include "attention_head.h"

enum { OUT, LOG, QUERY, KEY, VALUE, MASK };
/* Scores at once; rows that are too few to pack anything for; multiply-adds that are worth a task. */
enum { SCORES = 1 << 16, ROWS_MAX = 64, FEW_ROWS = 8, GRAIN = 1 << 19 };

typedef struct {
  attention a;
  int64_t parts, per_task; /* parts of a head's rows; heads a task */
  int status;
} job;

/* Where all lies in a thread's scratch. */
typedef struct {
  packed key, value;
  float *query, *score, *spare, *mask;
} buffers;

static int get_buffers(const attention *a, int64_t keys, int64_t rows, buffers *b) {
  int64_t sizes[] = {packed_floats(a->depth, keys), packed_floats(keys, a->width), rows * block_step(a->depth),
                     rows * score_row(keys), 2 * TILE_ROWS * tiled(a->width), a->mask < 0 ? 0 : ROWS_AT_ONCE * tiled(a->keys)};
  int64_t count = sizeof sizes / sizeof *sizes, all = 0;
  for (int64_t i = 0; i < count; i++) all += sizes[i] = ceil_div(sizes[i], 16) * 16;
  float *at = scratch(2, (size_t)all * sizeof *at), *part[6];
  if (!at) return 0;
  for (int64_t i = 0; i < count; i++) part[i] = at, at += sizes[i];
  *b = (buffers){{part[0], a->depth, keys}, {part[1], keys, a->width}, part[2], part[3], part[4], part[5]};
  return 1;
}

static void weigh_rows(const attention *a, int64_t h, int64_t row, int64_t rows, float *score, int64_t step, float *buffer) {
  const view *w = &a->l->view[LOG];
  float *log = (float *)a->data[LOG] + h / w->size[1] * w->stride[0] + h % w->size[1] * w->stride[1], each[ROWS_AT_ONCE];
  for (int64_t i = 0; i < rows; i += ROWS_AT_ONCE) {
    score_rows r = attention_score_rows(a, h, row + i, MIN(ROWS_AT_ONCE, rows - i), score + i * step, step, buffer);
    attention_weights(&r, each);
    for (int64_t q = 0; q < r.rows; q++) log[(row + i + q) * w->stride[2]] = each[q];
  }
}

static void run_block(const attention *a, int64_t h, int64_t row, int64_t rows, const buffers *b) {
  matrix query = attention_matrix(a, QUERY, h);
  matrix out = attention_matrix(a, OUT, h);
  row_block block = {b->query, 0, row, rows, a->depth};
  int64_t step = score_row(b->key.cols);
  attention_load_rows(&block, &query);
  attention_products(a, &block, &b->key, b->score, step);
  weigh_rows(a, h, row, rows, b->score, step, b->mask);
  attention_sums(a, row, rows, b->score, step, &b->value, &out, b->spare);
}

/* Rows [from, to) of a head. */
static int run_rows(const attention *a, int64_t h, int64_t from, int64_t to) {
  int64_t keys = keys_of(a, a->rows - 1), step = attention_block_rows(keys, to - from, SCORES, ROWS_MAX);
  matrix key = attention_matrix(a, KEY, h), value = attention_matrix(a, VALUE, h), turned = matrix_transposed(&key);
  buffers b;
  if (!get_buffers(a, keys, step, &b)) return NO_MEMORY;
  attention_pack(&b.key, &turned);
  attention_pack(&b.value, &value);
  for (int64_t i = from; i < to; i += step) run_block(a, h, i, MIN(step, to - i), &b);
  return DONE;
}

/* A few rows, as a model that writes token by token has: packing would cost more than it saves. */
static int run_few(const attention *a, int64_t h) {
  matrix key = attention_matrix(a, KEY, h);
  int64_t step = score_row(a->keys);
  float *score = scratch(2, (size_t)((a->rows + ROWS_AT_ONCE) * step) * sizeof *score);
  if (!score) return NO_MEMORY;
  product p = {.m = a->rows, .n = a->keys, .k = a->depth};
  p.a = attention_matrix(a, QUERY, h), p.b = matrix_transposed(&key), p.out = (matrix){score, F32, step, 1};
  int status = gemm_run(&p);
  if (status != DONE) return status;
  weigh_rows(a, h, 0, a->rows, score, step, score + a->rows * step);
  product q = {.m = a->rows, .n = a->width, .k = a->keys};
  q.a = p.out, q.b = attention_matrix(a, VALUE, h), q.out = attention_matrix(a, OUT, h);
  return gemm_run(&q);
}

static void run_task(const void *arg, int64_t index) {
  job *g = (job *)arg;
  const attention *a = &g->a;
  int64_t part = index % g->parts, begin = index / g->parts * g->per_task;
  for (int64_t h = begin; h < MIN(a->heads, begin + g->per_task); h++) {
    int few = a->rows <= FEW_ROWS && !a->causal;
    int status = few ? run_few(a, h) : run_rows(a, h, a->rows * part / g->parts, a->rows * (part + 1) / g->parts);
    if (status != DONE) __atomic_store_n(&g->status, status, __ATOMIC_RELAXED);
  }
}

EXPORT int repops_attention(const layout *l, void *const *data, const uint64_t *word) {
  if (l->views < MASK || l->view[QUERY].rank != 4) return BAD_LAYOUT;
  const view *q = &l->view[QUERY], *v = &l->view[VALUE];
  job g = {.parts = 1};
  g.a = (attention){l, data, q->size[0] * q->size[1], q->size[2], v->size[2], q->size[3], v->size[3],
                    l->views > MASK ? MASK : -1, l->param[0] != 0, from_bits1((uint32_t)word[0])};
  const attention *a = &g.a;
  if (!a->heads || !a->rows) return DONE;
  int64_t work = MAX(1, a->rows * a->keys * (a->depth + a->width)), threads = threads_max();
  g.per_task = MIN(a->heads, MAX(1, GRAIN / work));
  if (a->heads < threads && work > 2 * GRAIN && a->rows > FEW_ROWS)
    g.parts = MIN(ceil_div(2 * threads, a->heads), ceil_div(a->rows, ROWS_MAX));
  run_tasks(ceil_div(a->heads, g.per_task) * g.parts, run_task, &g);
  return g.status;
}
