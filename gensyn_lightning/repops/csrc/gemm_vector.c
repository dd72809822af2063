/* Products with one row, or a few: a vector times a matrix, and the dot product.
 *
 * Nothing is packed, since every element of B is used once. Where rows of B are adjacent, lanes are columns and
 * B is read from front to back. Where its columns are, blocks are turned in registers, and several
 * of them are in flight at a time. In a dot product lanes are chunks.
 */
#include "gemm_turn.h"

enum { NEAR, AHEAD, NEXT }; /* what is asked for beforehand */
/* Rows, spans side by side, spans of one row side by side, chunks whose values are kept, terms of a cache line, columns whose
 * sums stay in the first-level cache, and terms from row to row of a copy. */
enum { FEW = 8, STREAMS = 4, TURNS = 3, PANEL = 16, LINE = 16, STRIP = 2048, APART = CHUNK + LINE };

#define UNROLL _Pragma("GCC unroll 16")

INLINE float one_fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return n_fma(n_all(a), n_all(b), n_all(c))[0];
#endif
}

/* acc[j] goes on through `terms` rows of b; one load and one store of acc serve them all. */
INLINE void rows_of(float *acc, const float *x, const float *b, int64_t row, int64_t n, const int terms) {
  int64_t j = 0;
  nf s[8];
  for (int q = 0; q < terms; q++) s[q] = n_all(x[q]);
  for (; j + WIDTH <= n; j += WIDTH) {
    nf v = n_load(acc + j);
    for (int q = 0; q < terms; q++) v = n_fma(s[q], n_load(b + q * row + j), v);
    n_store(acc + j, v);
  }
  if (j == n) return;
  nf v = n_load_some(acc + j, n - j);
  for (int q = 0; q < terms; q++) v = n_fma(s[q], n_load_some(b + q * row + j, n - j), v);
  n_store_some(acc + j, v, n - j);
}

static void chunk_of_rows(float *acc, const float *x, const float *b, int64_t row, int64_t n, int64_t depth) {
  int64_t k = 0;
  memset(acc, 0, (size_t)n * sizeof *acc);
  for (; k + 8 <= depth; k += 8) rows_of(acc, x + k, b + k * row, row, n, 8);
  for (; k < depth; k++) rows_of(acc, x + k, b + k * row, row, n, 1);
}

/* Rows of B are adjacent. */
static void along_rows(float *sum, const float *x, const float *b, int64_t row, int64_t n, int64_t k) {
  float part[STRIP] __attribute__((aligned(64)));
  for (int64_t j = 0, cols; j < n; j += cols) {
    cols = MIN(n - j, STRIP);
    for (int64_t q = 0; q < k; q += CHUNK) {
      chunk_of_rows(q ? part : sum + j, x + q, b + q * row + j, row, cols, MIN(k - q, CHUNK));
      for (int64_t i = 0; q && i < cols; i++) sum[j + i] += part[i];
    }
  }
}

/* Asks for what the rows will need two lines on, a quarter of the rows at each step of four terms. The machine's own
 * prefetching does not follow so many rows at once. */
INLINE void ask_ahead(const float *b, int64_t col, int64_t k, const int rows) {
  const float *line = b + k / LINE * LINE + 2 * LINE + k / 4 % 4 * (rows / 4) * col;
  UNROLL for (int i = 0; i < rows / 4; i++) __builtin_prefetch(line + i * col, 0, 3);
}

/* Asks for the same chunks of the rows that come next, a quarter of them at each step of four terms. */
INLINE void ask_for_next(const float *b, int64_t col, int64_t k, const int chunks, const int spans) {
  const float *line = b + spans / chunks * SPAN * col + k / LINE * LINE + k / 4 % 4 * (SPAN / 4) * col;
  UNROLL for (int s = 0; s < spans; s++)
    UNROLL for (int i = 0; i < SPAN / 4; i++)
      __builtin_prefetch(line + s % chunks * CHUNK + (s / chunks * SPAN + i) * col, 0, 2);
}

/* `spans` spans of columns and `rows` rows of A through one chunk, side by side, for a chain waits on itself. Spans are
 * neighbours, each in `chunks` chunks. */
