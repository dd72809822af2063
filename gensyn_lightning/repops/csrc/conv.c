/* The forward convolution and its input gradient, which is also the forward transposed convolution.
 *
 * Both are planned here as products: the window of the source that any term can touch, one product for
 * each residue class of output positions with the terms that exist for it, and the weights packed with
 * the output's channels innermost.
 */
#include "conv_product.h"

typedef struct {
  const image *out, *source, *weight, *bias;
  const geometry *g;
  int transposed;
  int64_t groups, channels, blocks, lanes; /* of the output: per group, in blocks of lanes */
  int64_t depth, taps;                     /* channels of the source per group; taps of the kernel */
  window box;
  int64_t plane[5], phases; /* strides of the source at hand, and how rows are split in it */
  int planar;
  int64_t first, images;
  float *copy, *panel;
  product *part;
  int64_t parts;
  int *failed; /* a task found no memory */
} plan;

/* Work below this many multiplications is not worth waking threads for. */
enum { SMALL_WORK = 1 << 18, COPY_BYTES = 8 << 20, FEW_TERMS = 32 };

static void share_out(int64_t tasks, task *body, const void *arg, int64_t work) {
  if (work >= SMALL_WORK) {
    run_tasks(tasks, body, arg);
    return;
  }
  for (int64_t i = 0; i < tasks; i++) body(arg, i);
}

static void plan_window(plan *p) {
  const geometry *g = p->g;
  for (int i = 0; i < 3; i++) {
    int64_t reach = (p->weight->size[2 + i] - 1) * g->dilation[i], last = p->out->size[2 + i] - 1;
    if (!p->transposed) {
      p->box.low[i] = -g->padding[i];
      p->box.size[i] = last * g->stride[i] + reach + 1;
    } else {
      p->box.low[i] = -floor_div(reach - g->padding[i], g->stride[i]);
      p->box.size[i] = MAX(0, floor_div(last + g->padding[i], g->stride[i]) - p->box.low[i] + 1);
    }
  }
}

/* The source can be read in place when the window lies inside it and nothing has to be widened. */
static int in_place(const plan *p) {
  if (p->source->dtype != F32 || p->planar) return 0;
  for (int i = 0; i < 3; i++)
    if (p->box.low[i] < 0 || p->box.low[i] + p->box.size[i] > p->source->size[2 + i]) return 0;
  return 1;
}

static void plan_source(plan *p) {
  const int64_t *size = p->box.size;
  p->copy = NULL;
  p->phases = 1;
  p->images = p->out->size[0];
  if (in_place(p)) {
    memcpy(p->plane, p->source->stride, sizeof p->plane);
    return;
  }
  p->phases = p->transposed ? 1 : p->g->stride[2];
  int64_t row = ceil_div(size[2], p->phases) * p->phases, each = size[0] * size[1] * row;
  int64_t plane[5] = {p->source->size[1] * each, each, size[1] * row, row, 1};
  memcpy(p->plane, plane, sizeof plane);
  int64_t bytes = plane[0] * (int64_t)sizeof(float);
  p->images = MIN(p->images, MAX(1, COPY_BYTES / MAX(1, bytes)));
  p->copy = scratch(0, (size_t)(p->images * bytes) + 64 * TILE_VECTORS);
}

static const float *source_start(const plan *p) {
  if (p->copy) return p->copy;
  int64_t at = p->first * p->plane[0];
  for (int i = 0; i < 3; i++) at += p->box.low[i] * p->plane[2 + i];
  return (const float *)p->source->at + at;
}

/* Where along dimension i the tap k of class c reads, if it is a term of that class. */
static int tap(const plan *p, int i, int64_t c, int64_t k, int64_t *at) {
  const geometry *g = p->g;
  if (!p->transposed) {
    *at = k * g->dilation[i];
    return 1;
  }
  int64_t position = c + g->padding[i] - k * g->dilation[i];
  *at = floor_div(position, g->stride[i]) - p->box.low[i];
  return position % g->stride[i] == 0;
}

