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

/* Interleave words or pairs of words within quarters, or gather every other quarter: each is one instruction or
 * two on any vector unit. */
#define WORDS_LOW(A, B) __builtin_shufflevector(A, B, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define WORDS_HIGH(A, B) __builtin_shufflevector(A, B, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define PAIRS_LOW(A, B) __builtin_shufflevector(A, B, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define PAIRS_HIGH(A, B) __builtin_shufflevector(A, B, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define QUARTERS_EVEN(A, B) __builtin_shufflevector(A, B, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
#define QUARTERS_ODD(A, B) __builtin_shufflevector(A, B, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31)

/* Sixteen vectors become their transpose: first within blocks of four by four, then the blocks. */
INLINE void transpose(vf *v) {
#pragma GCC unroll 4
  for (int i = 0; i < LANES; i += 4) {
    vf a = WORDS_LOW(v[i], v[i + 1]), b = WORDS_HIGH(v[i], v[i + 1]);
    vf c = WORDS_LOW(v[i + 2], v[i + 3]), d = WORDS_HIGH(v[i + 2], v[i + 3]);
    v[i] = PAIRS_LOW(a, c), v[i + 1] = PAIRS_HIGH(a, c), v[i + 2] = PAIRS_LOW(b, d), v[i + 3] = PAIRS_HIGH(b, d);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    vf a = QUARTERS_EVEN(v[i], v[i + 4]), b = QUARTERS_EVEN(v[i + 8], v[i + 12]);
    vf c = QUARTERS_ODD(v[i], v[i + 4]), d = QUARTERS_ODD(v[i + 8], v[i + 12]);
    v[i] = QUARTERS_EVEN(a, b), v[i + 4] = QUARTERS_EVEN(c, d);
    v[i + 8] = QUARTERS_ODD(a, b), v[i + 12] = QUARTERS_ODD(c, d);
  }
}

/* to[r][c] = from[c][r] for sixteen rows and columns. Kept out of line: inlined into its loops, every
 * address becomes a variable of its own. */
#define TRANSPOSE_BLOCK(NAME, FINISH)                                                                              \
  static __attribute__((noinline)) void NAME(float *to, int64_t to_pitch, const float *from, int64_t from_pitch) { \
    vf v[LANES];                                                                                                   \
    _Pragma("GCC unroll 16") for (int c = 0; c < LANES; c++, from += from_pitch) v[c] = f_load(from);              \
    transpose(v);                                                                                                  \
    _Pragma("GCC unroll 16") for (int r = 0; r < LANES; r++, to += to_pitch) f_store(to, FINISH(v[r]));            \
  }
TRANSPOSE_BLOCK(transpose_plain, )
TRANSPOSE_BLOCK(transpose_canonical, canonical)

/* The same for fewer rows and columns, through a full block on the stack. */
static void transpose_edge(float *to, int64_t to_pitch, const float *from, int64_t from_pitch, int64_t rows,
                           int64_t cols) {
  vf in[LANES], out[LANES];
  for (int64_t c = 0; c < cols; c++) in[c] = load_some(from + c * from_pitch, rows);
  for (int64_t c = cols; c < LANES; c++) in[c] = (vf){0};
  transpose_canonical((float *)out, LANES, (const float *)in, LANES);
  for (int64_t r = 0; r < rows; r++) store_some(to + r * to_pitch, out[r], cols);
}

/* How far ahead to fetch the sixteen rows: too many for the processor to follow by itself. */
enum { AHEAD = 4 * LANES };

typedef void block(float *to, int64_t to_pitch, const float *from, int64_t from_pitch);

static void transpose_all(float *to, int64_t to_pitch, const float *from, int64_t from_pitch, int64_t rows,
                          int64_t cols, block *whole) {
  for (int64_t c = 0; c < cols; c += LANES)
    for (int64_t r = 0; r < rows; r += LANES) {
      float *into = to + r * to_pitch + c;
      const float *out_of = from + c * from_pitch + r;
      if (rows - r >= LANES && cols - c >= LANES) {
        for (int64_t i = 0; i < LANES && rows - r > AHEAD; i++) __builtin_prefetch(out_of + i * from_pitch + AHEAD);
        whole(into, to_pitch, out_of, from_pitch);
      } else {
        transpose_edge(into, to_pitch, out_of, from_pitch, MIN(rows - r, LANES), MIN(cols - c, LANES));
      }
    }
}

INLINE void copy_row(float *to, const float *from, int64_t n, int finish) {
  for (int64_t i = 0; i < n; i += LANES) {
    vf v = load_some(from + i, n - i);
    store_some(to + i, finish ? canonical(v) : v, n - i);
  }
}

/* to[r * pitch + c] = from[r][c]. */
void conv_read(float *to, int64_t pitch, patch from, int64_t rows, int64_t cols) {
  const float *wide = (const float *)from.at;
  const uint16_t *half = (const uint16_t *)from.at;
  if (from.dtype != F32) {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < cols; c++) to[r * pitch + c] = widen(half[r * from.row + c * from.col], from.dtype);
  } else if (from.col == 1 || cols == 1) {
    for (int64_t r = 0; r < rows; r++) copy_row(to + r * pitch, wide + r * from.row, cols, 0);
  } else if (from.row == 1) {
    transpose_all(to, pitch, wide, from.col, rows, cols, transpose_plain);
  } else {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < cols; c++) to[r * pitch + c] = wide[r * from.row + c * from.col];
  }
}

/* to[r][c] = from[r * pitch + c], every NaN the canonical one. */
void conv_write(patch to, const float *from, int64_t pitch, int64_t rows, int64_t cols) {
  float *wide = (float *)to.at;
  uint16_t *half = (uint16_t *)to.at;
  if (to.dtype != F32) {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t c = 0; c < cols; c++) half[r * to.row + c * to.col] = narrow(from[r * pitch + c], to.dtype);
  } else if (to.col == 1) {
    for (int64_t r = 0; r < rows; r++) copy_row(wide + r * to.row, from + r * pitch, cols, 1);
  } else if (to.row == 1) {
    transpose_all(wide, to.col, from, pitch, cols, rows, transpose_canonical);
  } else {
    for (int64_t c = 0; c < cols; c++)
      for (int64_t r = 0; r < rows; r++) wide[r * to.row + c * to.col] = canonical1(from[r * pitch + c]);
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

#define EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODDS 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31

/* Every other value to one of two rows. */
static void split_in_two(float *even, float *odd, const float *from, int64_t n) {
  int64_t i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES) {
    vf a = f_load(from + i), b = f_load(from + i + LANES);
    f_store(even + i / 2, __builtin_shufflevector(a, b, EVENS));
    f_store(odd + i / 2, __builtin_shufflevector(a, b, ODDS));
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

/* Channels [channel, channel + channels) of one image, cut to the box: one plane after the other, +0 outside.
 * With phases, every row is split: position w stands at [w % phases][w / phases]. */
void conv_window_planes(float *to, const image *v, const window *box, int64_t phases, int64_t n, int64_t channel,
                        int64_t channels) {
  overlap o = meet(v, box);
  int64_t width = ceil_div(box->size[2], phases), plane = box->size[0] * box->size[1] * phases * width;
  if (volume(o.count) != plane) memset(to, 0, (size_t)(channels * plane) * sizeof *to);
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
