/* Runs a product with positions in the lanes: a few channels by one or two vectors of neighbouring outputs.
 *
 * Nothing has to be turned round on the way out, so this is the shape for depthwise convolutions, for few
 * output channels and for first layers with their handful of terms. Source rows are copies of ours, and
 * reading past a row's end reads the next one: such lanes are never stored.
 */
#include "conv_product.h"

enum { BAND_POSITIONS = 1024, PLANAR_PARTS = TILE_VECTORS * NARROW, STRIP = TILE_VECTORS };

/* Units are bands of rows of one image. */
void conv_planar_divide(product *p, int64_t images) {
  int64_t band = MIN(p->out.size[3], MAX(1, BAND_POSITIONS / p->out.size[4]));
  p->segments = ceil_div(p->out.size[3], band);
  p->units = images * p->out.size[2] * p->segments;
  p->share = 1;
}

/* Channels of one block over a band. */
typedef struct {
  const product *p;
  const float *x, *w, *bias;
  float *out;
  int64_t rows;
} band;

INLINE void sums(int channels, int parts, const product *p, const float *x, const float *w,
                 nf (*sum)[PLANAR_PARTS]) {
  for (int64_t k = 0; k < p->terms; k += CHUNK) {
    nf made[PLANAR_ROWS][PLANAR_PARTS];
#pragma GCC unroll 8
    for (int r = 0; r < channels; r++)
#pragma GCC unroll 4
      for (int j = 0; j < parts; j++) made[r][j] = (nf){0};
    for (int64_t i = k; i < MIN(p->terms, k + CHUNK); i++) {
      nf a[PLANAR_PARTS];
#pragma GCC unroll 4
      for (int j = 0; j < parts; j++) a[j] = n_load(x + p->offset[i] + NARROW_LANES * j);
#pragma GCC unroll 8
      for (int r = 0; r < channels; r++) {
        nf b = n_all(w[i * p->lanes + r]);
#pragma GCC unroll 4
        for (int j = 0; j < parts; j++) made[r][j] = n_fma(a[j], b, made[r][j]);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < channels; r++)
#pragma GCC unroll 4
      for (int j = 0; j < parts; j++) sum[r][j] = k ? sum[r][j] + made[r][j] : made[r][j];
  }
}

INLINE void piece(int channels, int parts, const band *b, const float *x, float *out, int64_t width) {
  nf sum[PLANAR_ROWS][PLANAR_PARTS] = {0};
  sums(channels, parts, b->p, x, b->w, sum);
#pragma GCC unroll 8
  for (int r = 0; r < channels; r++)
#pragma GCC unroll 4
    for (int j = 0; j < parts; j++) {
      nf v = b->bias ? sum[r][j] + n_all(b->bias[r]) : sum[r][j];
      n_store_some(out + r * b->p->out.stride[1] + NARROW_LANES * j, n_canonical(v), width - NARROW_LANES * j);
    }
}

INLINE void run_band(int channels, const band *b) {
  int64_t width = b->p->out.size[4];
  for (int64_t h = 0; h < b->rows; h++) {
    const float *x = b->x + h * b->p->step[1];
    float *out = b->out + h * b->p->out.stride[3];
    int64_t i = 0;
    for (; width - i > LANES * (TILE_VECTORS - 1); i += LANES * TILE_VECTORS)
      piece(channels, PLANAR_PARTS, b, x + i, out + i, width - i);
    if (i < width) piece(channels, NARROW, b, x + i, out + i, width - i);
  }
}

/* Whether the terms are three by three taps of one channel, each row of taps one output row from the last. */
static int is_three_by_three(const product *p) {
  const int64_t *o = p->offset;
  if (p->channels != 1 || p->terms != 9 || (o[3] - o[0] != p->step[1] && o[0] - o[3] != p->step[1])) return 0;
  for (int k = 0; k < 9; k++)
    if (o[k] - o[k % 3] != k / 3 * (o[3] - o[0])) return 0;
  return 1;
}

/* Three by three taps down (or up) a strip of columns: three output rows are under way, and a source row, loaded
 * once, is the last row of taps for the first of them, the middle one for the second, the first for the third. */
INLINE void three_by_three(const band *b, int parts, int64_t column) {
  const product *p = b->p;
  const int64_t *o = p->offset, down = o[3] - o[0], way = down == p->step[1] ? 1 : -1;
  int64_t first = way > 0 ? 0 : b->rows - 1, left = p->out.size[4] - column;
  const float *x = b->x + first * p->step[1] + column;
  nf w[9], sum[3][STRIP] = {{{0}}};
  for (int k = 0; k < 9; k++) w[k] = n_all(b->w[k * p->lanes]);
  for (int64_t r = 0; r < b->rows + 2; r++, x += down) {
    float *out = b->out + (first + way * (r - 2)) * p->out.stride[3] + column;
#pragma GCC unroll 2
    for (int j = 0; j < parts; j++) {
      sum[2][j] = sum[1][j], sum[1][j] = sum[0][j], sum[0][j] = (nf){0};
#pragma GCC unroll 3
      for (int k = 0; k < 3; k++) {
        nf a = n_load(x + o[k] + NARROW_LANES * j);
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) sum[i][j] = n_fma(a, w[3 * i + k], sum[i][j]);
      }
      if (r < 2) continue;
      nf v = b->bias ? sum[2][j] + n_all(*b->bias) : sum[2][j];
      n_store_some(out + NARROW_LANES * j, n_canonical(v), left - NARROW_LANES * j);
    }
  }
}

