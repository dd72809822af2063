/* Products with one row: a vector times a matrix, and the dot product.
 *
 * Nothing is packed, since every element of B is used once. Where rows of B are adjacent, lanes are columns and
 * B is read from front to back. Where its columns are, squares are turned in registers, and several
 * chunks are in flight, for a chain waits on itself. In a dot product lanes are chunks.
 */
#include "gemm_turn.h"

enum { STREAMS = 4, STRIP = 2048 };

INLINE float one_fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return w_fma(w_all(a), w_all(b), w_all(c))[0];
#endif
}

/* acc[j] goes on through `terms` rows of b; one load and one store of acc serve them all. */
INLINE void rows_of(float *acc, const float *x, const float *b, int64_t row, int64_t n, const int terms) {
  int64_t j = 0;
  wide s[8];
  for (int q = 0; q < terms; q++) s[q] = w_all(x[q]);
  for (; j + WIDTH <= n; j += WIDTH) {
    wide v = w_load(acc + j);
    for (int q = 0; q < terms; q++) v = w_fma(s[q], w_load(b + q * row + j), v);
    w_store(acc + j, v);
  }
  if (j == n) return;
  wide v = w_load_part(acc + j, n - j);
  for (int q = 0; q < terms; q++) v = w_fma(s[q], w_load_part(b + q * row + j, n - j), v);
  w_store_part(acc + j, v, n - j);
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

/* WIDTH columns of B (fewer if cols < WIDTH) through one chunk, `count` such streams side by side. */
INLINE void streams(wide *acc, const float *const *x, const float *const *b, int64_t col, int64_t cols, int64_t depth,
                    const int count, const int whole) {
  wide r[WIDTH], a[STREAMS];
  int64_t k = 0;
  for (int s = 0; s < count; s++) a[s] = (wide){0};
  for (; k + WIDTH <= depth; k += WIDTH)
    for (int s = 0; s < count; s++) {
      if (whole) w_turn_load(r, b[s] + k, col);
      else w_turn_load_part(r, b[s] + k, col, cols, WIDTH);
      for (int q = 0; q < WIDTH; q++) a[s] = w_fma(w_all(x[s][k + q]), r[q], a[s]);
    }
  for (int s = 0; s < count && k < depth; s++) {
    w_turn_load_part(r, b[s] + k, col, cols, depth - k);
    for (int q = 0; q < depth - k; q++) a[s] = w_fma(w_all(x[s][k + q]), r[q], a[s]);
  }
  for (int s = 0; s < count; s++) acc[s] = a[s];
}

static void run_streams(wide *acc, const float *const *x, const float *const *b, int64_t col, int64_t cols, int64_t depth,
                        int count) {
  if (cols < WIDTH)
    for (int s = 0; s < count; s++) streams(acc + s, x + s, b + s, col, cols, depth, 1, 0);
  else if (count == STREAMS) streams(acc, x, b, col, cols, depth, STREAMS, 1);
  else
    for (int s = 0; s < count; s++) streams(acc + s, x + s, b + s, col, cols, depth, 1, 1);
}

/* Chunks [from, to), all of one depth, of all columns; a group of columns takes its chunks in order. */
static void chunks_of_columns(float *sum, const float *x, const float *b, int64_t col, int64_t n, int64_t from, int64_t to,
                              int64_t depth) {
  const float *xs[STREAMS], *bs[STREAMS];
  int64_t at[STREAMS], chunk[STREAMS], groups = ceil_div(n, WIDTH), cols = MIN(n, WIDTH);
  wide acc[STREAMS];
  int count = 0;
  for (int64_t g = 0; g < groups; g++)
    for (int64_t c = from; c < to; c++) {
      /* The last group starts early enough to be whole; what it does again has the same bits. */
      at[count] = g * WIDTH, chunk[count] = c;
      xs[count] = x + c * CHUNK;
      bs[count] = b + MIN(g * WIDTH, n - cols) * col + c * CHUNK;
      if (++count < STREAMS && (g + 1 < groups || c + 1 < to)) continue;
      run_streams(acc, xs, bs, col, cols, depth, count);
      for (int s = 0; s < count; s++) {
        wide *t = (wide *)(sum + at[s]);
        *t = chunk[s] ? *t + acc[s] : acc[s];
      }
      count = 0;
    }
}

/* Columns of B are adjacent. `sum` has room for whole groups, the last of which stands apart until the end. */
static void along_columns(float *sum, const float *x, const float *b, int64_t col, int64_t n, int64_t k) {
  int64_t chunks = k / CHUNK, rest = k % CHUNK, last = n % WIDTH;
  chunks_of_columns(sum, x, b, col, n, 0, chunks, CHUNK);
  if (rest) chunks_of_columns(sum, x, b, col, n, chunks, chunks + 1, rest);
  if (n > WIDTH && last) {
    float *group = sum + n - last;
    memmove(group, group + WIDTH - last, (size_t)last * sizeof *group);
  }
}

/* Up to WIDTH whole chunks, each a lane. */
static void chunks_as_lanes(float *part, const float *x, const float *y, int64_t chunks) {
  wide r[WIDTH], s[WIDTH], acc = {0};
  for (int64_t k = 0; k < CHUNK; k += WIDTH) {
    if (chunks == WIDTH) w_turn_load(r, x + k, CHUNK), w_turn_load(s, y + k, CHUNK);
    else w_turn_load_part(r, x + k, CHUNK, chunks, WIDTH), w_turn_load_part(s, y + k, CHUNK, chunks, WIDTH);
    for (int q = 0; q < WIDTH; q++) acc = w_fma(r[q], s[q], acc);
  }
  w_store(part, acc);
}

static void chunks_as_scalars(float *part, const float *x, const float *y, int64_t chunks, int64_t depth) {
  for (int64_t c = 0; c < chunks; c++) part[c] = 0;
  for (int64_t k = 0; k < depth; k++)
    for (int64_t c = 0; c < chunks; c++) part[c] = one_fma(x[c * CHUNK + k], y[c * CHUNK + k], part[c]);
}

static float dot(const float *x, const float *y, int64_t k) {
  float sum = 0, part[WIDTH] __attribute__((aligned(64)));
  int64_t whole = k / CHUNK, rest = k % CHUNK;
  for (int64_t c = 0, n; c < whole + (rest > 0); c += n) {
    const float *at = x + c * CHUNK, *bt = y + c * CHUNK;
    if (c == whole) n = 1, chunks_as_scalars(part, at, bt, 1, rest);
    else if (whole - c >= MIN(WIDTH, 5)) n = MIN(whole - c, WIDTH), chunks_as_lanes(part, at, bt, n);
    else n = whole - c, chunks_as_scalars(part, at, bt, n, CHUNK);
    for (int64_t i = 0; i < n; i++) sum = c + i ? sum + part[i] : part[i];
  }
  return sum;
}

/* k elements that follow each other by `step`, adjacent. */
static const float *adjacent(float *to, const float *from, int64_t step, int64_t k) {
  if (step == 1) return from;
  for (int64_t i = 0; i < k; i++) to[i] = from[i * step];
  return to;
}

int gemm_is_vector(const product *p) {
  if (p->m != 1 || p->add || p->a.dtype != F32 || p->b.dtype != F32) return 0;
  return p->n == 1 || p->b.col == 1 || p->b.row == 1;
}

int gemm_vector(const product *p) {
  int64_t room = ceil_div(p->n, WIDTH) * WIDTH, k = ceil_div(p->k, 16) * 16;
  float *sum = scratch(1, (size_t)(room + 2 * k) * sizeof *sum);
  if (!sum) return NO_MEMORY;
  const float *x = adjacent(sum + room, p->a.at, p->a.col, p->k), *b = p->b.at;
  if (p->n == 1) *sum = dot(x, adjacent(sum + room + k, b, p->b.row, p->k), p->k);
  else if (p->b.row == 1) along_columns(sum, x, b, p->b.col, p->n, p->k);
  else along_rows(sum, x, b, p->b.row, p->n, p->k);
  gemm_finish(p, sum, 0, 0, 1, 0, p->n);
  return DONE;
}
