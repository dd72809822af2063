/* Moves matrices and images between views of any layout and type and the packed binary32 buffers
 * that the micro-kernels read and write.
 *
 * Narrow floats are widened exactly on the way in and rounded once, to nearest even, on the way out;
 * every NaN that goes out is the canonical one.
 */
#include "conv.h"
#include "convert.h"

static int is_float(int64_t dtype) { return dtype == F32 || dtype == F16 || dtype == BF16; }

int conv_open(const layout *l, void *const *data, int64_t index, image *to) {
  const view *v = &l->view[index];
  if (v->rank != 5 || !is_float(v->dtype)) return BAD_LAYOUT;
  to->at = data[index];
  to->dtype = v->dtype;
  memcpy(to->size, v->size, sizeof to->size);
  memcpy(to->stride, v->stride, sizeof to->stride);
  return DONE;
}

int conv_geometry(const layout *l, geometry *g) {
  if (l->params < 11) return BAD_LAYOUT;
  memcpy(g, l->param, sizeof *g);
  for (int i = 0; i < 3; i++)
    if (g->stride[i] < 1 || g->dilation[i] < 1 || g->padding[i] < 0) return BAD_LAYOUT;
  return g->groups < 1 || (g->biased && l->views < 4) ? BAD_LAYOUT : DONE;
}

/* `big` is the input of the forward convolution, `small` its output. */
int conv_fits(const image *big, const image *small, const image *w, const geometry *g) {
  if (big->size[0] != small->size[0] || small->size[1] != w->size[0] || small->size[1] % g->groups) return 0;
  return big->size[1] == w->size[1] * g->groups;
}

static float widen(uint16_t h, int64_t dtype) { return dtype == BF16 ? from_bf16(h) : from_f16(h); }
static uint16_t narrow(float f, int64_t dtype) { return dtype == BF16 ? to_bf16(f) : to_f16(f); }

/* Squares are turned in registers of a fixed number of floats: by words and pairs of words within quarters of four,
 * then by quarters. Each pattern is one instruction. */
#if defined(__AVX512F__)
enum { SQUARE = 16 };
#define WORDS_LOW 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define WORDS_HIGH 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define PAIRS_LOW 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define PAIRS_HIGH 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define QUARTERS_EVEN 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define QUARTERS_ODD 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#elif defined(__AVX2__)
enum { SQUARE = 8 };
#define WORDS_LOW 0, 8, 1, 9, 4, 12, 5, 13
#define WORDS_HIGH 2, 10, 3, 11, 6, 14, 7, 15
#define PAIRS_LOW 0, 1, 8, 9, 4, 5, 12, 13
#define PAIRS_HIGH 2, 3, 10, 11, 6, 7, 14, 15
#define QUARTERS_EVEN 0, 1, 2, 3, 8, 9, 10, 11
#define QUARTERS_ODD 4, 5, 6, 7, 12, 13, 14, 15
#else
enum { SQUARE = 4 };
#define WORDS_LOW 0, 4, 1, 5
#define WORDS_HIGH 2, 6, 3, 7
#define PAIRS_LOW 0, 1, 4, 5
#define PAIRS_HIGH 2, 3, 6, 7
#endif
typedef float row __attribute__((vector_size(4 * SQUARE)));
#define MIX(A, B, PATTERN) __builtin_shufflevector(A, B, PATTERN)