/* The taps of a class in ascending order: their numbers and the offsets they read at. */
static int64_t class_taps(const plan *p, const int64_t *c, int64_t *number, int64_t *offset) {
  const int64_t *k = p->weight->size + 2;
  int64_t n = 0, at[3];
  for (int64_t d = 0; d < k[0]; d++)
    for (int64_t h = 0; tap(p, 0, c[0], d, &at[0]) && h < k[1]; h++)
      for (int64_t w = 0; tap(p, 1, c[1], h, &at[1]) && w < k[2]; w++) {
        if (!tap(p, 2, c[2], w, &at[2])) continue;
        number[n] = (d * k[1] + h) * k[2] + w;
        int64_t along = at[2] % p->phases * (p->plane[3] / p->phases) + at[2] / p->phases;
        offset[n++] = at[0] * p->plane[2] + at[1] * p->plane[3] + (p->phases > 1 ? along : at[2] * p->plane[4]);
      }
  return n;
}

/* The class's own weights out of those of all taps. */
static void pick(const plan *p, float *to, const int64_t *number, int64_t taps) {
  int64_t rows = p->groups * p->blocks * p->depth, lanes = p->lanes;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t t = 0; t < taps; t++)
      memcpy(to + (r * taps + t) * lanes, p->panel + (r * p->taps + number[t]) * lanes, (size_t)lanes * sizeof *to);
}

static image class_output(const plan *p, const int64_t *c) {
  image out = *p->out;
  for (int i = 0; i < 3; i++) {
    int64_t stride = p->transposed ? p->g->stride[i] : 1;
    out.at = element(&out, c[i] * out.stride[2 + i]);
    out.size[2 + i] = ceil_div(out.size[2 + i] - c[i], stride);
    out.stride[2 + i] *= stride;
  }
  return out;
}

static void plan_class(const plan *p, product *part, const int64_t *c, int64_t *offset, int64_t *number) {
  int64_t taps = class_taps(p, c, number, offset), groups = p->groups;
  /* The first channel's offsets are in place; the other channels' follow them. */
  for (int64_t k = taps; k < p->depth * taps; k++) offset[k] = offset[k - taps] + p->plane[1];
  *part = (product){.per_group = p->depth * p->plane[1], .each = p->plane[0], .offset = offset};
  for (int i = 0; i < 3; i++) part->step[i] = p->plane[2 + i] * (p->transposed ? 1 : p->g->stride[i]);
  if (p->phases > 1) part->step[2] = 1;
  part->terms = p->depth * taps;
  part->planar = p->planar;
  part->out = class_output(p, c);
  part->groups = groups, part->channels = p->channels, part->blocks = p->blocks, part->lanes = p->lanes;
}

static int64_t class_count(const plan *p, int i) {
  return p->transposed ? MIN(p->g->stride[i], p->out->size[2 + i]) : 1;
}

/* All classes; their panels lie behind the panel of all taps, unless there is only one class. */
static void plan_classes(plan *p, int64_t *offset, int64_t *number, const float *bias) {
  int64_t rows = p->groups * p->blocks * p->lanes, terms = p->depth * p->taps;
  float *panel = p->panel + rows * terms;
  int64_t c[3];
  for (c[0] = 0; c[0] < class_count(p, 0); c[0]++)
    for (c[1] = 0; c[1] < class_count(p, 1); c[1]++)
      for (c[2] = 0; c[2] < class_count(p, 2); c[2]++) {
        product *part = &p->part[p->parts++];
        plan_class(p, part, c, offset, number);
        part->bias = bias;
        part->panel = p->panel;
        if (part->terms != terms) {
          part->panel = panel;
          pick(p, panel, number, part->terms / MAX(1, p->depth));
        }
        offset += part->terms;
        panel += part->terms != terms ? rows * part->terms : 0;
      }
}

/* Packing of the weights, a task for each block of lanes and sixteen channels of the source. */
enum { PACK_CHANNELS = 16 };

static int64_t pack_parts(const plan *p) { return ceil_div(p->depth, PACK_CHANNELS); }

