/* A whole product on one thread: blocks that fit the caches, out of packed panels.
 *
 * Sums are kept in the output itself where it is binary32 with adjacent columns, otherwise in a block of scratch
 * memory that is written out when its last chunk is done.
 */
#include "gemm.h"

/* A packed block of A fits the second-level cache, one of B the third; sums in scratch stay in the second. */
enum { BLOCK_ROWS = 24 * TILE_ROWS, BLOCK_COLS = 1024, STAGED_ROWS = 448, STAGED_COLS = 512, SMALL = 4096 };

typedef struct {
  const product *p;
  int staged;
  int pack_a, pack_b;
  float *a, *b, *sum;
  int64_t i0, rows, j0, cols, k0, depth; /* the block at hand */
} work;

static int overlap(const matrix *x, const matrix *y, int64_t m, int64_t n) {
  const char *lo[2], *hi[2];
  for (int q = 0; q < 2; q++) {
    const matrix *v = q ? y : x;
    int64_t r = (m - 1) * v->row, c = (n - 1) * v->col, size = item_bytes(v->dtype);
    lo[q] = (const char *)v->at + (MIN(r, 0) + MIN(c, 0)) * size;
    hi[q] = (const char *)v->at + (MAX(r, 0) + MAX(c, 0) + 1) * size;
  }
  return lo[0] < hi[1] && lo[1] < hi[0];
}

static int must_stage(const product *p) {
  if (p->out.dtype != F32 || p->out.col != 1) return 1;
  if (!p->after || p->after->beta == 0) return 0;
  const matrix *c = &p->after->c;
  if (c->dtype != F32 || (c->col != 1 && c->col != 0)) return 1;
  return p->k > CHUNK && overlap(c, &p->out, p->m, p->n);
}

/* Lanes are columns: few columns with more rows go the other way round, and so do outputs stored that way. */
static int turned(const product *p) {
  if (p->m == 1) return 0;
  if (p->n == 1) return 1;
  if (p->n < WIDTH) return p->m > p->n;
  return p->out.col != 1 && p->out.row == 1 && p->m >= WIDTH;
}

static product turn(const product *p, epilogue *after) {
  product q = {.m = p->n, .n = p->m, .k = p->k, .add = p->add};
  q.a = matrix_transposed(&p->b), q.b = matrix_transposed(&p->a), q.out = matrix_transposed(&p->out);
  if (p->after) {
    *after = *p->after;
    after->c = matrix_transposed(&p->after->c);
    q.after = after;
  }
  return q;
}

static const float *element(const matrix *m, int64_t row, int64_t col) {
  return (const float *)m->at + row * m->row + col * m->col;
}

/* One panel of columns times all rows of the block. */
static void column_panel(const work *w, int64_t j, tile t, const float *a) {
  const product *p = w->p;
  int last = w->k0 + w->depth == p->k && !w->staged;
  epilogue after;
  t.cols = MIN(w->cols - j, TILE_COLS);
  for (int64_t panel = 0, i = 0; i < w->rows; panel++, i += t.rows) {
    t.rows = gemm_height(w->rows, panel);
    if (w->pack_a) t.a = a + i * w->depth, t.a_row = 1, t.a_col = t.rows;
    else t.a = element(&p->a, w->i0 + i, w->k0), t.a_row = p->a.row, t.a_col = p->a.col;
    t.c = w->sum + i * t.c_row + j;
    if (last && p->after) {
      after = *p->after;
      after.c = matrix_at(&p->after->c, w->i0 + i, w->j0 + j);
      t.after = &after;
    }
    gemm_tile(&t);
  }
}

static void block(const work *w, int64_t c_row) {
  const product *p = w->p;
  tile t = {.k = w->depth, .add = p->add || w->k0 > 0, .c_row = c_row};
  if (w->pack_a) gemm_pack_a(w->a, &p->a, w->i0, w->rows, w->k0, w->depth);
  for (int64_t j = 0; j < w->cols; j += TILE_COLS) {
    int direct = !w->pack_b && w->cols - j >= TILE_COLS;
    t.b = direct ? element(&p->b, w->k0, w->j0 + j) : w->pack_b ? w->b + j * w->depth : w->b;
    t.b_row = direct ? p->b.row : TILE_COLS;
    column_panel(w, j, t, w->a);
  }
}