static void run_three_by_three(const band *b) {
  int64_t width = b->p->out.size[4], i = 0;
  for (; width - i > NARROW_LANES * (STRIP - 1); i += NARROW_LANES * STRIP) three_by_three(b, STRIP, i);
  for (; i < width; i += NARROW_LANES) three_by_three(b, 1, i);
}

static void run_channels(const band *b, int64_t channels) {
  switch (channels) {
    case 1: run_band(1, b); break;
    case 2: run_band(2, b); break;
    case 3: run_band(3, b); break;
    case 4: run_band(4, b); break;
#if defined(__AVX512F__)
    case 5: run_band(5, b); break;
    case 6: run_band(6, b); break;
    case 7: run_band(7, b); break;
    case 8: run_band(8, b); break;
#endif
  }
}

void conv_planar_run(const product *p, int64_t unit, int64_t units, int64_t block, int64_t blocks) {
  const int64_t *size = p->out.size, *stride = p->out.stride;
  int64_t each = MIN(size[3], MAX(1, BAND_POSITIONS / size[4]));
  int square = is_three_by_three(p);
  for (int64_t u = unit; u < unit + units; u++) {
    int64_t h = u % p->segments * each, d = u / p->segments % size[2], n = u / p->segments / size[2];
    for (int64_t i = block; i < block + blocks; i++) {
      int64_t group = i / p->blocks, lane = i % p->blocks * p->lanes, lanes = MIN(p->lanes, p->channels - lane);
      int64_t at = n * stride[0] + (group * p->channels + lane) * stride[1] + d * stride[2] + h * stride[3];
      band b = {p, p->source + n * p->each + group * p->per_group + d * p->step[0] + h * p->step[1],
                p->panel + i * p->terms * p->lanes, p->bias ? p->bias + i * p->lanes : NULL,
                (float *)p->out.at + at, MIN(each, size[3] - h)};
      for (int64_t r = 0, some; r < lanes; r += some) {
        some = MIN(PLANAR_ROWS, lanes - r);
        if (square)
          run_three_by_three(&b);
        else
          run_channels(&b, some);
        b.w += some, b.bias += b.bias ? some : 0, b.out += some * stride[1];
      }
    }
  }
}