static void pack_weights(const void *arg, int64_t index) {
  const plan *p = arg;
  const image *w = p->weight;
  int64_t block = index / pack_parts(p), first = index % pack_parts(p) * PACK_CHANNELS;
  int64_t depth = MIN(PACK_CHANNELS, p->depth - first), lane = block % p->blocks * p->lanes;
  int64_t group = block / p->blocks, lanes = MIN(p->lanes, p->channels - lane), taps = p->taps;
  const int64_t *s = w->stride, *k = w->size + 2;
  int64_t across = s[p->transposed], down = s[!p->transposed];
  int64_t at = lane * across + first * down + group * w->size[0] / p->groups * s[0];
  int even = s[3] == k[2] * s[4] && s[2] == k[1] * k[2] * s[4];
  float *to = p->panel + (block * p->depth + first) * taps * p->lanes;
  if (lanes < p->lanes) memset(to, 0, (size_t)(depth * taps * p->lanes) * sizeof *to);
  if (even && down == taps * s[4]) {
    conv_read(to, p->lanes, (patch){element(w, at), w->dtype, s[4], across}, depth * taps, lanes);
  } else if (even && taps > 1 && across != 1 && down != 1) {
    for (int64_t d = 0; d < depth; d++)
      conv_read(to + d * taps * p->lanes, p->lanes, (patch){element(w, at + d * down), w->dtype, s[4], across}, taps,
                lanes);
  } else {
    for (int64_t t = 0; t < taps; t++) {
      int64_t tap_at = at + t / (k[1] * k[2]) * s[2] + t / k[2] % k[1] * s[3] + t % k[2] * s[4];
      conv_read(to + t * p->lanes, taps * p->lanes, (patch){element(w, tap_at), w->dtype, down, across}, depth,
                lanes);
    }
  }
}

static void pack_bias(const plan *p, float *to) {
  int64_t blocks = p->groups * p->blocks;
  memset(to, 0, (size_t)(blocks * p->lanes) * sizeof *to);
  for (int64_t b = 0; b < blocks; b++) {
    int64_t lane = b % p->blocks * p->lanes, channel = b / p->blocks * p->channels + lane;
    patch from = {element(p->bias, channel * p->bias->stride[0]), p->bias->dtype, 0, p->bias->stride[0]};
    conv_read(to + b * p->lanes, p->lanes, from, 1, MIN(p->lanes, p->channels - lane));
  }
}

static int64_t copy_parts(const plan *p) { return ceil_div(p->source->size[1], PACK_CHANNELS); }

static void copy_source(const void *arg, int64_t index) {
  const plan *p = arg;
  int64_t n = index / copy_parts(p), channel = index % copy_parts(p) * PACK_CHANNELS;
  int64_t channels = MIN(PACK_CHANNELS, p->source->size[1] - channel);
  float *to = p->copy + n * p->plane[0] + channel * p->plane[1];
  conv_window_planes(to, p->source, &p->box, p->phases, p->first + n, channel, channels);
}

/* The blocks are divided too where positions alone are too few for the threads. */
static int64_t divide(const plan *p, product *part, int64_t images) {
  conv_product_divide(part, images);
  int64_t tasks = ceil_div(part->units, part->share), wanted = threads_max() > 1 ? 3 * threads_max() : 1;
  part->parts = MAX(1, MIN(p->groups * p->blocks, wanted / tasks));
  return part->parts * tasks;
}

static void run_part(const void *arg, int64_t index) {
  const plan *p = arg;
  for (int64_t i = 0; i < p->parts; i++) {
    const product *part = &p->part[i];
    int64_t parts = part->parts, tasks = parts * ceil_div(part->units, part->share);
    if (index >= tasks) {
      index -= tasks;
      continue;
    }
    int64_t blocks = p->groups * p->blocks, unit = index / parts * part->share;
    int64_t block = tile_start(blocks, parts, index % parts);
    if (conv_product_run(part, unit, MIN(part->share, part->units - unit), block,
                         tile_start(blocks, parts, index % parts + 1) - block))
      *p->failed = 1;
    return;
  }
}

/* A few images at a time, so that their padded copies stay near the processor. */
static void run_images(plan *p) {
  for (p->first = 0; p->first < p->out->size[0]; p->first += p->images) {
    int64_t images = MIN(p->images, p->out->size[0] - p->first), tasks = 0, work = 0;
    if (p->copy) share_out(images * copy_parts(p), copy_source, p, images * p->plane[0] * 8);
    for (int64_t i = 0; i < p->parts; i++) {
      product *part = &p->part[i];
      part->source = source_start(p);
      tasks += divide(p, part, images);
      work += images * volume(part->out.size + 2) * part->terms * p->channels * p->groups;
    }
    share_out(tasks, run_part, p, work);
    for (int64_t i = 0; i < p->parts; i++)
      p->part[i].out.at = element(&p->part[i].out, images * p->out->stride[0]);
  }
}

/* Positions in the lanes need rows of neighbouring outputs, nearly whole vectors of them. It pays where
 * there are few channels to fill lanes with, or so few terms that turning the tiles round would show. */