INLINE void transpose(row *v) {
#pragma GCC unroll 4
  for (int i = 0; i < SQUARE; i += 4) {
    row a = MIX(v[i], v[i + 1], WORDS_LOW), b = MIX(v[i], v[i + 1], WORDS_HIGH);
    row c = MIX(v[i + 2], v[i + 3], WORDS_LOW), d = MIX(v[i + 2], v[i + 3], WORDS_HIGH);
    v[i] = MIX(a, c, PAIRS_LOW), v[i + 1] = MIX(a, c, PAIRS_HIGH);
    v[i + 2] = MIX(b, d, PAIRS_LOW), v[i + 3] = MIX(b, d, PAIRS_HIGH);
  }
#if defined(__AVX512F__)
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    row a = MIX(v[i], v[i + 4], QUARTERS_EVEN), b = MIX(v[i + 8], v[i + 12], QUARTERS_EVEN);
    row c = MIX(v[i], v[i + 4], QUARTERS_ODD), d = MIX(v[i + 8], v[i + 12], QUARTERS_ODD);
    v[i] = MIX(a, b, QUARTERS_EVEN), v[i + 4] = MIX(c, d, QUARTERS_EVEN);
    v[i + 8] = MIX(a, b, QUARTERS_ODD), v[i + 12] = MIX(c, d, QUARTERS_ODD);
  }
#elif defined(__AVX2__)
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    row a = v[i], b = v[i + 4];
    v[i] = MIX(a, b, QUARTERS_EVEN), v[i + 4] = MIX(a, b, QUARTERS_ODD);
  }
#endif
}

/* to[r][c] = from[c][r] for a square. Kept out of line: inlined into its loops, every address
 * becomes a variable of its own. */
static __attribute__((noinline)) void turn_square(float *to, int64_t to_pitch, const float *from, int64_t from_pitch) {
  row v[SQUARE];
#pragma GCC unroll 16
  for (int c = 0; c < SQUARE; c++, from += from_pitch) memcpy(&v[c], from, sizeof v[c]);
  transpose(v);
#pragma GCC unroll 16
  for (int r = 0; r < SQUARE; r++, to += to_pitch) memcpy(to, &v[r], sizeof v[r]);
}

/* Fewer rows or columns go through a full square on the stack. */
static void turn_edge(float *to, int64_t to_pitch, const float *from, int64_t from_pitch, int64_t rows,
                      int64_t cols) {
  float in[SQUARE][SQUARE] = {{0}}, out[SQUARE][SQUARE];
  for (int64_t c = 0; c < cols; c++)
    for (int64_t r = 0; r < rows; r += NARROW_LANES)
      n_store_some(&in[c][r], n_load_some(from + c * from_pitch + r, rows - r), SQUARE - r);
  turn_square(out[0], SQUARE, in[0], SQUARE);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c += NARROW_LANES)
      n_store_some(to + r * to_pitch + c, n_load_some(&out[r][c], SQUARE - c), cols - c);
}

/* How far ahead to fetch the rows: too many for the processor to follow by itself. */
enum { AHEAD = 64 };

static void transpose_all(float *to, int64_t to_pitch, const float *from, int64_t from_pitch, int64_t rows,
                          int64_t cols) {
  for (int64_t c = 0; c < cols; c += SQUARE)
    for (int64_t r = 0; r < rows; r += SQUARE) {
      float *into = to + r * to_pitch + c;
      const float *out_of = from + c * from_pitch + r;
      if (rows - r < SQUARE || cols - c < SQUARE) {
        turn_edge(into, to_pitch, out_of, from_pitch, MIN(rows - r, SQUARE), MIN(cols - c, SQUARE));
        continue;
      }
      for (int64_t i = 0; i < SQUARE && rows - r > AHEAD; i++) __builtin_prefetch(out_of + i * from_pitch + AHEAD);
      turn_square(into, to_pitch, out_of, from_pitch);
    }
}

INLINE void copy_row(float *to, const float *from, int64_t n) {
  for (int64_t i = 0; i < n; i += NARROW_LANES) n_store_some(to + i, n_load_some(from + i, n - i), n - i);
}

