/* Batch normalisation of [N, C, I], I side by side: a channel is gathered once, and its passes stay in cache.
 *
 * repops_batch_norm: views y, mean [C], one over the root [C], sum of squares [C]; x, then weight and bias [C] if there are.
 * repops_batch_norm_apply: views y; x, mean, one over the root, then weight and bias. repops_batch_norm_backward: views dy's
 * sum [C], dy's product with the normal [C], then dx if it is wanted; dy, x, mean, one over the root, then the weight.
 * params: 1 there is a weight, 2 a bias, 4 dx is wanted, 8 the means were those of this very x. words: eps, for the first.
 * Terms are numbered along N and I.
 */
#include "norm.h"

enum { WEIGHT = 1, BIAS = 2, D_INPUT = 4, OWN_MEANS = 8, X = 4, ENOUGH = 1 << 14 };

typedef struct {
  const layout *l;
  void *const *data;
  int64_t what, channels, count, outer, inner, y, x, dy, w, b; /* views by number; -1: there is none */
  int64_t mean, rstd;
  float eps;
} call;

static char *address(const call *c, int64_t v, int64_t i, int64_t channel) {
  const view *w = &c->l->view[v];
  int64_t offset = w->rank == 1 ? channel * w->stride[0] : i * w->stride[0] + channel * w->stride[1];
  return (char *)c->data[v] + offset * item_bytes(w->dtype);
}

static float one(const call *c, int64_t v, int64_t channel) {
  float value;
  load_row(&value, 'f', address(c, v, 0, channel), c->l->view[v].dtype, 1, 1);
  return value;
}

static void put_one(const call *c, int64_t v, int64_t channel, float value) {
  value = canonical1(value);
  store_row(address(c, v, 0, channel), c->l->view[v].dtype, 1, &value, 'f', 1);
}

/* A channel's elements in a row: where they are, if they lie so. */
static const float *channel_of(const call *c, int64_t v, int64_t channel, float *buffer) {
  const view *w = &c->l->view[v];
  int64_t step = w->stride[2];
  if (c->outer == 1 && w->dtype == F32 && step == 1) return (const float *)address(c, v, 0, channel);
  for (int64_t i = 0; i < c->outer; i++)
    load_row(buffer + i * c->inner, 'f', address(c, v, i, channel), w->dtype, step, c->inner);
  return buffer;
}

typedef struct {
  const float *x, *dy;
  vf mean, scale, bias, of_dy, of_product;
} element;

#define ROW(value)                                                              \
  {                                                                             \
    int64_t j = 0, m = LANES;                                                   \
    for (; j + LANES <= n; j += LANES) f_store(out + j, f_canonical(value));    \
    if ((m = n - j) > 0) f_put(out + j, f_canonical(value), m);                 \
  }
#define AT(p) (m == LANES ? f_load((p) + j) : f_some((p) + j, m))

static void affine(const element *e, float *out, int64_t n) ROW(f_fma(AT(e->x) - e->mean, e->scale, e->bias))
static void scaled(const element *e, float *out, int64_t n) ROW((AT(e->x) - e->mean) * e->scale)
static void gradient(const element *e, float *out, int64_t n)
  ROW(f_fma(-(AT(e->x) - e->mean), e->of_product, AT(e->dy) - e->of_dy) * e->scale)
static void scaled_gradient(const element *e, float *out, int64_t n) ROW(AT(e->dy) * e->scale)

/* Make every element of a channel by `body` and put it where it belongs. */
static void put_channel(const call *c, int64_t channel, element e, void (*body)(const element *, float *, int64_t)) {
  const view *o = &c->l->view[c->y];
  int direct = o->dtype == F32 && o->stride[2] == 1;
  float *made = direct ? NULL : scratch(2, (size_t)c->inner * 4);
  for (int64_t i = 0; i < c->outer; i++, e.x += c->inner, e.dy += c->dy >= 0 ? c->inner : 0) {
    char *there = address(c, c->y, i, channel);
    body(&e, direct ? (float *)there : made, c->inner);
    if (!direct) store_row(there, o->dtype, o->stride[2], made, 'f', c->inner);
  }
}

