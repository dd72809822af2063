/* The largest element of every window, and where it is: the first of equals; NaN is larger than all, the last one stays.
 *
 * Views: values, places (64-bit, in the plane, row-major), input. See pool.h for the parameters.
 */
#include "pool.h"

typedef struct {
  const layout *l;
  void *const *data;
  pool_dim d, h, w;
  const pool_taps *row;
  int64_t planes, tasks;
  int status, last;
} max_job;

typedef struct {
  vf value;
  vi place;
} found;

INLINE found nothing(void) { return (found){f_all(-INFINITY), i_all(-1)}; }

INLINE vi larger(vf x, vf than) { return i_or(f_lt(than, x), i_not(f_eq(x, x))); }

/* Take what is larger, NaN, or the first of all. */
INLINE void take(found *f, vf x, vi place, vi inside) {
  vi taken = i_and(inside, i_or(larger(x, f->value), i_lt(f->place, i_all(0))));
  f->value = f_select(taken, x, f->value);
  f->place = i_select(taken, place, f->place);
}

static int64_t row_of(const max_job *j, pool_taps td, pool_taps th, int64_t a, int64_t b) {
  return ((td.first + a * j->d.spacing) * j->h.size + th.first + b * j->h.spacing) * j->w.size;
}

/* Sixteen outputs of one row. */
static found wide(const max_job *j, const float *in, pool_taps td, pool_taps th, int64_t o, int64_t n) {
  const pool_dim *w = &j->w;
  vi used = i_below((int32_t)n);
  found f = nothing();
  for (int64_t a = 0; a < td.count; a++)
    for (int64_t b = 0; b < th.count; b++) {
      int64_t start = row_of(j, td, th, a, b);
      for (int64_t k = 0; k < w->window; k++) {
        int32_t first = (int32_t)(o * w->step - w->padding + k * w->spacing);
        vi at = i_add(i_mul(i_count(), i_all((int32_t)w->step)), i_all(first));
        vi inside = i_and(used, i_and(i_lt(i_all(-1), at), i_lt(at, i_all((int32_t)w->size))));
        take(&f, pool_row(w, in + start, o, n, k), i_add(at, i_all((int32_t)start)), inside);
      }
    }
  return f;
}

/* The same, one output after the other. */
static found narrow(const max_job *j, const float *in, pool_taps td, pool_taps th, int64_t o, int64_t n) {
  float values[LANES] = {0};
  int32_t places[LANES] = {0};
  for (int64_t i = 0; i < n; i++) {
    pool_taps tw = j->row[o + i];
    float best = -INFINITY;
    int64_t place = -1;
    for (int64_t a = 0; a < td.count; a++)
      for (int64_t b = 0; b < th.count; b++) {
        int64_t start = row_of(j, td, th, a, b) + tw.first;
        for (int64_t k = 0; k < tw.count; k++) {
          int64_t at = start + k * j->w.spacing;
          float x = in[at];
          if (!(x > best || x != x || place < 0)) continue;
          best = x;
          place = at;
        }
      }
    values[i] = best;
    places[i] = (int32_t)place;
  }
  return (found){f_load(values), i_load(places)};
}

/* One output of sixteen channels that lie side by side. Nothing larger than -infinity: the first tap is it. */
static found channels(const max_job *j, const float *in, pool_taps td, pool_taps th, int64_t o, int64_t n) {
  const view *v = &j->l->view[2];
  pool_taps tw = j->row[o];
  vf best = f_all(-INFINITY);
  vi at = i_all((int32_t)(row_of(j, td, th, 0, 0) + tw.first));
  int64_t step = j->w.spacing * v->stride[4];
  for (int64_t a = 0; a < td.count; a++)
    for (int64_t b = 0; b < th.count; b++) {
      int64_t z = td.first + a * j->d.spacing, y = th.first + b * j->h.spacing;
      const float *p = in + z * v->stride[2] + y * v->stride[3] + tw.first * v->stride[4];
      int32_t place = (int32_t)((z * j->h.size + y) * j->w.size + tw.first);
      for (int64_t k = 0; k < tw.count; k++, p += step, place += (int32_t)j->w.spacing) {
        vf x = n == LANES ? f_load(p) : f_some(p, n);
#if defined(__AVX512F__)
        __m512 new = (__m512)x.p[0];
        __mmask16 taken = _mm512_cmp_ps_mask(new, (__m512)best.p[0], _CMP_GT_OQ);
        taken |= _mm512_cmp_ps_mask(new, new, _CMP_UNORD_Q);
        best.p[0] = (nf)_mm512_mask_mov_ps((__m512)best.p[0], taken, new);
        at.p[0] = (ni)_mm512_mask_set1_epi32((__m512i)at.p[0], taken, place);
#else
        vi taken = larger(x, best);
        best = f_select(taken, x, best);
        at = i_select(taken, i_all(place), at);
#endif
      }
    }
  return (found){best, at};
}