/* Without packing, only the panel at the edge is packed: nothing may be read past a row. */
static void pack_b(const work *w) {
  int64_t whole = w->pack_b ? 0 : w->cols / TILE_COLS * TILE_COLS;
  if (whole < w->cols) gemm_pack_b(w->b, &w->p->b, w->k0, w->depth, w->j0 + whole, w->cols - whole);
}

/* What a staged product adds to. */
static void load_sums(const work *w, int64_t i, int64_t rows) {
  const matrix *out = &w->p->out;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < w->cols; j++) w->sum[r * w->cols + j] = *element(out, i + r, w->j0 + j);
}

/* Columns [j0, j0 + cols) of rows [i, i + rows), through all of k. */
static void stripe(work *w, int64_t i, int64_t rows) {
  const product *p = w->p;
  float *sum = w->sum;
  int64_t c_row = w->staged ? w->cols : p->out.row;
  if (!w->staged) sum = (float *)element(&p->out, i, w->j0);
  int64_t blocks = ceil_div(rows, BLOCK_ROWS), step = ceil_div(rows, blocks);
  work v = *w;
  if (w->staged && p->add) load_sums(w, i, rows);
  for (v.k0 = 0; v.k0 < p->k; v.k0 += CHUNK) {
    v.depth = MIN(p->k - v.k0, CHUNK);
    pack_b(&v);
    for (int64_t q = 0; q < rows; q += step) {
      v.i0 = i + q, v.rows = MIN(rows - q, step), v.sum = sum + q * c_row;
      block(&v, c_row);
    }
  }
  if (w->staged) gemm_finish(p, sum, c_row, i, rows, w->j0, w->cols);
}

/* Whether a matrix stays in the first-level cache as it lies: packing it would only take time. */
static int is_small(const matrix *m, int64_t rows, int64_t cols) { return (rows - 1) * m->row + (cols - 1) * m->col < SMALL; }

static int blocked(const product *p) {
  work w = {.p = p, .staged = must_stage(p)};
  int64_t cols_max = w.staged ? STAGED_COLS : BLOCK_COLS, rows_max = w.staged ? STAGED_ROWS : p->m;
  int64_t cols = ceil_div(ceil_div(p->n, ceil_div(p->n, cols_max)), TILE_COLS) * TILE_COLS, rows = MIN(p->m, rows_max);
  int64_t depth = MIN(p->k, CHUNK);
  w.pack_a = p->a.dtype != F32 || (p->n > 2 * TILE_COLS && !is_small(&p->a, p->m, p->k));
  w.pack_b = p->b.dtype != F32 || p->b.col != 1 || (p->m > 2 * TILE_ROWS && !is_small(&p->b, p->k, p->n));
  int64_t a_floats = w.pack_a ? MIN(rows, BLOCK_ROWS + TILE_ROWS) * depth + PACK_SLACK : 0;
  a_floats = ceil_div(a_floats, 16) * 16;
  w.a = scratch(0, (size_t)(a_floats + cols * depth + PACK_SLACK) * sizeof(float));
  if (!w.a) return NO_MEMORY;
  w.b = w.a + a_floats;
  if (w.staged && !(w.sum = scratch(1, (size_t)(rows * cols) * sizeof(float)))) return NO_MEMORY;
  for (w.j0 = 0; w.j0 < p->n; w.j0 += cols) {
    w.cols = MIN(p->n - w.j0, cols);
    for (int64_t i = 0; i < p->m; i += rows) stripe(&w, i, MIN(p->m - i, rows));
  }
  return DONE;
}

/* No terms: the sum is +0 everywhere. */
static int empty_sum(const product *p) {
  static const float zero[64];
  if (p->add) return DONE;
  for (int64_t j = 0; j < p->n; j += 64) gemm_finish(p, zero, 0, 0, p->m, j, MIN(p->n - j, 64));
  return DONE;
}

int gemm_run(const product *p) {
  epilogue after;
  if (p->m == 0 || p->n == 0) return DONE;
  if (p->k == 0) return empty_sum(p);
  product q = turned(p) ? turn(p, &after) : *p;
  if (gemm_is_vector(&q)) return gemm_vector(&q);
  return blocked(&q);
}
