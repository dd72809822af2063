/* The gradients of layer normalisation: of its input, row by row, and of weight and bias, summed over rows.
 *
 * views: those of the gradients (input, weight, bias) that are wanted; then dy, x [rows, n], mean and one over the root [rows, 1]; weight if
 * there is one. params: 1 input, 2 weight, 4 bias, 8 there is a weight.
 *
 * The gradients of weight and bias sum over rows in the fixed order: sixteen carries, by row number, in each chunk of 256
 * rows. A task takes some lanes of a chunk, 64 rows at a time: they are walked along in order, for the gradient of the input, and are
 * still in the second cache when ROWS of each lane are added to its carries, which are thereby touched once for all of them.
 */
#include "norm.h"

enum { INPUT = 1, WEIGHT = 2, BIAS = 4, HAS_WEIGHT = 8, ROWS = 4 };

typedef struct {
  const layout *l;
  void *const *data;
  int64_t rows, n, chunks, parts, room, what;
  int64_t dx, dw, db, dy, x, mean, rstd;
  const float *w;
  float *carry, *value; /* carries [chunk][2][lane][room] where a chunk has several parts; values [chunk][2][room] */
} call;

INLINE vf sum_of_g(vf carry, const void *ctx, int64_t j, int64_t m) {
  const normal_row *r = ctx;
  vf g = f_take(r->dy + j, m);
  return f_add(carry, r->w ? f_mul(g, f_take(r->w + j, m)) : g);
}
INLINE vf sum_of_g_times_normal(vf carry, const void *ctx, int64_t j, int64_t m) {
  const normal_row *r = ctx;
  vf g = f_take(r->dy + j, m), normal = f_mul(f_sub(f_take(r->x + j, m), f_all(r->mean)), f_all(r->rstd));
  return f_fma(r->w ? f_mul(g, f_take(r->w + j, m)) : g, normal, carry);
}

/* Rows whose gradients are made side by side, so that none waits for its own trees; not if they are long. */
typedef struct {
  const normal_row *row[LANES];
  float *dx[LANES];
  int64_t count;
} block;

/* The means of both sums over n of every row, walking over it once. */
static void means_of_rows(const block *b, int64_t n, float *of_g, float *of_product) {
  vf p[LANES], q[LANES], first = {0}, second = {0};
  for (int64_t at = 0; at < n; at += CHUNK) {
    int64_t end = MIN(n, at + CHUNK);
    for (int64_t i = b->count; i < LANES; i++) p[i] = q[i] = (vf){0};
    for (int64_t i = 0; i < b->count; i++) {
      const normal_row r = *b->row[i];
      vf u = {0}, v = {0};
      int64_t j = at;
      for (; j + LANES <= end; j += LANES) u = sum_of_g(u, &r, j, LANES), v = sum_of_g_times_normal(v, &r, j, LANES);
      if (j < end) {
        vi some = i_below((int32_t)(end - j));
        u = f_select(some, sum_of_g(u, &r, j, end - j), u);
        v = f_select(some, sum_of_g_times_normal(v, &r, j, end - j), v);
      }
      p[i] = u, q[i] = v;
    }
    vf u = b->count > 1 ? trees_of_sums(p) : t_add_ff(*p), v = b->count > 1 ? trees_of_sums(q) : t_add_ff(*q);
    first = at ? f_add(first, u) : u, second = at ? f_add(second, v) : v;
  }
  f_store(of_g, f_canonical(f_div(first, f_all((float)n))));
  f_store(of_product, f_canonical(f_div(second, f_all((float)n))));
}

INLINE vf gradient(const normal_row *r, vf of_g, vf of_product, int64_t j, int64_t m) {
  vf dy = f_take(r->dy + j, m), rstd = f_all(r->rstd), normal = f_mul(f_sub(f_take(r->x + j, m), f_all(r->mean)), rstd);
  vf own = f_sub(r->w ? f_mul(dy, f_take(r->w + j, m)) : dy, of_g);
  return f_canonical(f_mul(f_fma(f_neg(normal), of_product, own), rstd));
}

static void gradients_of_rows(const block *b, int64_t n) {
  float of_g[LANES], of_product[LANES];
  means_of_rows(b, n, of_g, of_product);
  for (int64_t i = 0; i < b->count; i++) {
    const normal_row r = *b->row[i];
    vf g = f_all(of_g[i]), product = f_all(of_product[i]);
    float *dx = b->dx[i];
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) f_store(dx + j, gradient(&r, g, product, j, LANES));
    if (j < n) f_put(dx + j, gradient(&r, g, product, j, n - j), n - j);
  }
}