static int planar(const plan *p) {
  int64_t width = p->out->size[4], terms = p->depth * volume(p->weight->size + 2);
  if (p->out->dtype != F32 || p->out->stride[4] != 1 || (p->transposed && p->g->stride[2] > 1)) return 0;
  return 4 * width >= 3 * LANES * ceil_div(width, LANES) && (p->channels <= PLANAR_ROWS || terms <= FEW_TERMS);
}

static int convolve(plan *p) {
  const geometry *g = p->g;
  int64_t classes = class_count(p, 0) * class_count(p, 1) * class_count(p, 2);
  p->taps = volume(p->weight->size + 2);
  p->lanes = p->planar && p->channels <= PLANAR_ROWS ? p->channels : lanes_for(p->channels);
  p->blocks = ceil_div(p->channels, p->lanes);
  plan_window(p);
  plan_source(p);
  int64_t lanes = g->groups * p->blocks * p->lanes, terms = p->depth * p->taps;
  p->panel = scratch(1, (size_t)(lanes * terms * (classes > 1 ? 2 : 1)) * sizeof(float) + 64);
  size_t bytes = (size_t)classes * sizeof(product) + (size_t)(terms + 2 * p->taps) * 8 + (size_t)lanes * 4 + 64;
  p->part = scratch(2, bytes);
  if (!p->panel || !p->part || (!p->copy && !in_place(p))) return NO_MEMORY;
  int64_t *number = (int64_t *)(p->part + classes), *offset = number + p->taps;
  float *bias = (float *)(offset + terms + p->taps);
  share_out(g->groups * p->blocks * pack_parts(p), pack_weights, p, lanes * terms * 8);
  if (p->bias) pack_bias(p, bias);
  plan_classes(p, offset, number, p->bias ? bias : NULL);
  int failed = 0;
  p->failed = &failed;
  run_images(p);
  return failed ? NO_MEMORY : DONE;
}

static int product_of(const image *out, const image *source, const image *w, const image *bias, const geometry *g,
                      int transposed) {
  for (int i = 0; i < 5; i++)
    if (!out->size[i]) return DONE;
  plan p = {.out = out, .source = source, .weight = w, .bias = bias, .g = g, .transposed = transposed};
  p.groups = g->groups, p.channels = out->size[1] / g->groups, p.depth = source->size[1] / g->groups;
  p.planar = planar(&p);
  if (!p.planar && conv_lanes_fit(g, p.channels)) return conv_lanes_product(out, source, w, bias, g, transposed);
  return convolve(&p);
}

static int open_bias(const layout *l, void *const *data, image *bias, int64_t channels) {
  const view *v = &l->view[3];
  if (v->rank != 1 || v->size[0] != channels || (v->dtype != F32 && v->dtype != F16 && v->dtype != BF16))
    return BAD_LAYOUT;
  *bias = (image){.at = data[3], .dtype = v->dtype, .size = {v->size[0]}, .stride = {v->stride[0]}};
  return DONE;
}

/* views: out, x, w and perhaps bias; params: stride[3], padding[3], dilation[3], groups, has_bias. */
EXPORT int repops_conv_forward(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  image out, x, w, bias;
  geometry g;
  if (l->views < 3 || conv_geometry(l, &g)) return BAD_LAYOUT;
  if (conv_open(l, data, 0, &out) || conv_open(l, data, 1, &x) || conv_open(l, data, 2, &w)) return BAD_LAYOUT;
  if (!conv_fits(&x, &out, &w, &g) || (g.biased && open_bias(l, data, &bias, out.size[1]))) return BAD_LAYOUT;
  return product_of(&out, &x, &w, g.biased ? &bias : NULL, &g, 0);
}

/* views: dx, dy, w and perhaps a bias, as in a transposed convolution; the same params. */
EXPORT int repops_conv_input_grad(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  image dx, dy, w, bias;
  geometry g;
  if (l->views < 3 || conv_geometry(l, &g)) return BAD_LAYOUT;
  if (conv_open(l, data, 0, &dx) || conv_open(l, data, 1, &dy) || conv_open(l, data, 2, &w)) return BAD_LAYOUT;
  if (!conv_fits(&dx, &dy, &w, &g) || (g.biased && open_bias(l, data, &bias, dx.size[1]))) return BAD_LAYOUT;
  return product_of(&dx, &dy, &w, g.biased ? &bias : NULL, &g, 1);
}
