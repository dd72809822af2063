/* The mean of every window, and its gradient.
 *
 * A window's elements are added in row-major order, from +0, and the sum is divided by their number: parameter 13 says
 * whether padding counts, 14 is a divisor to take instead, or 0. In the gradient every element adds up its windows' shares
 * in the order of the windows. See pool.h for the other parameters.
 */
#include "pool.h"

typedef struct {
  const layout *l;
  void *const *data;
  pool_dim d, h, w;
  const pool_taps *row;
  int64_t planes, tasks;
  int status, last;
} mean_job;

/* How many elements of a dimension a window is divided by. */
static int64_t length_of(const mean_job *j, const pool_dim *d, int64_t o) {
  if (d->adaptive || !j->l->param[13]) return pool_taps_of(d, o).count;
  int64_t start = o * d->step - d->padding;
  return MIN(start + d->window, d->size + d->padding) - start;
}

static vf divisors_of(const mean_job *j, int64_t depth_height, int64_t o, int64_t n) {
  if (j->l->param[14]) return f_all((float)j->l->param[14]);
  float d[LANES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  const pool_dim *w = &j->w;
  int64_t first = o * w->step - w->padding, last = first + (n - 1) * w->step;
  if (!w->adaptive && first >= 0 && last + w->window <= w->size) return f_all((float)(depth_height * w->window));
  for (int64_t i = 0; i < n; i++) d[i] = (float)(depth_height * length_of(j, w, o + i));
  return f_load(d);
}

/* The sums of sixteen windows of one row. */
static vf wide(const mean_job *j, const float *in, pool_taps td, pool_taps th, int64_t o, int64_t n) {
  vf sum = f_all(0);
  for (int64_t x = 0; x < td.count; x++)
    for (int64_t y = 0; y < th.count; y++) {
      const float *row = in + ((td.first + x) * j->h.size + th.first + y) * j->w.size;
      for (int64_t k = 0; k < j->w.window; k++) sum = f_add(sum, pool_row(&j->w, row, o, n, k));
    }
  return sum;
}

/* The same for windows of any kind: four sums at a time, each in its own order. */
static vf narrow(const mean_job *j, const float *in, pool_taps td, pool_taps th, int64_t o, int64_t n) {
  float made[LANES] = {0};
  for (int64_t i = 0; i < n; i += 4) {
    const pool_taps *t = j->row + o + i;
    int64_t many = MIN(4, n - i), first[4] = {0}, count[4] = {0}, all = INT64_MAX;
    for (int64_t e = 0; e < many; e++) first[e] = t[e].first, count[e] = t[e].count, all = MIN(all, count[e]);
    for (int64_t e = many; e < 4; e++) first[e] = first[0];
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int64_t x = 0; x < td.count; x++)
      for (int64_t y = 0; y < th.count; y++) {
        const float *row = in + ((td.first + x) * j->h.size + th.first + y) * j->w.size;
        const float *r0 = row + first[0], *r1 = row + first[1], *r2 = row + first[2], *r3 = row + first[3];
        for (int64_t k = 0; k < all; k++) s0 += r0[k], s1 += r1[k], s2 += r2[k], s3 += r3[k];
        for (int64_t k = all; k < count[0]; k++) s0 += r0[k];
        for (int64_t k = all; k < count[1]; k++) s1 += r1[k];
        for (int64_t k = all; k < count[2]; k++) s2 += r2[k];
        for (int64_t k = all; k < count[3]; k++) s3 += r3[k];
      }
    made[i] = s0, made[i + 1] = s1, made[i + 2] = s2, made[i + 3] = s3;
  }
  return f_load(made);
}