static float scale_of(const call *c, int64_t channel, float rstd) {
  return c->w >= 0 ? canonical1(rstd * one(c, c->w, channel)) : rstd;
}

static void put_normal(const call *c, int64_t channel, const float *x, float mean, float rstd) {
  element e = {.x = x, .mean = f_all(mean), .scale = f_all(scale_of(c, channel, rstd))};
  if (c->b >= 0) e.bias = f_all(one(c, c->b, channel));
  put_channel(c, channel, e, c->b >= 0 ? affine : scaled);
}

static void run_forward(const void *arg, int64_t channel) {
  const call *c = arg;
  float *buffer = scratch(1, (size_t)(2 * c->count + LANES) * 4);
  normal_row r = {.x = channel_of(c, c->x, channel, buffer)};
  r.mean = mean_of(sum_row(c->count, sum_of_x, &r), c->count);
  float squares = sum_row(c->count, sum_of_squares, &r);
  r.rstd = rstd_of(squares, c->count, c->eps);
  put_one(c, 1, channel, r.mean), put_one(c, 2, channel, r.rstd), put_one(c, 3, channel, squares);
  put_normal(c, channel, r.x, r.mean, r.rstd);
}

static void run_apply(const void *arg, int64_t channel) {
  const call *c = arg;
  const float *x = channel_of(c, c->x, channel, scratch(1, (size_t)(2 * c->count + LANES) * 4));
  put_normal(c, channel, x, one(c, c->mean, channel), one(c, c->rstd, channel));
}

static void run_backward(const void *arg, int64_t channel) {
  const call *c = arg;
  float *buffer = scratch(1, (size_t)(2 * c->count + LANES) * 4);
  normal_row r = {.mean = one(c, c->mean, channel), .rstd = one(c, c->rstd, channel)};
  r.dy = channel_of(c, c->dy, channel, buffer), r.x = channel_of(c, c->x, channel, buffer + c->count);
  float of_dy = canonical1(sum_row(c->count, sum_of_dy, &r));
  float product = canonical1(canonical1(sum_row(c->count, sum_of_dy_times_difference, &r)) * r.rstd);
  put_one(c, 0, channel, of_dy), put_one(c, 1, channel, product);
  if (c->y < 0) return;
  element e = {.x = r.x, .dy = r.dy, .mean = f_all(r.mean), .scale = f_all(scale_of(c, channel, r.rstd))};
  e.of_dy = f_all(mean_of(of_dy, c->count));
  e.of_product = f_all(mean_of(product * r.rstd, c->count));
  put_channel(c, channel, e, c->what & OWN_MEANS ? gradient : scaled_gradient);
}

static int run(call *c, int64_t next, task *body) {
  const view *x = &c->l->view[c->x];
  c->w = c->what & WEIGHT ? next++ : -1;
  c->b = c->what & BIAS ? next : -1;
  c->outer = x->size[0], c->channels = x->size[1], c->inner = x->size[2];
  c->count = c->outer * c->inner;
  if (!scratch(1, (size_t)(2 * c->count + LANES) * 4) || !scratch(2, (size_t)c->inner * 4)) return NO_MEMORY;
  if (c->count * c->channels < ENOUGH)
    for (int64_t i = 0; i < c->channels; i++) body(c, i);
  else
    run_tasks(c->channels, body, c);
  return DONE;
}

EXPORT int repops_batch_norm(const layout *l, void *const *data, const uint64_t *word) {
  call c = {.l = l, .data = data, .what = l->param[0], .y = 0, .x = X, .dy = -1, .eps = from_bits1((uint32_t)word[0])};
  return run(&c, X + 1, run_forward);
}

EXPORT int repops_batch_norm_apply(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  call c = {.l = l, .data = data, .what = l->param[0], .y = 0, .x = 1, .dy = -1, .mean = 2, .rstd = 3};
  return run(&c, 4, run_apply);
}

EXPORT int repops_batch_norm_backward(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  call c = {.l = l, .data = data, .what = l->param[0], .y = l->param[0] & D_INPUT ? 2 : -1};
  c.dy = c.y < 0 ? 2 : 3, c.x = c.dy + 1, c.mean = c.dy + 2, c.rstd = c.dy + 3;
  return run(&c, c.dy + 4, run_backward);
}