/* What elements [j, j + m) of `count` rows, a lane's next, add to its carries; these begin with them if `fresh`. */
INLINE void add_columns(const normal_row *row, int count, int64_t apart, float *dw, float *db, int64_t j, int64_t m, int fresh) {
  vf a = {0}, b = {0};
  if (!fresh) a = f_take(dw + j, m), b = f_take(db + j, m);
  for (int k = 0; k < count; k++) {
    const normal_row *r = row + k * apart;
    vf dy = f_take(r->dy + j, m);
    a = f_fma(dy, f_mul(f_sub(f_take(r->x + j, m), f_all(r->mean)), f_all(r->rstd)), a);
    b = f_add(b, dy);
  }
  f_give(dw + j, a, m), f_give(db + j, b, m);
}

static void add_rows(const normal_row *row, int count, int64_t apart, int64_t n, float *dw, float *db, int fresh) {
  int64_t j = 0;
  if (count == ROWS)
    for (; j + LANES <= n; j += LANES) add_columns(row, ROWS, apart, dw, db, j, LANES, fresh);
  for (; j < n; j += LANES) add_columns(row, count, apart, dw, db, j, MIN(LANES, n - j), fresh);
}

static float one(const call *c, int64_t v, int64_t row) {
  const view *w = &c->l->view[v];
  if (w->dtype == F32) return ((const float *)c->data[v])[row * w->stride[0]];
  float value;
  load_row(&value, 'f', (char *)c->data[v] + row * w->stride[0] * item_bytes(w->dtype), w->dtype, 1, 1);
  return value;
}

static normal_row row_of(const call *c, int64_t i, float *room) {
  const view *dy = &c->l->view[c->dy], *x = &c->l->view[c->x];
  normal_row r = {.w = c->w, .mean = one(c, c->mean, i), .rstd = one(c, c->rstd, i)};
  r.dy = plain_row(dy, c->data[c->dy], i * dy->stride[0], c->n, room);
  r.x = plain_row(x, c->data[c->x], i * x->stride[0], c->n, room + c->room);
  return r;
}

/* Store the gradients of the input for `count` rows, whose numbers are in `place`. */
static void put_gradients(const call *c, const normal_row *row, const int64_t *place, int64_t count) {
  const view *dx = &c->l->view[c->dx];
  int64_t at_once = c->n > 2 * CHUNK ? 1 : LANES;
  float *made = dx->dtype == F32 ? NULL : scratch(3, (size_t)(LANES * c->room) * 4);
  for (int64_t k = 0; k < count; k += at_once) {
    block b = {.count = MIN(at_once, count - k)};
    char *there[LANES];
    for (int64_t i = 0; i < b.count; i++) {
      there[i] = (char *)c->data[c->dx] + place[k + i] * dx->stride[0] * item_bytes(dx->dtype);
      b.row[i] = row + k + i;
      b.dx[i] = made ? made + i * c->room : (float *)there[i];
    }
    gradients_of_rows(&b, c->n);
    for (int64_t i = 0; made && i < b.count; i++) store_row(there[i], dx->dtype, 1, b.dx[i], 'f', c->n);
  }
}

/* Lanes [first, last) of a chunk. */
static void run_lanes(const call *c, int64_t chunk, int64_t first, int64_t last, float *carry) {
  int64_t start = chunk * CHUNK, end = MIN(c->rows, start + CHUNK), lanes = last - first;
  float *buffer = scratch(1, (size_t)(2 * ROWS * LANES * c->room) * 4);
  normal_row row[ROWS * LANES];
  int64_t place[ROWS * LANES];
  for (int64_t at = start; at < end; at += ROWS * LANES) {
    int64_t count = 0;
    for (; count < ROWS * lanes; count++) {
      int64_t i = at + count / lanes * LANES + first + count % lanes;
      if (i >= end) break;
      place[count] = i;
      row[count] = row_of(c, i, buffer + 2 * count * c->room);
    }
    if (c->dx >= 0) put_gradients(c, row, place, count);
    if (c->dw < 0 && c->db < 0) continue;
    for (int64_t lane = first; lane < last; lane++) {
      int own = (int)MIN(ROWS, MAX(0, ceil_div(end - at - lane, LANES)));
      float *dw = carry + lane * c->room, *db = dw + LANES * c->room;
      add_rows(row + lane - first, own, lanes, c->n, dw, db, at == start);
    }
  }
}