/* The sums of one window in sixteen channels that lie side by side. */
static vf channels(const mean_job *j, const float *in, pool_taps td, pool_taps th, int64_t o, int64_t n) {
  const view *v = &j->l->view[1];
  pool_taps tw = j->row[o];
  vf sum = f_all(0);
  for (int64_t x = 0; x < td.count; x++)
    for (int64_t y = 0; y < th.count; y++)
      for (int64_t k = 0; k < tw.count; k++) {
        const float *p = in + (td.first + x) * v->stride[2] + (th.first + y) * v->stride[3] + (tw.first + k) * v->stride[4];
        sum = f_add(sum, n == LANES ? f_load(p) : f_some(p, n));
      }
  return sum;
}

/* A plane, or the planes of up to sixteen channels that lie side by side. */
static void forward_plane(mean_job *j, int64_t n, int64_t c, int64_t count) {
  const view *vo = &j->l->view[0], *vx = &j->l->view[1];
  const float *in = (const float *)j->data[1] + n * vx->stride[0] + c * vx->stride[1];
  if (!j->last) in = pool_plane(vx, j->data[1], n, c, 0);
  if (!in) { j->status = NO_MEMORY; return; }
  float *out = (float *)j->data[0] + n * vo->stride[0] + c * vo->stride[1];
  for (int64_t a = 0; a < j->d.outs; a++)
    for (int64_t b = 0; b < j->h.outs; b++) {
      pool_taps td = pool_taps_of(&j->d, a), th = pool_taps_of(&j->h, b);
      int64_t depth_height = length_of(j, &j->d, a) * length_of(j, &j->h, b);
      for (int64_t o = 0; o < j->w.outs; o += j->last ? 1 : LANES) {
        float *to = out + a * vo->stride[2] + b * vo->stride[3] + o * vo->stride[4];
        if (j->last) {
          vf divisor = f_all(f_first(divisors_of(j, depth_height, o, 1)));
          pool_put(to, 1, f_canonical(f_div(channels(j, in, td, th, o, count), divisor)), count);
          continue;
        }
        int64_t lanes = MIN(LANES, j->w.outs - o);
        vf sum = pool_is_wide(&j->w) ? wide(j, in, td, th, o, lanes) : narrow(j, in, td, th, o, lanes);
        pool_put(to, vo->stride[4], f_canonical(f_div(sum, divisors_of(j, depth_height, o, lanes))), lanes);
      }
    }
}

/* Add one row of shares to `rows` rows of the plane, in the order of the windows: where each window is a run of its own,
 * window by window, else tap by tap from the last. */
static void add_shares(const mean_job *j, float *to, int64_t rows, const float *share) {
  const pool_dim *w = &j->w;
  if (w->adaptive) {
    for (int64_t o = 0; o < w->outs; o++) {
      pool_taps t = j->row[o];
      for (int64_t y = 0; y < rows; y++) {
        float *row = to + y * w->size + t.first;
        if (t.count <= LANES) pool_put(row, 1, f_add(pool_load(row, 0, t.count, t.count), f_all(share[o])), t.count);
        else
          for (int64_t k = 0; k < t.count; k++) row[k] += share[o];
      }
    }
    return;
  }
  for (int64_t y = 0; y < rows; y++)
    for (int64_t k = w->window - 1; k >= 0; k--) {
      int64_t first = k - w->padding;
      int64_t begin = first < 0 ? ceil_div(-first, w->step) : 0;
      int64_t end = w->size > first ? MIN(w->outs, ceil_div(w->size - first, w->step)) : 0;
      float *row = to + y * w->size + first;
      if (w->step == 1)
        for (int64_t o = begin; o < end; o++) row[o] += share[o];
      else
        for (int64_t o = begin; o < end; o++) row[o * w->step] += share[o];
    }
}