INLINE void streams(span *acc, const float *x, int64_t x_row, const float *b, int64_t col, int64_t depth, int ask,
                    const int chunks, const int spans, const int rows) {
  span a[STREAMS][FEW], r[4];
  int64_t k = 0;
  for (int s = 0; s < spans; s++)
    for (int i = 0; i < rows; i++) a[s][i] = (span){0};
  for (; k + 4 <= depth; k += 4) {
    if (ask == AHEAD) ask_ahead(b, col, k, spans * SPAN);
    if (ask == NEXT) ask_for_next(b, col, k, chunks, spans);
    UNROLL for (int s = 0; s < spans; s++) {
      turn_load(r, b + s / chunks * SPAN * col + s % chunks * CHUNK + k, col);
      UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int q = 0; q < 4; q++)
          a[s][i] = s_fma(s_all(x[i * x_row + s % chunks * CHUNK + k + q]), r[q], a[s][i]);
    }
  }
  for (; k < depth; k++)
    for (int s = 0; s < spans; s++) {
      *r = turn_one(b + s / chunks * SPAN * col + s % chunks * CHUNK + k, col, SPAN);
      for (int i = 0; i < rows; i++) a[s][i] = s_fma(s_all(x[i * x_row + s % chunks * CHUNK + k]), *r, a[s][i]);
    }
  for (int s = 0; s < spans; s++)
    for (int i = 0; i < rows; i++) acc[s * rows + i] = a[s][i];
}

static void put_span(float *sum, span v, int first) {
  span t;
  memcpy(&t, sum, sizeof t);
  s_store(sum, first ? v : t + v);
}

/* What one pass over columns works on: `rows` rows of x, k apart, and of sums, `room` apart. */
typedef struct {
  float *sum;
  const float *x, *b;
  int64_t col, k, room;
  int far; /* b is too large for the second-level cache */
} pass;

/* Rows of B a multiple of half a page apart would push each other out of the first-level cache: they are copied,
 * and while one chunk is computed the next is on its way. */
static int clashes(int64_t col) { return col % 512 == 0; }

INLINE void copy_rows(float *to, const float *b, int64_t col, int64_t depth, const float *next, const int rows) {
  for (int64_t i = 0; i < rows; i++) {
    memcpy(to + i * APART, b + i * col, (size_t)depth * sizeof *b);
    for (int64_t k = 0; k < CHUNK; k += LINE) __builtin_prefetch(next + i * col + k, 0, 2);
  }
}

/* Neighbouring spans of columns from j on, chunk after chunk. */
INLINE void wide_columns(const pass *p, int64_t j, const int spans, const int rows) {
  float copy[STREAMS * SPAN * APART] __attribute__((aligned(64)));
  span acc[STREAMS * FEW];
  for (int64_t q = 0; q < p->k; q += CHUNK) {
    const float *b = p->b + j * p->col + q;
    int64_t col = p->col, depth = MIN(p->k - q, CHUNK);
    if (clashes(col)) {
      const float *next = q + CHUNK < p->k ? b + CHUNK : b - q + spans * SPAN * col;
      copy_rows(copy, b, col, depth, next, spans * SPAN);
      b = copy, col = APART;
    }
    streams(acc, p->x + q, p->k, b, col, depth, p->far && b != copy ? AHEAD : NEAR, 1, spans, rows);
    for (int64_t s = 0; s < spans; s++)
      for (int64_t i = 0; i < rows; i++) put_span(p->sum + i * p->room + j + s * SPAN, acc[s * rows + i], q == 0);
  }
}

/* Some chunks from q on of one span of columns; says how many. */
INLINE int64_t some_chunks(const pass *p, int64_t j, int64_t q, const int chunks) {
  span acc[STREAMS];
  int64_t depth = chunks > 1 ? CHUNK : MIN(p->k - q, CHUNK);
  streams(acc, p->x + q, 0, p->b + j * p->col + q, p->col, depth, p->far ? NEXT : NEAR, chunks, chunks, 1);
  for (int s = 0; s < chunks; s++) put_span(p->sum + j, acc[s], q + s == 0);
  return chunks;
}

