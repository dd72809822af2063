/* The weight gradient: terms are positions of the output, in chunks that run through all images.
 *
 * The input is laid out with channels innermost, so that the weights of one tap (or of a whole row of
 * taps) are a run of neighbouring values at every position: the rows of a tile. The output's gradient is
 * packed in panels of lanes. A chunk of positions goes through every tile before the next one begins,
 * while its two operands stay near the processor; the sums of all tiles wait in memory.
 */
#include "conv.h"

typedef struct {
  const image *dw, *dy, *x;
  const geometry *g;
  int64_t channels, blocks, lanes, depth, positions; /* per group: outputs and inputs; per image: positions */
  window box;
  int64_t step[5];                      /* of the input at hand: image, channel, d, h, w */
  int64_t run, runs, tiles, rows;       /* rows of tiles: runs of `run` rows in `tiles` tiles each */
  int64_t parts;                        /* tasks that share a block's tiles out */
  int64_t begin, end, capacity, images; /* the positions at hand, and the image the first lies in */
  const float *source;
  float *copy, *panel, *sum;
  int64_t *offset;
} plan;

enum { GROUP_BYTES = 8 << 20, COPY_CHANNELS = 16 };

static int64_t all_blocks(const plan *p) { return p->g->groups * p->blocks; }

/* With channels innermost and no padding the input is read where it is. */
static int in_place(const plan *p) {
  const image *x = p->x;
  if (x->dtype != F32 || x->stride[1] != 1) return 0;
  for (int i = 0; i < 3; i++)
    if (p->box.low[i] < 0 || p->box.low[i] + p->box.size[i] > x->size[2 + i]) return 0;
  return 1;
}

static void plan_shapes(plan *p) {
  const geometry *g = p->g;
  const int64_t *k = p->dw->size + 2, *o = p->dy->size + 2;
  p->channels = p->dw->size[0] / g->groups, p->depth = p->dw->size[1];
  p->lanes = lanes_for(p->channels), p->blocks = ceil_div(p->channels, p->lanes);
  p->positions = volume(o), p->rows = volume(k) * p->depth;
  for (int i = 0; i < 3; i++) {
    p->box.low[i] = -g->padding[i];
    p->box.size[i] = (o[i] - 1) * g->stride[i] + (k[i] - 1) * g->dilation[i] + 1;
  }
  const int64_t *b = p->box.size, c = p->x->size[1];
  int64_t step[5] = {volume(b) * c, 1, b[1] * b[2] * c, b[2] * c, c};
  memcpy(p->step, in_place(p) ? p->x->stride : step, sizeof step);
  int joined = g->dilation[2] == 1 && p->step[4] == p->depth;
  p->run = joined ? k[2] * p->depth : p->depth;
  p->runs = p->rows / p->run;
  p->tiles = tiles_in(p->run);
  int64_t wanted = threads_max() > 1 ? ceil_div(4 * threads_max(), all_blocks(p)) : 1;
  p->parts = MIN(wanted, p->runs * p->tiles);
}

/* How many positions to take at a time: whole chunks, as many as leave their copies small. */
static int plan_memory(plan *p) {
  int64_t total = p->dy->size[0] * p->positions, image_bytes = in_place(p) ? 0 : p->step[0] * 4;
  int64_t each = all_blocks(p) * p->lanes * 4 + 8 + image_bytes / p->positions;
  p->capacity = MIN(ceil_div(total, CHUNK), MAX(1, GROUP_BYTES / each / CHUNK)) * CHUNK;
  p->images = MIN(p->dy->size[0], (p->capacity - 1) / p->positions + 2);
  p->copy = in_place(p) ? NULL : scratch(0, (size_t)(p->images * image_bytes) + 64);
  p->panel = scratch(1, (size_t)(p->capacity * all_blocks(p) * p->lanes) * 4);
  p->offset = scratch(2, (size_t)p->capacity * 8 + (size_t)(all_blocks(p) * p->rows * p->lanes) * 4);
  p->sum = (float *)(p->offset + p->capacity);
  return (in_place(p) || p->copy) && p->panel && p->offset ? DONE : NO_MEMORY;
}

static int64_t copy_parts(const plan *p) { return ceil_div(p->x->size[1], COPY_CHANNELS); }
static int64_t first_image(const plan *p) { return p->begin / p->positions; }