/* The tree over the lanes of a chunk. */
static void merge(const call *c, const float *carry, float *value) {
  for (int64_t j = 0; j < c->n; j += LANES) {
    vf a[LANES];
    for (int l = 0; l < LANES; l++) a[l] = f_load(carry + l * c->room + j);
    for (int width = LANES / 2; width; width /= 2)
      for (int l = 0; l < width; l++) a[l] = f_add(a[2 * l], a[2 * l + 1]);
    f_store(value + j, a[0]);
  }
}

static void merge_chunk(const call *c, int64_t chunk, const float *carry) {
  if (c->dw >= 0) merge(c, carry, c->value + 2 * chunk * c->room);
  if (c->db >= 0) merge(c, carry + LANES * c->room, c->value + (2 * chunk + 1) * c->room);
}

static void run_part(const void *arg, int64_t index) {
  const call *c = arg;
  int64_t chunk = index / c->parts, part = index % c->parts;
  float *carry = c->parts > 1 ? c->carry + 2 * LANES * chunk * c->room : scratch(2, (size_t)(2 * LANES * c->room) * 4);
  if (!carry) return;
  run_lanes(c, chunk, LANES * part / c->parts, LANES * (part + 1) / c->parts, carry);
  if (c->parts == 1) merge_chunk(c, chunk, carry);
}

static void store_sum(const call *c, int64_t v, int64_t which) {
  if (v < 0) return;
  float *total = c->value + which * c->room;
  for (int64_t chunk = 1; chunk < c->chunks; chunk++) {
    const float *value = c->value + (2 * chunk + which) * c->room;
    for (int64_t j = 0; j < c->n; j++) total[j] += value[j];
  }
  for (int64_t j = 0; j < c->n; j++) total[j] = canonical1(total[j]);
  store_row(c->data[v], c->l->view[v].dtype, 1, total, 'f', c->n);
}

EXPORT int repops_layer_norm_backward(const layout *l, void *const *data, const uint64_t *word) {
  (void)word;
  call c = {.l = l, .data = data, .what = l->param[0], .dx = -1, .dw = -1, .db = -1};
  int64_t next = 0;
  if (c.what & INPUT) c.dx = next++;
  if (c.what & WEIGHT) c.dw = next++;
  if (c.what & BIAS) c.db = next++;
  c.dy = next++, c.x = next++, c.mean = next++, c.rstd = next++;
  c.rows = l->view[c.dy].size[0], c.n = l->view[c.dy].size[1];
  c.room = (c.n + LANES - 1) / LANES * LANES;
  c.chunks = ceil_div(c.rows, CHUNK);
  c.parts = c.chunks >= 2 * threads_max() || threads_max() == 1 || c.rows * c.n < 1 << 14 ? 1 : LANES / 2;
  size_t carries = c.parts > 1 ? (size_t)(2 * LANES * c.chunks * c.room) : 0, values = (size_t)(2 * MAX(c.chunks, 1) * c.room);
  float *kept = scratch(0, (carries + values + (size_t)c.room) * 4);
  if (!kept || !scratch(1, (size_t)(2 * ROWS * LANES * c.room) * 4) || !scratch(3, (size_t)(LANES * c.room) * 4) || !scratch(2, (size_t)(2 * LANES * c.room) * 4)) return NO_MEMORY;
  c.carry = kept, c.value = kept + carries;
  if (c.what & HAS_WEIGHT) c.w = plain_row(&l->view[next], data[next], 0, c.n, kept + carries + values);
  if (!c.rows) memset(c.value, 0, (size_t)(2 * c.room) * 4);
  if (c.rows * c.n < 1 << 14)
    for (int64_t i = 0; i < c.chunks; i++) run_part(&c, i);
  else
    run_tasks(c.chunks * c.parts, run_part, &c);
  for (int64_t i = 0; c.parts > 1 && i < c.chunks; i++) merge_chunk(&c, i, c.carry + 2 * LANES * i * c.room);
  store_sum(&c, c.dw, 0);
  store_sum(&c, c.db, 1);
  return DONE;
}