/* One span of columns from j on, up to STREAMS chunks at a time. */
static void narrow_columns(const pass *p, int64_t j) {
  for (int64_t q = 0, count; q < p->k; q += count * CHUNK) {
    int64_t whole = (p->k - q) / CHUNK;
    if (whole >= 4) count = some_chunks(p, j, q, 4);
    else if (whole == 3) count = some_chunks(p, j, q, 3);
    else if (whole == 2) count = some_chunks(p, j, q, 2);
    else count = some_chunks(p, j, q, 1);
  }
}

/* One chunk of each of three spans, from `at` on, their rows `col` apart, and as much of x. */
INLINE void three_chunks(span *acc, const float *const *at, const float *const *x, int64_t col) {
  span sum[TURNS], r[8];
  UNROLL for (int s = 0; s < TURNS; s++) sum[s] = (span){0};
  for (int64_t k = 0; k < CHUNK; k += LINE)
    UNROLL for (int s = 0; s < TURNS; s++) {
      UNROLL for (int i = 0; i < SPAN; i++) __builtin_prefetch(at[s] + i * col + k + LINE, 0, 3);
      for (int64_t q = k; q < k + LINE; q += 8) {
        turn_eight(r, at[s] + q, col);
        UNROLL for (int i = 0; i < 8; i++) sum[s] = s_fma(s_all(x[s][q + i]), r[i], sum[s]);
      }
    }
  UNROLL for (int s = 0; s < TURNS; s++) acc[s] = sum[s];
}

/* Three spans of columns from j on whose rows would push each other out of the first-level cache: each span is at another chunk.
 * Chunk values are kept, to be added in order. */
static void columns_in_turns(const pass *p, int64_t j) {
  span value[TURNS][PANEL];
  for (int64_t q = 0; q < p->k; q += PANEL * CHUNK) {
    int64_t terms = MIN(p->k - q, PANEL * CHUNK), whole = terms / CHUNK, tail = whole * CHUNK;
    for (int64_t c = 0; c < whole; c++) {
      int64_t turn[TURNS];
      const float *at[TURNS], *x[TURNS];
      span acc[TURNS];
      for (int s = 0; s < TURNS; s++) {
        turn[s] = (c + s * whole / TURNS) % whole;
        x[s] = p->x + q + turn[s] * CHUNK, at[s] = p->b + (j + s * SPAN) * p->col + q + turn[s] * CHUNK;
      }
      three_chunks(acc, at, x, p->col);
      for (int s = 0; s < TURNS; s++) value[s][turn[s]] = acc[s];
    }
    if (tail < terms) {
      span acc[TURNS];
      streams(acc, p->x + q + tail, 0, p->b + j * p->col + q + tail, p->col, terms - tail, NEAR, 1, TURNS, 1);
      for (int s = 0; s < TURNS; s++) value[s][whole] = acc[s];
    }
    for (int s = 0; s < TURNS; s++)
      for (int64_t c = 0; c * CHUNK < terms; c++) put_span(p->sum + j + s * SPAN, value[s][c], q + c == 0);
  }
}

static void one_row(const pass *p, int64_t n) {
  int64_t j = 0, clash = clashes(p->col);
  for (; j + TURNS * SPAN <= n; j += TURNS * SPAN) clash ? columns_in_turns(p, j) : wide_columns(p, j, TURNS, 1);
  for (; j + SPAN <= n; j += SPAN) narrow_columns(p, j);
  if (j < n) narrow_columns(p, n - SPAN);
}

/* All columns, `spans` spans at a time. The last ones overlap those before them; what is done twice has the same
 * bits. */
INLINE void all_columns(const pass *p, int64_t n, const int spans, const int rows) {
  for (int64_t at = 0; at < n; at += spans * SPAN) wide_columns(p, MIN(at, n - spans * SPAN), spans, rows);
}

static void few_rows(const pass *p, int64_t n, int64_t rows) {
  switch (rows) {
    case 2: all_columns(p, n, 2, 2); break;
    case 3: all_columns(p, n, 2, 3); break;
    case 4: all_columns(p, n, 2, 4); break;
    case 5: all_columns(p, n, 1, 5); break;
    case 6: all_columns(p, n, 1, 6); break;
    case 7: all_columns(p, n, 1, 7); break;
    default: all_columns(p, n, 1, 8);
  }
}

