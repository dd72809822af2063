/* The kernels for mm, bmm, addmm and baddbmm: views in, blocks of the output shared out between threads.
 *
 * Every block is a product of its own through all of k, so the way it is cut shows in no bit.
 */
#include "gemm.h"

/* Multiply-adds that are worth another thread: of a product out of the caches, and of one that reads memory. */
enum { GRAIN = 1 << 19, GRAIN_VECTOR = 1 << 17 };

typedef struct {
  product whole; /* of the first of the batch */
  epilogue after;
  int64_t batch, step_a, step_b, step_out, step_c; /* steps in bytes */
  int64_t groups, down, across; /* tasks: groups of the batch, times the blocks of one product */
  int status;
} job;

static const void *moved(const void *at, int64_t bytes) { return (const char *)at + bytes; }

/* Block (i, j) of product b. */
static void run_block(job *g, int64_t b, int64_t i, int64_t j) {
  product p = g->whole;
  epilogue after = g->after;
  int64_t rows = ceil_div(p.m, g->down), cols = ceil_div(ceil_div(p.n, g->across), TILE_COLS) * TILE_COLS;
  if (g->across == 1) cols = p.n;
  int64_t row = i * rows, col = j * cols;
  if (row >= p.m || col >= p.n) return;
  p.m = MIN(rows, p.m - row), p.n = MIN(cols, p.n - col);
  p.a.at = moved(p.a.at, b * g->step_a), p.b.at = moved(p.b.at, b * g->step_b);
  p.out.at = moved(p.out.at, b * g->step_out), after.c.at = moved(after.c.at, b * g->step_c);
  p.a = matrix_at(&p.a, row, 0), p.b = matrix_at(&p.b, 0, col);
  p.out = matrix_at(&p.out, row, col), after.c = matrix_at(&after.c, row, col);
  if (p.after) p.after = &after;
  int status = gemm_run(&p);
  if (status != DONE) __atomic_store_n(&g->status, status, __ATOMIC_RELAXED);
}

static void run_group(const void *arg, int64_t index) {
  job *g = (job *)arg;
  int64_t blocks = g->down * g->across, group = index / blocks, block = index % blocks;
  int64_t from = g->batch * group / g->groups, to = g->batch * (group + 1) / g->groups;
  for (int64_t b = from; b < to; b++) run_block(g, b, block / g->across, block % g->across);
}

/* How one product is cut into at least `parts` blocks: so that the least is packed more than once. */
static void cut(job *g, int64_t parts) {
  const product *p = &g->whole;
  int64_t down_max = MAX(p->m / TILE_ROWS, 1), across_max = MAX(p->n / TILE_COLS, 1), best = INT64_MAX;
  if (p->n < TILE_COLS) down_max = MAX(p->m / TILE_COLS, 1);
  g->down = g->across = 1;
  for (int64_t down = 1; down <= MIN(parts, down_max); down++) {
    int64_t across = MIN(ceil_div(parts, down), across_max);
    int64_t cost = p->m * across + p->n * down;
    if (down * across < MIN(parts, down_max * across_max) || cost >= best) continue;
    best = cost, g->down = down, g->across = across;
  }
}

static void share(job *g) {
  const product *p = &g->whole;
  int64_t grain = MIN(p->m, p->n) == 1 ? GRAIN_VECTOR : GRAIN;
  int64_t work = p->m * p->n * MAX(p->k, 1), parts = 1, threads;
  g->groups = g->down = g->across = 1;
  if (work > (int64_t)1 << 40) work = (int64_t)1 << 40;
  if (work * g->batch < 2 * grain || (threads = threads_max()) == 1) return;
  parts = MIN(threads, work * g->batch / grain);
  if (g->batch >= parts) g->groups = MIN(g->batch, MIN(4 * parts, work * g->batch / grain));
  else g->groups = g->batch, cut(g, ceil_div(parts, g->batch));
}

static int run(job *g) {
  const product *p = &g->whole;
  if (g->batch == 0 || p->m == 0 || p->n == 0) return DONE;
  share(g);
  run_tasks(g->groups * g->down * g->across, run_group, g);
  return g->status;
}

static matrix matrix_of(const view *v, void *at) {
  int64_t r = v->rank;
  return (matrix){at, v->dtype, v->stride[r - 2], v->stride[r - 1]};
}

static int fits(const view *v, int64_t rank, int64_t batch, int64_t rows, int64_t cols) {
  if (v->rank != rank || (v->dtype != F32 && v->dtype != F16 && v->dtype != BF16)) return 0;
  return (rank == 2 || v->size[0] == batch) && v->size[rank - 2] == rows && v->size[rank - 1] == cols;
}

static int64_t step_of(const view *v) { return v->rank == 3 ? v->stride[0] * item_bytes(v->dtype) : 0; }

/* Views out, [c,] a, b of rank 2 or, in a batch, 3. */
static int contract(const layout *l, void *const *data, const uint64_t *word, int64_t rank, int with_c) {
  if (l->views != 3 + with_c) return BAD_LAYOUT;
  const view *out = l->view, *c = l->view + 1, *a = l->view + 1 + with_c, *b = a + 1;
  if (out->rank != rank || a->rank != rank) return BAD_LAYOUT;
  int64_t batch = rank == 3 ? out->size[0] : 1, m = out->size[rank - 2], n = out->size[rank - 1], k = a->size[rank - 1];
  if (!fits(out, rank, batch, m, n) || !fits(a, rank, batch, m, k) || !fits(b, rank, batch, k, n)) return BAD_LAYOUT;
  if (with_c && !fits(c, rank, batch, m, n)) return BAD_LAYOUT;
  job g = {.whole = {.m = m, .n = n, .k = k}, .batch = batch};
  g.whole.out = matrix_of(out, data[0]), g.step_out = step_of(out);
  g.whole.a = matrix_of(a, data[1 + with_c]), g.step_a = step_of(a);
  g.whole.b = matrix_of(b, data[2 + with_c]), g.step_b = step_of(b);
  if (with_c) {
    g.after = (epilogue){matrix_of(c, data[1]), from_bits1((uint32_t)word[1]), from_bits1((uint32_t)word[0])};
    g.step_c = step_of(c);
    g.whole.after = &g.after;
  }
  return run(&g);
}

EXPORT int repops_mm(const layout *l, void *const *data, const uint64_t *word) {
  return contract(l, data, word, 2, 0);
}

EXPORT int repops_bmm(const layout *l, void *const *data, const uint64_t *word) {
  return contract(l, data, word, 3, 0);
}

/* Words: beta, alpha. */
EXPORT int repops_addmm(const layout *l, void *const *data, const uint64_t *word) {
  return contract(l, data, word, 2, 1);
}

EXPORT int repops_baddbmm(const layout *l, void *const *data, const uint64_t *word) {
  return contract(l, data, word, 3, 1);
}
