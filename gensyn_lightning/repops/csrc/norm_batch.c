/* Batch normalisation of [N, C, I], I side by side: some channels at a time, whose passes find them in cache.
 *
 * repops_batch_norm: views y, mean [C], one over the root [C], sum of squares [C]; x, then weight and bias [C] if there are.
 * repops_batch_norm_apply: views y; x, mean, one over the root, then weight and bias. repops_batch_norm_backward: views dy's
 * sum [C], dy's product with the normal [C], then dx if it is wanted; dy, x, mean, one over the root, then the weight.
 * params: 1 there is a weight, 2 a bias, 4 dx is wanted, 8 the means were those of this very x. words: eps, for the first.
 *
 * Terms are numbered along N and I: a row begins in whatever lane the one before has ended. GROUP neighbouring channels go
 * through the same steps side by side.
 */
#include "norm.h"

enum { WEIGHT = 1, BIAS = 2, D_INPUT = 4, OWN_MEANS = 8, X = 4, ENOUGH = 1 << 14, GROUP = 4 };

typedef struct {
  const layout *l;
  void *const *data;
  int64_t what, channels, count, outer, inner, group, y, x, dy, w, b; /* views by number; -1: there is none */
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

/* Row i of a channel as binary32: where it is, or copied into one of this thread's rows. */
static const float *row_of(const call *c, int64_t v, int64_t i, int64_t channel, int64_t which) {
  const view *w = &c->l->view[v];
  char *there = address(c, v, i, channel);
  if (w->dtype == F32 && w->stride[2] == 1) return (const float *)there;
  float *copy = (float *)scratch(1, (size_t)(2 * GROUP * c->inner) * 4) + which * c->inner;
  load_row(copy, 'f', there, w->dtype, w->stride[2], c->inner);
  return copy;
}

typedef enum { SUM, SQUARES, GRADIENTS } fold_kind;

/* Carries of some channels within a chunk, and what the chunks before gave. */
typedef struct {
  vf first[GROUP], second[GROUP];
  float total[2][GROUP];
  int64_t done;
  int any;
} folds;

INLINE void add_elements(folds *f, fold_kind kind, int g, vf x, vf dy, vf mean, vi some) {
  vf first = f->first[g], second = f->second[g];
  if (kind == SUM) first = f_add(first, x);
  if (kind == SQUARES) first = f_fma(f_sub(x, mean), f_sub(x, mean), first);
  if (kind == GRADIENTS) first = f_add(first, dy), second = f_fma(f_sub(x, mean), dy, second);
  f->first[g] = f_select(some, first, f->first[g]);
  if (kind == GRADIENTS) f->second[g] = f_select(some, second, f->second[g]);
}

INLINE void close_chunk(folds *f, fold_kind kind, int groups) {
  for (int g = 0; g < groups; g++)
    for (int k = 0; k < (kind == GRADIENTS ? 2 : 1); k++) {
      float value = f_first(t_add_ff(k ? f->second[g] : f->first[g]));
      f->total[k][g] = f->any ? f->total[k][g] + value : value;
      if (k) f->second[g] = (vf){0};
      else f->first[g] = (vf){0};
    }
  f->any = 1;
  f->done = 0;
}

/* Take all rows of `groups` channels into their folds. */
INLINE void fold_rows(const call *c, folds *f, fold_kind kind, int groups, int64_t channel, const float *mean) {
  vi all = i_below(LANES);
  for (int64_t i = 0; i < c->outer; i++) {
    const float *x[GROUP], *dy[GROUP];
    for (int g = 0; g < groups; g++) {
      x[g] = row_of(c, c->x, i, channel + g, g);
      dy[g] = kind == GRADIENTS ? row_of(c, c->dy, i, channel + g, GROUP + g) : x[g];
    }
    for (int64_t at = 0; at < c->inner;) {
      int64_t m = MIN(c->inner - at, CHUNK - f->done), lane = f->done % LANES;
      f->done += m;
      if (lane) {
        int64_t k = MIN(m, LANES - lane);
        vi some = i_among(lane, lane + k);
        for (int g = 0; g < groups; g++)
          add_elements(f, kind, g, f_later(x[g] + at, lane, k), f_later(dy[g] + at, lane, k), f_all(mean[g]), some);
        at += k, m -= k;
      }
      for (; m >= LANES; m -= LANES, at += LANES)
        for (int g = 0; g < groups; g++) add_elements(f, kind, g, f_load(x[g] + at), f_load(dy[g] + at), f_all(mean[g]), all);
      if (m) {
        vi some = i_below((int32_t)m);
        for (int g = 0; g < groups; g++)
          add_elements(f, kind, g, f_some(x[g] + at, m), f_some(dy[g] + at, m), f_all(mean[g]), some);
        at += m;
      }
      if (f->done == CHUNK) close_chunk(f, kind, groups);
    }
  }
  if (f->done) close_chunk(f, kind, groups);
}

INLINE void fold_channels(const call *c, folds *f, fold_kind kind, int64_t groups, int64_t channel, const float *mean) {
  memset(f, 0, sizeof *f);
  if (groups == GROUP) {
    fold_rows(c, f, kind, GROUP, channel, mean);
    return;
  }
  for (int64_t g = 0; g < groups; g++) {
    folds own = {0};
    fold_rows(c, &own, kind, 1, channel + g, mean + g);
    for (int k = 0; k < 2; k++) f->total[k][g] = own.total[k][0];
  }
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

static void affine(const element *e, float *out, int64_t n) ROW(f_fma(f_sub(AT(e->x), e->mean), e->scale, e->bias))
static void scaled(const element *e, float *out, int64_t n) ROW(f_mul(f_sub(AT(e->x), e->mean), e->scale))
static void gradient(const element *e, float *out, int64_t n)
  ROW(f_mul(f_fma(f_neg(f_sub(AT(e->x), e->mean)), e->of_product, f_sub(AT(e->dy), e->of_dy)), e->scale))
static void scaled_gradient(const element *e, float *out, int64_t n) ROW(f_mul(AT(e->dy), e->scale))

/* Make every element of some channels by `body` and put it where it belongs. */
static void put_channels(const call *c, int64_t channel, int64_t groups, element *e,
                         void (*body)(const element *, float *, int64_t)) {
  const view *o = &c->l->view[c->y];
  int direct = o->dtype == F32 && o->stride[2] == 1;
  float *made = direct ? NULL : scratch(2, (size_t)c->inner * 4);
  for (int64_t i = 0; i < c->outer; i++)
    for (int64_t g = 0; g < groups; g++) {
      char *there = address(c, c->y, i, channel + g);
      e[g].x = row_of(c, c->x, i, channel + g, 0);
      if (c->dy >= 0) e[g].dy = row_of(c, c->dy, i, channel + g, 1);
      body(&e[g], direct ? (float *)there : made, c->inner);
      if (!direct) store_row(there, o->dtype, o->stride[2], made, 'f', c->inner);
    }
}

static float scale_of(const call *c, int64_t channel, float rstd) {
  return c->w >= 0 ? canonical1(rstd * one(c, c->w, channel)) : rstd;
}

static void put_normal(const call *c, int64_t channel, int64_t groups, const float *mean, const float *rstd) {
  element e[GROUP];
  for (int64_t g = 0; g < groups; g++) {
    e[g] = (element){.mean = f_all(mean[g]), .scale = f_all(scale_of(c, channel + g, rstd[g]))};
    if (c->b >= 0) e[g].bias = f_all(one(c, c->b, channel + g));
  }
  put_channels(c, channel, groups, e, c->b >= 0 ? affine : scaled);
}

static void run_forward(const void *arg, int64_t index) {
  const call *c = arg;
  int64_t channel = index * c->group, groups = MIN(c->group, c->channels - channel);
  float mean[GROUP] = {0}, rstd[GROUP];
  folds f;
  fold_channels(c, &f, SUM, groups, channel, mean);
  for (int64_t g = 0; g < groups; g++) mean[g] = mean_of(f.total[0][g], c->count);
  fold_channels(c, &f, SQUARES, groups, channel, mean);
  for (int64_t g = 0; g < groups; g++) {
    rstd[g] = rstd_of(f.total[0][g], c->count, c->eps);
    put_one(c, 1, channel + g, mean[g]), put_one(c, 2, channel + g, rstd[g]), put_one(c, 3, channel + g, f.total[0][g]);
  }
  put_normal(c, channel, groups, mean, rstd);
}

/* Rows lie one after the other as channels do: a task takes some images whole. */
static void run_apply(const void *arg, int64_t image) {
  const call *c = arg;
  call own = *c;
  own.outer = 1;
  for (int64_t channel = 0; channel < c->channels; channel++) {
    float mean = one(c, c->mean, channel), rstd = one(c, c->rstd, channel);
    void *moved[8];
    for (int64_t v = 0; v < c->l->views; v++)
      moved[v] = (char *)c->data[v] + (v < 2 ? image * c->l->view[v].stride[0] * item_bytes(c->l->view[v].dtype) : 0);
    own.data = moved;
    put_normal(&own, channel, 1, &mean, &rstd);
  }
}

static void run_backward(const void *arg, int64_t index) {
  const call *c = arg;
  int64_t channel = index * c->group, groups = MIN(c->group, c->channels - channel);
  float mean[GROUP], rstd[GROUP];
  folds f;
  element e[GROUP];
  for (int64_t g = 0; g < groups; g++) mean[g] = one(c, c->mean, channel + g), rstd[g] = one(c, c->rstd, channel + g);
  fold_channels(c, &f, GRADIENTS, groups, channel, mean);
  for (int64_t g = 0; g < groups; g++) {
    float of_dy = canonical1(f.total[0][g]), product = canonical1(canonical1(f.total[1][g]) * rstd[g]);
    put_one(c, 0, channel + g, of_dy), put_one(c, 1, channel + g, product);
    e[g] = (element){.mean = f_all(mean[g]), .scale = f_all(scale_of(c, channel + g, rstd[g]))};
    e[g].of_dy = f_all(mean_of(of_dy, c->count));
    e[g].of_product = f_all(mean_of(product * rstd[g], c->count));
  }
  if (c->y >= 0) put_channels(c, channel, groups, e, c->what & OWN_MEANS ? gradient : scaled_gradient);
}

static int run(call *c, int64_t next, task *body) {
  const view *x = &c->l->view[c->x];
  c->w = c->what & WEIGHT ? next++ : -1;
  c->b = c->what & BIAS ? next : -1;
  c->outer = x->size[0], c->channels = x->size[1], c->inner = x->size[2];
  c->count = c->outer * c->inner;
  c->group = c->channels < GROUP * threads_max() ? 1 : GROUP;
  if (!scratch(1, (size_t)(2 * GROUP * c->inner) * 4) || !scratch(2, (size_t)c->inner * 4)) return NO_MEMORY;
  int64_t tasks = body == run_apply ? c->outer : ceil_div(c->channels, c->group);
  if (c->count * c->channels < ENOUGH)
    for (int64_t i = 0; i < tasks; i++) body(c, i);
  else
    run_tasks(tasks, body, c);
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