static void copy_input(const plan *p, int64_t index) {
  int64_t n = index / copy_parts(p), channel = index % copy_parts(p) * COPY_CHANNELS;
  conv_window_last(p->copy + n * p->step[0] + channel, p->step[4], p->x, &p->box, first_image(p) + n, channel,
                   MIN(COPY_CHANNELS, p->x->size[1] - channel));
}

/* The positions of one image that are at hand, row by row, or all at once where rows continue each other. */
static void copy_gradient(const plan *p, int64_t block, int64_t n) {
  const image *dy = p->dy;
  const int64_t *s = dy->stride, *o = dy->size + 2;
  int joined = (o[1] == 1 || s[3] == o[2] * s[4]) && (o[0] == 1 || s[2] == o[1] * o[2] * s[4]);
  int64_t width = joined ? p->positions : o[2], lane = block % p->blocks * p->lanes;
  int64_t lanes = MIN(p->lanes, p->channels - lane), channel = block / p->blocks * p->channels + lane;
  int64_t from = MAX(p->begin - n * p->positions, 0), to = MIN(p->end - n * p->positions, p->positions);
  for (int64_t q = from, count; q < to; q += count) {
    count = MIN(width - q % width, to - q);
    int64_t row = q / width, at = n * s[0] + channel * s[1] + q % width * s[4];
    if (!joined) at += row / o[1] * s[2] + row % o[1] * s[3];
    float *into = p->panel + (block * p->capacity + n * p->positions + q - p->begin) * p->lanes;
    if (lanes < p->lanes) memset(into, 0, (size_t)(count * p->lanes) * sizeof *into);
    conv_read(into, p->lanes, (patch){element(dy, at), dy->dtype, s[4], s[1]}, count, lanes);
  }
}

static int64_t images_at_hand(const plan *p) { return (p->end - 1) / p->positions - first_image(p) + 1; }

static void copy_task(const void *arg, int64_t index) {
  const plan *p = arg;
  int64_t images = images_at_hand(p), gradients = all_blocks(p) * images;
  if (index < gradients)
    copy_gradient(p, index / images, first_image(p) + index % images);
  else
    copy_input(p, index - gradients);
}

static void find_positions(const plan *p) {
  const int64_t *o = p->dy->size + 2, *s = p->g->stride;
  int64_t q = p->begin % p->positions, n = 0, w = q % o[2], row = q / o[2], along = s[2] * p->step[4];
  for (int64_t i = 0, total = p->end - p->begin; i < total; w = 0) {
    int64_t d = row / o[1], h = row % o[1], count = MIN(o[2] - w, total - i);
    int64_t at = n * p->step[0] + d * s[0] * p->step[2] + h * s[1] * p->step[3] + w * along;
    for (int64_t j = 0; j < count; j++) p->offset[i + j] = at + j * along;
    i += count;
    if (++row == o[0] * o[1]) row = 0, n++;
  }
}

/* Where a run of rows begins in the input, from the position's own place. */
static int64_t run_offset(const plan *p, int64_t run) {
  const int64_t *k = p->dw->size + 2, *dilation = p->g->dilation;
  int64_t tap = run * p->run / p->depth;
  return tap / (k[1] * k[2]) * dilation[0] * p->step[2] + tap / k[2] % k[1] * dilation[1] * p->step[3] +
         tap % k[2] * dilation[2] * p->step[4];
}

static void sum_task(const void *arg, int64_t index) {
  const plan *p = arg;
  int64_t parts = p->parts, block = index / parts, all = p->runs * p->tiles;
  int64_t from = tile_start(all, parts, index % parts), to = tile_start(all, parts, index % parts + 1);
  const float *x = p->source + block / p->blocks * p->depth;
  for (int64_t q = p->begin; q < p->end; q += CHUNK)
    for (int64_t i = from; i < to; i++) {
      int64_t run = i / p->tiles, start = tile_start(p->run, p->tiles, i % p->tiles);
      int64_t rows = tile_start(p->run, p->tiles, i % p->tiles + 1) - start;
      conv_tile(rows, 1, p->lanes)(x + run_offset(p, run) + start, 1, p->offset + (q - p->begin),
                                   MIN(CHUNK, p->end - q), p->panel + (block * p->capacity + q - p->begin) * p->lanes,
                                   p->sum + (block * p->rows + run * p->run + start) * p->lanes, q == 0);
    }
}