/* Two spans of whole chunks, each a lane. */
static void chunks_as_lanes(float *part, const float *x, const float *y) {
  span r[4], s[4], acc[2] = {{0}, {0}};
  for (int64_t k = 0; k < CHUNK; k += 4)
    UNROLL for (int i = 0; i < 2; i++) {
      turn_load(r, x + i * SPAN * CHUNK + k, CHUNK), turn_load(s, y + i * SPAN * CHUNK + k, CHUNK);
      UNROLL for (int q = 0; q < 4; q++) acc[i] = s_fma(r[q], s[q], acc[i]);
    }
  s_store(part, acc[0]), s_store(part + SPAN, acc[1]);
}

INLINE void chunks_as_scalars(float *part, const float *x, const float *y, int64_t depth, const int chunks) {
  float acc[4] = {0};
  for (int64_t k = 0; k < depth; k++)
    UNROLL for (int c = 0; c < chunks; c++) acc[c] = one_fma(x[c * CHUNK + k], y[c * CHUNK + k], acc[c]);
  for (int c = 0; c < chunks; c++) part[c] = acc[c];
}

/* Some of the chunks from c on; says how many. */
static int64_t chunks_of_dot(float *part, const float *x, const float *y, int64_t k) {
  int64_t whole = k / CHUNK;
  if (whole >= 2 * SPAN) return chunks_as_lanes(part, x, y), 2 * SPAN;
  if (whole >= 4) return chunks_as_scalars(part, x, y, CHUNK, 4), 4;
  if (whole == 3) return chunks_as_scalars(part, x, y, CHUNK, 3), 3;
  if (whole == 2) return chunks_as_scalars(part, x, y, CHUNK, 2), 2;
  return chunks_as_scalars(part, x, y, MIN(k, CHUNK), 1), 1;
}

static float dot(const float *x, const float *y, int64_t k) {
  float sum = 0, part[2 * SPAN];
  for (int64_t q = 0, n; q < k; q += n * CHUNK) {
    n = chunks_of_dot(part, x + q, y + q, k - q);
    for (int64_t i = 0; i < n; i++) sum = q + i ? sum + part[i] : part[i];
  }
  return sum;
}

/* A row of k elements that follow each other by `step`, adjacent. */
static void gather(float *to, const float *from, int64_t step, int64_t k) {
  for (int64_t i = 0; i < k; i++) to[i] = from[i * step];
}

int gemm_is_vector(const product *p) {
  if (p->add || p->a.dtype != F32 || p->b.dtype != F32) return 0;
  if (p->m == 1) return p->n == 1 || p->b.col == 1 || (p->b.row == 1 && p->n >= SPAN);
  return p->m <= FEW && p->b.row == 1 && p->n >= 2 * SPAN;
}

int gemm_vector(const product *p) {
  int64_t room = ceil_div(p->n, 16) * 16, k = p->k;
  float *sum = scratch(1, (size_t)(p->m * room + (p->m + 1) * k) * sizeof *sum), *copy = sum + p->m * room;
  if (!sum) return NO_MEMORY;
  const float *x = p->a.at, *b = p->b.at;
  if (p->a.col != 1 || (p->m > 1 && p->a.row != k)) {
    for (int64_t i = 0; i < p->m; i++) gather(copy + i * k, x + i * p->a.row, p->a.col, k);
    x = copy;
  }
  pass columns = {sum, x, b, p->b.col, k, room, p->n * k > 1 << 17};
  if (p->n == 1) {
    if (p->b.row != 1) gather(copy + k, b, p->b.row, k), b = copy + k;
    *sum = dot(x, b, k);
  } else if (p->m > 1) few_rows(&columns, p->n, p->m);
  else if (p->b.row == 1 && p->n >= SPAN) one_row(&columns, p->n);
  else along_rows(sum, x, b, p->b.row, p->n, k);
  gemm_finish(p, sum, room, 0, p->m, 0, p->n);
  return DONE;
}
