/* Convolutions whose groups are too narrow to fill a vector: depthwise ones above all.
 *
 * Sixteen output channels stand side by side in the lanes, whichever groups they belong to; the source
 * is laid out so that every lane finds the channel of its own group. A term is then one vector of
 * source values times one vector of weights, at any stride or dilation.
 */
#include "conv_lanes.h"

int conv_lanes_fit(const geometry *g, int64_t per_group) { return g->groups > 1 && per_group < LANES; }

typedef struct {
  int64_t source, weight;
} term;

void conv_reach(window *box, const geometry *g, const image *w, int transposed, int i, int64_t first, int64_t last) {
  int64_t far = (w->size[2 + i] - 1) * g->dilation[i], s = g->stride[i];
  if (!transposed) {
    box->low[i] = first * s - g->padding[i];
    box->size[i] = (last - first) * s + far + 1;
    return;
  }
  box->low[i] = -floor_div(far - first - g->padding[i], s);
  box->size[i] = MAX(0, floor_div(last + g->padding[i], s) - box->low[i] + 1);
}

static int64_t spread_first(const spread *s) { return s->first / s->per_group * s->depth; }
static int64_t spread_count(const spread *s) {
  return (s->first + s->lanes - 1) / s->per_group * s->depth + s->depth - spread_first(s);
}

/* to[i][lane] = from[i][index[lane]]. */
static void expand(float *to, const float *from, int64_t pitch, int64_t count, const int32_t *index) {
#if defined(__AVX512F__)
  if (pitch <= LANES) {
    __m512i lanes = _mm512_loadu_si512(index);
    __mmask16 some = (__mmask16)((1u << pitch) - 1);
    for (int64_t i = 0; i < count; i++)
      _mm512_storeu_ps(to + i * LANES, _mm512_permutexvar_ps(lanes, _mm512_maskz_loadu_ps(some, from + i * pitch)));
    return;
  }
#endif
  for (int64_t i = 0; i < count; i++)
    for (int l = 0; l < LANES; l++) to[i * LANES + l] = from[i * pitch + index[l]];
}

void conv_lay_out(float *to, const image *v, const window *box, int64_t n, const spread *s, int64_t j, int64_t js) {
  int64_t plane = volume(box->size), count = spread_count(s), first = spread_first(s);
  if (s->per_group == 1 && s->depth == 1) {
    conv_window_last(to, LANES, v, box, n, first, count);
    return;
  }
  float *spare = to + js * plane * LANES;
  conv_window_last(spare, count, v, box, n, first, count);
  for (int64_t i = j; i < j + js; i++) {
    int32_t index[LANES] = {0};
    for (int64_t l = 0; l < s->lanes; l++) index[l] = (int32_t)((s->first + l) / s->per_group * s->depth - first + i);
    expand(to + (i - j) * plane * LANES, spare, count, plane, index);
  }
}

size_t conv_lay_out_bytes(const window *box, const spread *s, int64_t js) {
  return (size_t)(volume(box->size) * (js * LANES + spread_count(s))) * sizeof(float);
}

