/* What the convolution kernels share.
 *
 * Every convolution here is one product: out[position][lane] is the sum over terms k, in the fixed order and
 * the fixed chunks, of source[offset[k] + position] * weight[k][lane]. The three operators differ
 * in what stands for source, term, position and lane:
 *
 *   forward        source x padded     terms (ic, kd, kh, kw)   positions (od, oh, ow)      lanes oc
 *   input grad     source dy padded    terms (oc, kd, kh, kw)   positions of one residue    lanes ic
 *   weight grad    source x, ic last   terms (n, od, oh, ow)    rows (kd, kh, kw, ic)       lanes oc
 *
 * One micro-kernel (conv_tile.c) does all of them. Lanes are always different outputs, so neither the
 * width of a vector nor the shape of a tile can reach a bit.
 */
#ifndef REPOPS_CONV_H
#define REPOPS_CONV_H

#include "repops.h"
#include "vec.h"

#if defined(__AVX512F__)
enum { TILE_ROWS = 14, TILE_VECTORS = 2 };
#elif defined(__FMA__) || defined(__aarch64__)
enum { TILE_ROWS = 6, TILE_VECTORS = 1 };
#else
enum { TILE_ROWS = 2, TILE_VECTORS = 1 };
#endif

/* Terms in one chain before its result is put away. */
enum { CHUNK = 256 };

/* A view of five dimensions (n, channel, d, h, w) and where its data lies. */
typedef struct {
  char *at;
  int64_t dtype, size[5], stride[5];
} image;

typedef struct {
  int64_t stride[3], padding[3], dilation[3], groups, biased;
} geometry;

/* A matrix inside a view; strides in elements. */
typedef struct {
  char *at;
  int64_t dtype, row, col;
} patch;

/* A box of positions cut out of a source: along each dimension from `low` (perhaps negative), `size` long. */
typedef struct {
  int64_t low[3], size[3];
} window;

static inline int64_t width_of(int64_t dtype) { return dtype == F32 ? 4 : 2; }
static inline char *element(const image *v, int64_t offset) { return v->at + offset * width_of(v->dtype); }

/* conv_pack.c */
int conv_open(const layout *l, void *const *data, int64_t index, image *to);
int conv_geometry(const layout *l, geometry *g);
int conv_fits(const image *big, const image *small, const image *w, const geometry *g);
void conv_read(float *to, int64_t pitch, patch from, int64_t rows, int64_t cols);
void conv_write(patch to, float *from, int64_t pitch, int64_t rows, int64_t cols);
void conv_window_planes(float *to, const image *v, const window *box, int64_t phases, int64_t n,
                        int64_t channel, int64_t channels);
void conv_window_last(float *to, int64_t pitch, const image *v, const window *box, int64_t n, int64_t channel,
                      int64_t channels);

/* conv_tile.c: `sum[r][lane]`, r < rows, becomes (first) or gains the chunks of
 * x[offset[k] + r * step] * w[k][lane], k < terms. */
typedef void tile(const float *x, int64_t step, const int64_t *offset, int64_t terms, const float *w, float *sum,
                  int first);
tile *conv_tile(int64_t rows, int64_t step, int64_t lanes);

/* conv_lanes.c: groups too narrow to fill a vector, sixteen channels of any groups side by side. */
int conv_lanes_fit(const geometry *g, int64_t per_group);
int conv_lanes_product(const image *out, const image *x, const image *w, const image *bias, const geometry *g,
                       int transposed);
int conv_lanes_weight_grad(const image *dw, const image *dy, const image *x, const geometry *g);

/* The number of vectors that n channels of one group are computed in. */
static inline int64_t lanes_for(int64_t channels) {
  return channels <= LANES ? LANES : LANES * TILE_VECTORS;
}

/* Rows of the i-th of the tiles that share `width` positions out evenly. */
static inline int64_t tiles_in(int64_t width) { return ceil_div(width, TILE_ROWS); }
static inline int64_t tile_start(int64_t width, int64_t tiles, int64_t i) {
  return i * (width / tiles) + MIN(i, width % tiles);
}

static inline int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }
static inline int64_t volume(const int64_t *size) { return size[0] * size[1] * size[2]; }

#endif
