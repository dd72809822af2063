/* The weight gradient where groups are too narrow to fill a vector: see conv_lanes.c.
 *
 * Lanes are output channels of any groups, terms are positions, and the taps of one kernel are computed side
 * by side. Images come in bands of rows; a chain that is not finished at a band's end waits in memory.
 */
#include "conv_lanes.h"

enum { TAPS_MAX = 12, BAND = 512 };

typedef struct {
  const image *dw, *dy, *x;
  const geometry *g;
  int64_t per_group, depth, blocks, taps, parts, band;
  int failed;
} plan;

/* One task: some taps of one input channel (within the group) for one block of lanes. */
typedef struct {
  const plan *p;
  int64_t block, j, first, taps, offset[TAPS_MAX];
  float part[TAPS_MAX][LANES], sum[TAPS_MAX][LANES]; /* the running chain and the chunks before it */
  int64_t term;                     /* how many terms have been taken */
} kernel_sum;

INLINE void taps_chain(int taps, kernel_sum *k, const float *x, int64_t step, const float *dy, int64_t count) {
  for (int64_t j = 0; j < LANES; j += NARROW_LANES) {
    nf sum[TAPS_MAX];
#pragma GCC unroll 12
    for (int t = 0; t < taps; t++) sum[t] = n_load(k->part[t] + j);
    for (int64_t i = 0; i < count; i++) {
      nf b = n_load(dy + i * LANES + j);
#pragma GCC unroll 12
      for (int t = 0; t < taps; t++) sum[t] = n_fma(n_load(x + i * step + k->offset[t] + j), b, sum[t]);
    }
#pragma GCC unroll 12
    for (int t = 0; t < taps; t++) n_store(k->part[t] + j, sum[t]);
  }
}

static void chain(kernel_sum *k, const float *x, int64_t step, const float *dy, int64_t count) {
  switch (k->taps) {
    case 1: taps_chain(1, k, x, step, dy, count); break;
    case 2: taps_chain(2, k, x, step, dy, count); break;
    case 3: taps_chain(3, k, x, step, dy, count); break;
    case 4: taps_chain(4, k, x, step, dy, count); break;
    case 5: taps_chain(5, k, x, step, dy, count); break;
    case 6: taps_chain(6, k, x, step, dy, count); break;
    case 7: taps_chain(7, k, x, step, dy, count); break;
    case 8: taps_chain(8, k, x, step, dy, count); break;
    case 9: taps_chain(9, k, x, step, dy, count); break;
    case 10: taps_chain(10, k, x, step, dy, count); break;
    case 11: taps_chain(11, k, x, step, dy, count); break;
    default: taps_chain(12, k, x, step, dy, count); break;
  }
}

static void end_chunk(kernel_sum *k) {
  for (int64_t t = 0; t < k->taps; t++)
    for (int l = 0; l < LANES; l++) {
      k->sum[t][l] = k->term <= CHUNK ? k->part[t][l] : k->sum[t][l] + k->part[t][l];
      k->part[t][l] = 0;
    }
}

/* A row of positions, cut where chunks end. */
static void take_row(kernel_sum *k, const float *x, int64_t step, const float *dy, int64_t width) {
  for (int64_t i = 0, count; i < width; i += count) {
    count = MIN(width - i, CHUNK - k->term % CHUNK);
    chain(k, x + i * step, step, dy + i * LANES, count);
    k->term += count;
    if (k->term % CHUNK == 0) end_chunk(k);
  }
}

static void set_offsets(kernel_sum *k, const window *box) {
  const int64_t *size = k->p->dw->size + 2, *dilation = k->p->g->dilation, *b = box->size;
  for (int64_t t = 0; t < k->taps; t++) {
    int64_t tap = k->first + t;
    int64_t d = tap / (size[1] * size[2]) * dilation[0], h = tap / size[2] % size[1] * dilation[1];
    k->offset[t] = ((d * b[1] + h) * b[2] + tap % size[2] * dilation[2]) * LANES;
  }
}

static int take_band(kernel_sum *k, int64_t n, int64_t d, int64_t first, int64_t rows) {
  const plan *p = k->p;
  int64_t width = p->dy->size[4], channel = k->block * LANES, lanes = MIN(LANES, p->dw->size[0] - channel);
  window box, out = {{d, first, 0}, {1, rows, width}};
  conv_reach(&box, p->g, p->dw, 0, 0, d, d);
  conv_reach(&box, p->g, p->dw, 0, 1, first, first + rows - 1);
  conv_reach(&box, p->g, p->dw, 0, 2, 0, width - 1);
  spread s = {p->per_group, p->depth, channel, lanes};
  int64_t gradient = rows * width * LANES;
  float *dy = scratch(3, conv_lay_out_bytes(&box, &s, 1) + (size_t)gradient * sizeof(float) + 64);
  if (!dy) return NO_MEMORY;
  float *x = dy + gradient;
  conv_window_last(dy, LANES, p->dy, &out, n, channel, lanes);
  conv_lay_out(x, p->x, &box, n, &s, k->j, 1);
  set_offsets(k, &box);
  for (int64_t r = 0; r < rows; r++)
    take_row(k, x + r * p->g->stride[1] * box.size[2] * LANES, p->g->stride[2] * LANES, dy + r * width * LANES, width);
  return DONE;
}

static void put(kernel_sum *k) {
  const image *dw = k->p->dw;
  const int64_t *s = dw->stride, *size = dw->size + 2;
  int64_t channel = k->block * LANES, lanes = MIN(LANES, dw->size[0] - channel);
  for (int64_t t = 0; t < k->taps; t++) {
    int64_t tap = k->first + t, at = channel * s[0] + k->j * s[1] + tap / (size[1] * size[2]) * s[2] +
                                     tap / size[2] % size[1] * s[3] + tap % size[2] * s[4];
    conv_write((patch){element(dw, at), dw->dtype, 1, s[0]}, k->sum[t], LANES, 1, lanes);
  }
}

static void kernel_task(const void *arg, int64_t index) {
  plan *p = (plan *)arg;
  int64_t part = index % p->parts, rest = index / p->parts, first = tile_start(p->taps, p->parts, part);
  kernel_sum k = {.p = p, .block = rest / p->depth, .j = rest % p->depth, .first = first};
  k.taps = tile_start(p->taps, p->parts, part + 1) - first;
  const int64_t *size = p->dy->size;
  for (int64_t n = 0; n < size[0]; n++)
    for (int64_t d = 0; d < size[2]; d++)
      for (int64_t h = 0; h < size[3]; h += p->band)
        if (take_band(&k, n, d, h, MIN(p->band, size[3] - h))) {
          p->failed = 1;
          return;
        }
  if (k.term % CHUNK) end_chunk(&k);
  put(&k);
}

int conv_lanes_weight_grad(const image *dw, const image *dy, const image *x, const geometry *g) {
  plan p = {.dw = dw, .dy = dy, .x = x, .g = g};
  p.per_group = dw->size[0] / g->groups, p.depth = dw->size[1], p.taps = volume(dw->size + 2);
  p.blocks = ceil_div(dw->size[0], LANES);
  p.band = MIN(dy->size[3], MAX(1, BAND / dy->size[4]));
  int64_t tasks = p.blocks * p.depth, threads = threads_max();
  p.parts = MAX(ceil_div(p.taps, TAPS_MAX), MIN(p.taps, tasks < threads ? ceil_div(threads, tasks) : 1));
  run_tasks(tasks * p.parts, kernel_task, &p);
  return p.failed ? NO_MEMORY : DONE;
}