INLINE void lanes_chain(int rows, const float *x, int64_t step, const term *terms, int64_t count, const float *w,
                        float *out, int64_t out_step) {
  for (int64_t k = 0; k < count; k += CHUNK) {
    nf sum[8];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) sum[r] = (nf){0};
    for (int64_t i = k; i < MIN(count, k + CHUNK); i++) {
      nf b = n_load(w + terms[i].weight);
#pragma GCC unroll 8
      for (int r = 0; r < rows; r++) sum[r] = n_fma(n_load(x + terms[i].source + r * step), b, sum[r]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
      n_store(out + r * out_step, k ? n_load(out + r * out_step) + sum[r] : sum[r]);
  }
}

/* `width` positions, `step` apart in the source and `out_step` apart in the output, a register of lanes at a time. */
static void lanes_row(const float *x, int64_t step, const term *terms, int64_t count, const float *w, float *out,
                      int64_t out_step, int64_t width) {
  for (int64_t j = 0; j < LANES; j += NARROW_LANES, x += NARROW_LANES, w += NARROW_LANES, out += NARROW_LANES) {
    int64_t i = 0;
    for (; i + 8 <= width; i += 8) lanes_chain(8, x + i * step, step, terms, count, w, out + i * out_step, out_step);
    for (; i + 4 <= width; i += 4) lanes_chain(4, x + i * step, step, terms, count, w, out + i * out_step, out_step);
    for (; i < width; i++) lanes_chain(1, x + i * step, step, terms, count, w, out + i * out_step, out_step);
  }
}

typedef struct {
  const image *out, *source, *weight, *bias;
  const geometry *g;
  int transposed;
  int64_t per_group, depth, blocks, taps, bands, band;
  const float *panel; /* [block][j][tap][lane], then the biases */
  int failed;
} plan;

static int64_t block_lanes(const plan *p, int64_t block) { return MIN(LANES, p->out->size[1] - block * LANES); }

/* One weight of one lane, tap after tap. */
static void pack_block(const plan *p, float *to, int64_t block) {
  const image *w = p->weight;
  const int64_t *s = w->stride, *k = w->size + 2;
  memset(to, 0, (size_t)(p->depth * p->taps * LANES) * sizeof *to);
  for (int64_t l = 0; l < block_lanes(p, block); l++)
    for (int64_t j = 0; j < p->depth; j++)
      for (int64_t t = 0; t < p->taps; t++) {
        int64_t c = block * LANES + l, row = c, col = j;
        if (p->transposed) row = c / p->per_group * p->depth + j, col = c % p->per_group;
        int64_t at = row * s[0] + col * s[1] + t / (k[1] * k[2]) * s[2] + t / k[2] % k[1] * s[3] + t % k[2] * s[4];
        conv_read(to + (j * p->taps + t) * LANES + l, 1, (patch){element(w, at), w->dtype, 1, 1}, 1, 1);
      }
}

/* Terms of the positions that share residue class c, in order; `at` is the class's first position. */
static int64_t class_terms(const plan *p, const window *box, const int64_t *at, term *terms) {
  const int64_t *k = p->weight->size + 2, *b = box->size;
  int64_t count = 0, q[3];
  for (int64_t t = 0; t < p->taps; t++) {
    int64_t tap[3] = {t / (k[1] * k[2]), t / k[2] % k[1], t % k[2]};
    int exists = 1;
    for (int i = 0; i < 3; i++) {
      int64_t s = p->g->stride[i], go = tap[i] * p->g->dilation[i];
      int64_t u = p->transposed ? at[i] + p->g->padding[i] - go : (at[i] * s - p->g->padding[i] + go) * s;
      exists &= u % s == 0;
      q[i] = u / s - box->low[i];
    }
    if (exists) terms[count++] = (term){((q[0] * b[1] + q[1]) * b[2] + q[2]) * LANES, t * LANES};
  }
  int64_t plane = volume(b) * LANES;
  for (int64_t i = count; i < count * p->depth; i++)
    terms[i] = (term){terms[i - count].source + plane, terms[i - count].weight + p->taps * LANES};
  return count * p->depth;
}

/* Rows [first, first + rows) of the output plane d, laid out position by position. */
static void run_band(const plan *p, const float *x, const window *box, const float *w, term *terms, float *out,
                     int64_t d, int64_t first, int64_t rows) {
  int64_t width = p->out->size[4], classes[2], step[2];
  for (int i = 0; i < 2; i++) {
    classes[i] = p->transposed ? p->g->stride[1 + i] : 1;
    step[i] = (p->transposed ? 1 : p->g->stride[1 + i]) * (i ? 1 : box->size[2]) * LANES;
  }
  for (int64_t h = 0; h < MIN(rows, classes[0]); h++)
    for (int64_t c = 0; c < MIN(width, classes[1]); c++) {
      int64_t at[3] = {d, first + h, c}, count = class_terms(p, box, at, terms), n = ceil_div(width - c, classes[1]);
      for (int64_t r = h, i = 0; r < rows; r += classes[0], i++) {
        float *to = out + (r * width + c) * LANES;
        if (count)
          lanes_row(x + i * step[0], step[1], terms, count, w, to, classes[1] * LANES, n);
        else
          for (int64_t q = 0; q < n; q++) f_store(to + q * classes[1] * LANES, f_all(0));
      }
    }
}

static void finish_band(const plan *p, float *sum, int64_t n, int64_t block, int64_t d, int64_t first, int64_t rows) {
  const image *out = p->out;
  int64_t width = out->size[4];
  if (p->bias) {
    vf bias = f_load(p->panel + (p->blocks * p->depth * p->taps + block) * LANES);
    for (int64_t i = 0; i < rows * width; i++) f_store(sum + i * LANES, f_add(f_load(sum + i * LANES), bias));
  }
  for (int64_t r = 0; r < rows; r++) {
    int64_t at = n * out->stride[0] + block * LANES * out->stride[1];
    at += d * out->stride[2] + (first + r) * out->stride[3];
    conv_write((patch){element(out, at), out->dtype, out->stride[4], out->stride[1]}, sum + r * width * LANES, LANES,
               width, block_lanes(p, block));
  }
}

static void band_task(const void *arg, int64_t index) {
  plan *p = (plan *)arg;
  int64_t band = index % p->bands, d = index / p->bands % p->out->size[2], rest = index / p->bands / p->out->size[2];
  int64_t block = rest % p->blocks, n = rest / p->blocks, first = band * p->band;
  int64_t rows = MIN(p->band, p->out->size[3] - first);
  window box;
  conv_reach(&box, p->g, p->weight, p->transposed, 0, d, d);
  conv_reach(&box, p->g, p->weight, p->transposed, 1, first, first + rows - 1);
  conv_reach(&box, p->g, p->weight, p->transposed, 2, 0, p->out->size[4] - 1);
  spread s = {p->per_group, p->depth, block * LANES, block_lanes(p, block)};
  size_t laid = conv_lay_out_bytes(&box, &s, p->depth), out = (size_t)(rows * p->out->size[4] * LANES) * sizeof(float);
  size_t terms = (size_t)((p->depth + 1) * p->taps) * sizeof(term);
  char *memory = scratch(3, laid + out + terms + 64);
  if (!memory) {
    p->failed = 1;
    return;
  }
  float *x = (float *)(memory + terms + out), *sum = (float *)(memory + terms);
  conv_lay_out(x, p->source, &box, n, &s, 0, p->depth);
  run_band(p, x, &box, p->panel + block * p->depth * p->taps * LANES, (term *)memory, sum, d, first, rows);
  finish_band(p, sum, n, block, d, first, rows);
}

int conv_lanes_product(const image *out, const image *x, const image *w, const image *bias, const geometry *g,
                       int transposed) {
  plan p = {.out = out, .source = x, .weight = w, .bias = bias, .g = g, .transposed = transposed};
  p.per_group = out->size[1] / g->groups, p.depth = x->size[1] / g->groups, p.taps = volume(w->size + 2);
  p.blocks = ceil_div(out->size[1], LANES);
  p.band = MIN(out->size[3], MAX(1, 512 / out->size[4]));
  if (transposed) p.band = ceil_div(p.band, g->stride[1]) * g->stride[1];
  p.bands = ceil_div(out->size[3], p.band);
  int64_t each = p.depth * p.taps * LANES;
  float *panel = scratch(1, (size_t)(p.blocks * (each + LANES)) * sizeof(float));
  if (!panel) return NO_MEMORY;
  p.panel = panel;
  for (int64_t b = 0; b < p.blocks; b++) {
    pack_block(&p, panel + b * each, b);
    if (!bias) continue;
    patch from = {element(bias, b * LANES * bias->stride[0]), bias->dtype, 0, bias->stride[0]};
    conv_read(panel + p.blocks * each + b * LANES, LANES, from, 1, block_lanes(&p, b));
  }
  run_tasks(out->size[0] * p.blocks * out->size[2] * p.bands, band_task, &p);
  return p.failed ? NO_MEMORY : DONE;
}