/* to[r * pitch + c] = from[r][c]. */
void conv_read(float *to, int64_t pitch, patch from, int64_t rows, int64_t cols) {
  const float *wide = (const float *)from.at;
  const uint16_t *half = (const uint16_t *)from.at;
  if (from.dtype != F32) {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < cols; c++) to[r * pitch + c] = widen(half[r * from.row + c * from.col], from.dtype);
  } else if (from.col == 1 || cols == 1) {
    for (int64_t r = 0; r < rows; r++) copy_row(to + r * pitch, wide + r * from.row, cols);
  } else if (from.row == 1) {
    transpose_all(to, pitch, wide, from.col, rows, cols);
  } else {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < cols; c++) to[r * pitch + c] = wide[r * from.row + c * from.col];
  }
}

/* to[r][c] = from[r * pitch + c], every NaN the canonical one: made so in `from`, which the caller gives up. */
void conv_write(patch to, float *from, int64_t pitch, int64_t rows, int64_t cols) {
  float *wide = (float *)to.at;
  uint16_t *half = (uint16_t *)to.at;
  if (to.dtype != F32) {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < cols; c++) half[r * to.row + c * to.col] = narrow(from[r * pitch + c], to.dtype);
    return;
  }
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < cols; c += NARROW_LANES) {
      float *at = from + r * pitch + c;
      n_store_some(at, n_canonical(n_load_some(at, cols - c)), cols - c);
    }
  if (to.col == 1) {
    for (int64_t r = 0; r < rows; r++) copy_row(wide + r * to.row, from + r * pitch, cols);
  } else if (to.row == 1) {
    transpose_all(wide, to.col, from, pitch, cols, rows);
  } else {
    for (int64_t c = 0; c < cols; c++)
      for (int64_t r = 0; r < rows; r++) wide[r * to.row + c * to.col] = from[r * pitch + c];
  }
}

/* The part of [low, low + size) that lies inside [0, limit): where it begins in the box, and its length. */
static int64_t inside(int64_t low, int64_t size, int64_t limit, int64_t *begin) {
  int64_t from = MAX(low, 0), to = MIN(low + size, limit);
  *begin = from - low;
  return MAX(to - from, 0);
}

typedef struct {
  int64_t begin[3], count[3];
} overlap;

static overlap meet(const image *v, const window *box) {
  overlap o;
  for (int i = 0; i < 3; i++) o.count[i] = inside(box->low[i], box->size[i], v->size[2 + i], &o.begin[i]);
  return o;
}

static char *row_of(const image *v, const window *box, const overlap *o, int64_t n, int64_t channel, int64_t d,
                    int64_t h) {
  return element(v, n * v->stride[0] + channel * v->stride[1] + (box->low[0] + d) * v->stride[2] +
                        (box->low[1] + h) * v->stride[3] + (box->low[2] + o->begin[2]) * v->stride[4]);
}

/* Every other value to one of two rows. */
static void split_in_two(float *even, float *odd, const float *from, int64_t n) {
  int64_t i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    vf a = f_load(from + i), b = f_load(from + i + LANES);
    f_store(even + i / 2, f_even_of(a, b));
    f_store(odd + i / 2, f_odd_of(a, b));
  }
  for (; i < n; i++) (i % 2 ? odd : even)[i / 2] = from[i];
}

/* Values begin, begin + 1, ... of a row, each to the row of its phase: i to [i % phases][i / phases]. */
static void split_row(float *to, int64_t width, int64_t phases, int64_t begin, const float *from, int64_t n) {
  int64_t phase = begin % phases, at = begin / phases;
  if (phases == 2) {
    split_in_two(to + phase * width + at, phase ? to + at + 1 : to + width + at, from, n);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    to[phase * width + at] = from[i];
    if (++phase == phases) phase = 0, at++;
  }
}

static void split_rows(float *to, int64_t plane, int64_t width, int64_t phases, int64_t begin, patch from,
                       int64_t rows, int64_t count) {
  float some[4 * LANES];
  int64_t once = from.dtype == F32 && from.col == 1 ? count : 4 * LANES;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < count; i += once) {
      patch row = {from.at + (r * from.row + i * from.col) * width_of(from.dtype), from.dtype, 0, from.col};
      int64_t n = MIN(once, count - i);
      if (once < count || from.dtype != F32 || from.col != 1) conv_read(some, n, row, 1, n);
      const float *read = from.dtype == F32 && from.col == 1 ? (const float *)row.at : some;
      split_row(to + r * plane, width, phases, begin + i, read, n);
    }
}