static void put(float *value, int64_t step, int64_t *to, int64_t place_step, found f, int64_t n) {
  pool_put(value, step, f_canonical(f.value), n);
  int32_t places[LANES];
  if (place_step == 1 && n == LANES) {
    l_store(to, l_of_i(f.place));
    return;
  }
  i_store(places, f.place);
  for (int64_t i = 0; i < n; i++) to[i * place_step] = places[i];
}

/* A plane, or the planes of up to sixteen channels that lie side by side. */
static void run_plane(max_job *j, int64_t n, int64_t c, int64_t count) {
  const view *vv = &j->l->view[0], *va = &j->l->view[1], *vx = &j->l->view[2];
  const float *in = (const float *)j->data[2] + n * vx->stride[0] + c * vx->stride[1];
  if (!j->last) in = pool_plane(vx, j->data[2], n, c, 0);
  if (!in) { j->status = NO_MEMORY; return; }
  for (int64_t a = 0; a < j->d.outs; a++)
    for (int64_t b = 0; b < j->h.outs; b++) {
      pool_taps td = pool_taps_of(&j->d, a), th = pool_taps_of(&j->h, b);
      int64_t v0 = n * vv->stride[0] + c * vv->stride[1] + a * vv->stride[2] + b * vv->stride[3];
      int64_t a0 = n * va->stride[0] + c * va->stride[1] + a * va->stride[2] + b * va->stride[3];
      for (int64_t o = 0; o < j->w.outs; o += j->last ? 1 : LANES) {
        int64_t lanes = j->last ? count : MIN(LANES, j->w.outs - o);
        found f = j->last                ? channels(j, in, td, th, o, lanes)
                  : pool_is_wide(&j->w) ? wide(j, in, td, th, o, lanes)
                                         : narrow(j, in, td, th, o, lanes);
        int step = j->last ? 1 : 4;
        float *value = (float *)j->data[0] + v0 + o * vv->stride[4];
        int64_t *place = (int64_t *)j->data[1] + a0 + o * va->stride[4];
        put(value, vv->stride[step], place, va->stride[step], f, lanes);
      }
    }
}

static void run_task(const void *arg, int64_t i) {
  max_job *j = (max_job *)arg;
  int64_t each = j->last ? LANES : 1, c_all = j->l->view[2].size[1], parts = ceil_div(c_all, each);
  for (int64_t p = j->planes * i / j->tasks; p < j->planes * (i + 1) / j->tasks; p++) {
    int64_t c = p % parts * each;
    run_plane(j, p / parts, c, MIN(each, c_all - c));
  }
}

EXPORT int repops_pool_max(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  const view *v = l->view;
  if (l->views != 3 || l->params < 13 || v[0].dtype != F32 || v[1].dtype != I64 || v[2].dtype != F32) return BAD_LAYOUT;
  max_job j = {l, data, pool_dim_of(l, &v[2], v, 0), pool_dim_of(l, &v[2], v, 1), pool_dim_of(l, &v[2], v, 2), 0, 0, 0,
               DONE, pool_is_last(&v[0], &v[2]) && v[1].stride[1] == 1};
  if (!(j.row = pool_table(&j.w))) return NO_MEMORY;
  j.planes = v[2].size[0] * (j.last ? ceil_div(v[2].size[1], LANES) : v[2].size[1]);
  j.tasks = pool_tasks(j.planes, v[2].size[2] * v[2].size[3] * v[2].size[4]);
  run_tasks(j.tasks, run_task, &j);
  return j.status;
}
