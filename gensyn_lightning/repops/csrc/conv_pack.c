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

/* The first n of sixteen lanes; the others read as 0 and are not written. */
INLINE vf load_some(const float *p, int64_t n) {
  if (n >= LANES) return f_load(p);
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
  vf v = {0};
  for (int64_t i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}

INLINE void store_some(float *p, vf v, int64_t n) {
  if (n >= LANES) {
    f_store(p, v);
    return;
  }
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  for (int64_t i = 0; i < n; i++) p[i] = v[i];
#endif
}

/* Sixteen vectors become their transpose: four rounds of a perfect shuffle. */
INLINE void transpose(vf *v) {
#pragma GCC unroll 4
  for (int round = 0; round < 4; round++) {
    vf t[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < LANES / 2; i++) {
      t[2 * i] = __builtin_shufflevector(v[i], v[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      t[2 * i + 1] =
          __builtin_shufflevector(v[i], v[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) v[i] = t[i];
  }
}

/* to[r][c] = from[c][r] for r < rows, c < cols, both at most sixteen. */
static void transpose_block(float *to, int64_t to_pitch, const float *from, int64_t from_pitch, int64_t rows,
                            int64_t cols, int canonical) {
  vf v[LANES];
#pragma GCC unroll 16
  for (int c = 0; c < LANES; c++) v[c] = c < cols ? load_some(from + c * from_pitch, rows) : (vf){0};
  transpose(v);
#pragma GCC unroll 16
  for (int r = 0; r < LANES; r++)
    if (r < rows) store_some(to + r * to_pitch, canonical ? f_canonical(v[r]) : v[r], cols);
}

static void transpose_all(float *to, int64_t to_pitch, const float *from, int64_t from_pitch, int64_t rows,
                          int64_t cols, int canonical) {
  for (int64_t r = 0; r < rows; r += LANES)
    for (int64_t c = 0; c < cols; c += LANES)
      transpose_block(to + r * to_pitch + c, to_pitch, from + c * from_pitch + r, from_pitch, MIN(rows - r, LANES),
                      MIN(cols - c, LANES), canonical);
}

INLINE void copy_row(float *to, const float *from, int64_t n, int canonical) {
  for (int64_t i = 0; i < n; i += LANES) {
    vf v = load_some(from + i, n - i);
    store_some(to + i, canonical ? f_canonical(v) : v, n - i);
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
    transpose_all(to, pitch, wide, from.col, rows, cols, 0);
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
    transpose_all(wide, to.col, from, pitch, cols, rows, 1);
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

/* Channels [channel, channel + channels) of one image, cut to the box: one plane after the other, +0 outside. */
void conv_window_planes(float *to, const image *v, const window *box, int64_t n, int64_t channel,
                        int64_t channels) {
  overlap o = meet(v, box);
  int64_t plane = volume(box->size);
  if (volume(o.count) != plane) memset(to, 0, (size_t)(channels * plane) * sizeof *to);
  if (!volume(o.count)) return;
  for (int64_t d = o.begin[0]; d < o.begin[0] + o.count[0]; d++)
    for (int64_t h = o.begin[1]; h < o.begin[1] + o.count[1]; h++) {
      patch from = {row_of(v, box, &o, n, channel, d, h), v->dtype, v->stride[1], v->stride[4]};
      conv_read(to + (d * box->size[1] + h) * box->size[2] + o.begin[2], plane, from, channels, o.count[2]);
    }
}

/* The same with channels innermost: position after position, `pitch` apart. */
void conv_window_last(float *to, int64_t pitch, const image *v, const window *box, int64_t n, int64_t channel,
                      int64_t channels) {
  overlap o = meet(v, box);
  int64_t plane = volume(box->size);
  if (volume(o.count) != plane)
    for (int64_t i = 0; i < plane; i++) memset(to + i * pitch, 0, (size_t)channels * sizeof *to);
  if (!volume(o.count)) return;
  for (int64_t d = o.begin[0]; d < o.begin[0] + o.count[0]; d++)
    for (int64_t h = o.begin[1]; h < o.begin[1] + o.count[1]; h++) {
      patch from = {row_of(v, box, &o, n, channel, d, h), v->dtype, v->stride[4], v->stride[1]};
      conv_read(to + ((d * box->size[1] + h) * box->size[2] + o.begin[2]) * pitch, pitch, from, o.count[2],
                channels);
    }
}