/* One plane's gradient into plain rows. `share` has room for a row of outputs. */
static void backward_rows(const mean_job *j, const float *grad, float *out, float *share) {
  memset(out, 0, (size_t)(j->d.size * j->h.size * j->w.size) * sizeof *out);
  for (int64_t a = 0; a < j->d.outs; a++)
    for (int64_t b = 0; b < j->h.outs; b++) {
      pool_taps td = pool_taps_of(&j->d, a), th = pool_taps_of(&j->h, b);
      int64_t depth_height = length_of(j, &j->d, a) * length_of(j, &j->h, b);
      const float *row = grad + (a * j->h.outs + b) * j->w.outs;
      for (int64_t o = 0; o < j->w.outs; o += LANES) {
        int64_t lanes = MIN(LANES, j->w.outs - o);
        vf g = lanes == LANES ? f_load(row + o) : f_some(row + o, lanes);
        f_store(share + o, f_div(g, divisors_of(j, depth_height, o, lanes)));
      }
      for (int64_t x = 0; x < td.count; x++)
        add_shares(j, out + ((td.first + x) * j->h.size + th.first) * j->w.size, th.count, share);
    }
}

static void backward_plane(mean_job *j, int64_t n, int64_t c) {
  const view *vo = &j->l->view[0], *vg = &j->l->view[1];
  int64_t total = j->d.size * j->h.size * j->w.size;
  const float *grad = pool_plane(vg, j->data[1], n, c, 0);
  float *share = scratch(1, (size_t)(j->w.outs + LANES) * sizeof *share);
  float *out = (float *)j->data[0] + n * vo->stride[0] + c * vo->stride[1], *made = out;
  int plain = pool_is_plain(vo);
  if (!plain) made = scratch(2, (size_t)total * sizeof *made);
  if (!grad || !share || !made) { j->status = NO_MEMORY; return; }
  backward_rows(j, grad, made, share);
  for (int64_t i = 0; plain && i < total; i++) made[i] = canonical1(made[i]);
  for (int64_t d = 0; !plain && d < j->d.size; d++)
    for (int64_t h = 0; h < j->h.size; h++)
      for (int64_t w = 0; w < j->w.size; w++)
        out[d * vo->stride[2] + h * vo->stride[3] + w * vo->stride[4]] =
            canonical1(made[(d * j->h.size + h) * j->w.size + w]);
}

static void run_forward(const void *arg, int64_t i) {
  mean_job *j = (mean_job *)arg;
  int64_t each = j->last ? LANES : 1, c_all = j->l->view[1].size[1], parts = ceil_div(c_all, each);
  for (int64_t p = j->planes * i / j->tasks; p < j->planes * (i + 1) / j->tasks; p++) {
    int64_t c = p % parts * each;
    forward_plane(j, p / parts, c, MIN(each, c_all - c));
  }
}

static void run_backward(const void *arg, int64_t i) {
  mean_job *j = (mean_job *)arg;
  int64_t c_all = j->l->view[0].size[1];
  for (int64_t p = j->planes * i / j->tasks; p < j->planes * (i + 1) / j->tasks; p++)
    backward_plane(j, p / c_all, p % c_all);
}

static int run(const layout *l, void *const *data, const view *in, const view *out, task *body) {
  if (l->views != 2 || l->params < 15 || in->dtype != F32 || out->dtype != F32) return BAD_LAYOUT;
  mean_job j = {l, data, pool_dim_of(l, in, out, 0), pool_dim_of(l, in, out, 1), pool_dim_of(l, in, out, 2), 0, 0, 0, DONE,
                body == run_forward && pool_is_last(out, in)};
  if (!(j.row = pool_table(&j.w))) return NO_MEMORY;
  j.planes = in->size[0] * (j.last ? ceil_div(in->size[1], LANES) : in->size[1]);
  j.tasks = pool_tasks(j.planes, in->size[2] * in->size[3] * in->size[4]);
  run_tasks(j.tasks, body, &j);
  return j.status;
}

/* Views: means, input. */
EXPORT int repops_pool_mean(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  return run(l, data, &l->view[1], &l->view[0], run_forward);
}

/* Views: gradient of the input, gradient of the means. */
EXPORT int repops_pool_mean_backward(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  return run(l, data, &l->view[0], &l->view[1], run_backward);
}