/* The sums of one block to the weights' own layout: input channel by channel where their taps are
 * neighbours in memory, else tap by tap. */
static void write_task(const void *arg, int64_t block) {
  const plan *p = arg;
  const image *dw = p->dw;
  const int64_t *s = dw->stride, *k = dw->size + 2;
  int64_t taps = volume(k), lane = block % p->blocks * p->lanes, lanes = MIN(p->lanes, p->channels - lane);
  int64_t at = (block / p->blocks * p->channels + lane) * s[0];
  float *sum = p->sum + block * p->rows * p->lanes;
  if (taps > 1 && s[4] == 1 && s[3] == k[2] && s[2] == k[1] * k[2]) {
    for (int64_t c = 0; c < p->depth; c++)
      conv_write((patch){element(dw, at + c * s[1]), dw->dtype, 1, s[0]}, sum + c * p->lanes, p->depth * p->lanes,
                 taps, lanes);
    return;
  }
  for (int64_t t = 0; t < taps; t++) {
    int64_t tap = t / (k[1] * k[2]) * s[2] + t / k[2] % k[1] * s[3] + t % k[2] * s[4];
    conv_write((patch){element(dw, at + tap), dw->dtype, s[1], s[0]}, sum + t * p->depth * p->lanes, p->lanes,
               p->depth, lanes);
  }
}

static void share_out(int64_t tasks, task *body, const void *arg, int small) {
  if (!small) {
    run_tasks(tasks, body, arg);
    return;
  }
  for (int64_t i = 0; i < tasks; i++) body(arg, i);
}

static void sum_all(plan *p) {
  int64_t total = p->dy->size[0] * p->positions;
  int small = total * p->rows * p->channels * p->g->groups < 1 << 18;
  for (p->begin = 0; p->begin < total; p->begin = p->end) {
    p->end = MIN(total, p->begin + p->capacity);
    int64_t at = first_image(p) * p->step[0];
    for (int i = 0; i < 3; i++) at += p->box.low[i] * p->step[2 + i];
    p->source = p->copy ? p->copy : (const float *)p->x->at + at;
    find_positions(p);
    int64_t images = images_at_hand(p), inputs = p->copy ? images * copy_parts(p) : 0;
    share_out(all_blocks(p) * images + inputs, copy_task, p, small);
    share_out(all_blocks(p) * p->parts, sum_task, p, small);
  }
  share_out(all_blocks(p), write_task, p, small);
}

static int zero(const image *dw) {
  float nothing[1] = {0};
  for (int64_t i = 0; i < dw->size[0] * dw->size[1] * volume(dw->size + 2); i++) {
    int64_t at = 0, rest = i;
    for (int j = 4; j >= 0; rest /= dw->size[j--]) at += rest % dw->size[j] * dw->stride[j];
    conv_write((patch){element(dw, at), dw->dtype, 1, 1}, nothing, 1, 1, 1);
  }
  return DONE;
}

/* views: dw, dy, x; params: stride[3], padding[3], dilation[3], groups, has_bias 0. */
EXPORT int repops_conv_weight_grad(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  image dw, dy, x;
  geometry g;
  if (l->views < 3 || conv_geometry(l, &g)) return BAD_LAYOUT;
  if (conv_open(l, data, 0, &dw) || conv_open(l, data, 1, &dy) || conv_open(l, data, 2, &x)) return BAD_LAYOUT;
  if (!conv_fits(&x, &dy, &dw, &g)) return BAD_LAYOUT;
  if (dw.size[0] * dw.size[1] * volume(dw.size + 2) == 0) return DONE;
  if (dy.size[0] * volume(dy.size + 2) == 0) return zero(&dw);
  if (conv_lanes_fit(&g, dw.size[0] / g.groups)) return conv_lanes_weight_grad(&dw, &dy, &x, &g);
  plan p = {.dw = &dw, .dy = &dy, .x = &x, .g = &g};
  plan_shapes(&p);
  if (plan_memory(&p)) return NO_MEMORY;
  sum_all(&p);
  return DONE;
}