/* +0 for all positions of one plane that lie outside the source. Compiled apart for the usual numbers of phases, which
 * spares a division for each. */
INLINE void clear_plane(float *to, const window *box, const overlap *o, int64_t phases, int64_t width) {
  int64_t row = phases * width;
  for (int64_t d = -o->begin[0]; d < box->size[0] - o->begin[0]; d++)
    for (int64_t h = -o->begin[1]; h < box->size[1] - o->begin[1]; h++, to += row) {
      if (d < 0 || d >= o->count[0] || h < 0 || h >= o->count[1]) {
        memset(to, 0, (size_t)row * sizeof *to);
        continue;
      }
      for (int64_t w = 0; w < o->begin[2]; w++) to[w % phases * width + w / phases] = 0;
      for (int64_t w = o->begin[2] + o->count[2]; w < row; w++) to[w % phases * width + w / phases] = 0;
    }
}

static void clear_outside(float *to, const window *box, const overlap *o, int64_t phases, int64_t width) {
  if (phases == 1)
    clear_plane(to, box, o, 1, width);
  else if (phases == 2)
    clear_plane(to, box, o, 2, width);
  else
    clear_plane(to, box, o, phases, width);
}

/* Channels [channel, channel + channels) of one image, cut to the box: one plane after the other, +0 outside.
 * With phases, every row is split: position w stands at [w % phases][w / phases]. */
void conv_window_planes(float *to, const image *v, const window *box, int64_t phases, int64_t n, int64_t channel,
                        int64_t channels) {
  overlap o = meet(v, box);
  int64_t width = ceil_div(box->size[2], phases), plane = box->size[0] * box->size[1] * phases * width;
  for (int64_t c = 0; c < channels && volume(o.count) != plane; c++)
    clear_outside(to + c * plane, box, &o, phases, width);
  if (!volume(o.count)) return;
  for (int64_t d = o.begin[0]; d < o.begin[0] + o.count[0]; d++)
    for (int64_t h = o.begin[1]; h < o.begin[1] + o.count[1]; h++) {
      patch from = {row_of(v, box, &o, n, channel, d, h), v->dtype, v->stride[1], v->stride[4]};
      float *row = to + (d * box->size[1] + h) * phases * width;
      if (phases == 1)
        conv_read(row + o.begin[2], plane, from, channels, o.count[2]);
      else
        split_rows(row, plane, width, phases, o.begin[2], from, channels, o.count[2]);
    }
}

/* The same with channels innermost: position after position, `pitch` apart. */
void conv_window_last(float *to, int64_t pitch, const image *v, const window *box, int64_t n, int64_t channel,
                      int64_t channels) {
  overlap o = meet(v, box);
  int64_t plane = volume(box->size);
  if (volume(o.count) != plane && channels == pitch)
    memset(to, 0, (size_t)(plane * pitch) * sizeof *to);
  else if (volume(o.count) != plane)
    for (int64_t i = 0; i < plane; i++) memset(to + i * pitch, 0, (size_t)channels * sizeof *to);
  if (!volume(o.count)) return;
  for (int64_t d = o.begin[0]; d < o.begin[0] + o.count[0]; d++)
    for (int64_t h = o.begin[1]; h < o.begin[1] + o.count[1]; h++) {
      patch from = {row_of(v, box, &o, n, channel, d, h), v->dtype, v->stride[4], v->stride[1]};
      conv_read(to + ((d * box->size[1] + h) * box->size[2] + o.begin[2]) * pitch, pitch, from, o.count[2],
                channels);
    }
}
