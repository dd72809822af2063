/* Writes that follow an index: out[p, r, q] is a fold, over n in ascending order, of the sources whose index is r.
 *
 * Views: out[P, R, Q], then, if param 1 is set, the values the fold starts from, then index[P, N, Q] and source[P, N, Q].
 * If param 2 is set there is one more, row[N], and source n is row[n] of source[P, M, Q]; the index is the same for all q.
 * Param 0 is what is done with a source: see `operation`. Without values to start from, out starts as 0. Word 0 is an index
 * that is passed over, a row or not. Every element's terms are taken one after the other, by one thread.
 */
#include "index.h"

enum operation { ADD = 0, WRITE = 1, MUL = 2, LARGEST = 3, SMALLEST = 4 };

typedef struct {
  const view *out, *start, *index, *source;
  char *o;
  const char *s, *x;
  const int64_t *i;
  const int64_t *via;
  int64_t via_step, skip;
  index_split split;
  int bad;
  void (*body)(const void *job, index_part part);
} write_job;

/* Rows of one index: every element of a stretch goes to the same row. */
#define ROWS(T, VALUE)                                                                              \
  for (int64_t q = part.q0; q < part.q1; q++) {                                                     \
    T a = o[q * oq], b = x[q * xq];                                                                 \
    o[q * oq] = VALUE;                                                                              \
  }

/* No suffix: one element after the other. */
#define ELEMENTS(T, VALUE)                                                                          \
  for (int64_t n = 0; n < n_all; n++) {                                                             \
    int64_t r = index[n * in];                                                                      \
    if (__builtin_expect((uint64_t)(r - part.r0) >= (uint64_t)all || r == skip, 0)) {               \
      if (r != skip && (r < 0 || r >= rows)) { j->bad = 1; return; }                                \
      continue;                                                                                     \
    }                                                                                               \
    T *o = out + r * step, a = *o, b = x[n * xn];                                                   \
    *o = VALUE;                                                                                     \
  }

#define LINE(NAME, T, VALUE)                                                                        \
  static void NAME##_line(write_job *j, T *out, int64_t p, index_part part) {                       \
    const int64_t *index = j->i + p * j->index->stride[0];                                          \
    const T *x = (const T *)j->x + p * j->source->stride[0];                                        \
    int64_t n_all = j->index->size[1], in = j->index->stride[1], xn = j->source->stride[1];         \
    int64_t rows = j->out->size[1], step = j->out->stride[1], skip = j->skip, all = part.r1 - part.r0; \
    ELEMENTS(T, VALUE)                                                                              \
  }

#define BODY(NAME, T, VALUE)                                                                        \
  LINE(NAME, T, VALUE)                                                                              \
  static void NAME(const void *arg, index_part part) {                                              \
    write_job *j = (write_job *)arg;                                                                \
    const view *vo = j->out, *vi = j->index, *vx = j->source;                                       \
    int64_t n_all = vi->size[1], rows = vo->size[1];                                                \
    int64_t oq = vo->stride[2], xq = vx->stride[2], or = vo->stride[1], iq = vi->stride[2];         \
    for (int64_t p = part.p0; p < part.p1; p++) {                                                   \
      T *out = (T *)j->o + p * vo->stride[0];                                                       \
      if (vi->size[2] == 1 && !j->via) {                                                            \
        NAME##_line(j, out, p, part);                                                               \
        continue;                                                                                   \
      }                                                                                             \
      for (int64_t n = 0; n < n_all; n++) {                                                         \
        const int64_t *index = j->i + p * vi->stride[0] + n * vi->stride[1];                        \
        const T *x = (const T *)j->x + p * vx->stride[0] + n * vx->stride[1];                       \
        if (j->via) {                                                                               \
          int64_t row = j->via[n * j->via_step];                                                    \
          if (row < 0 || row >= vx->size[1]) { j->bad = 1; return; }                                \
          x = (const T *)j->x + p * vx->stride[0] + row * vx->stride[1];                            \
        }                                                                                           \
        if (iq == 0) {                                                          \
          int64_t r = *index;                                                                       \
          if (r == j->skip) continue;                                                               \
          if (r < 0 || r >= rows) { j->bad = 1; return; }                                           \
          if (r < part.r0 || r >= part.r1) continue;                                                \
          T *o = out + r * or;                                                                      \
          if (oq == 1 && xq == 1) { const int64_t oq = 1, xq = 1; ROWS(T, VALUE) }                  \
          else ROWS(T, VALUE)                                                                       \
          continue;                                                                                 \
        }                                                                                           \
        for (int64_t q = part.q0; q < part.q1; q++) {                                               \
          int64_t r = index[q * iq];                                                                \
          if (r == j->skip) continue;                                                               \
          if (r < 0 || r >= rows) { j->bad = 1; return; }                                           \
          if (r < part.r0 || r >= part.r1) continue;                                                \
          T *o = out + r * or + q * oq, a = *o, b = x[q * xq];                                      \
          *o = VALUE;                                                                               \
        }                                                                                           \
      }                                                                                             \
    }                                                                                               \
  }

/* NaN is rare: a branch that is not taken costs less than a choice. */
#define RARE(x) __builtin_expect_with_probability(x, 0, 0.9999)
INLINE float canonical_float(float v) {
  if (RARE(v != v)) v = __builtin_nanf("");
  return v;
}
INLINE double canonical_double(double v) {
  if (RARE(v != v)) v = __builtin_nan("");
  return v;
}

BODY(add_float, float, canonical_float(a + b))
BODY(add_double, double, canonical_double(a + b))
BODY(add_int, int64_t, a + b)
BODY(mul_float, float, canonical_float(a * b))
BODY(mul_double, double, canonical_double(a * b))
BODY(largest_float, float, b != b ? canonical_float(b) : a < b ? b : a)
BODY(largest_double, double, b != b ? canonical_double(b) : a < b ? b : a)
BODY(smallest_float, float, b != b ? canonical_float(b) : b < a ? b : a)
BODY(smallest_double, double, b != b ? canonical_double(b) : b < a ? b : a)
BODY(smallest_int, int64_t, b < a ? b : a)
BODY(write_float, float, ((void)a, canonical_float(b)))
BODY(write_double, double, ((void)a, canonical_double(b)))
BODY(write_half, uint16_t, ((void)a, (b & 0x7fff) > 0x7c00 ? 0x7e00 : b))
BODY(write_bfloat, uint16_t, ((void)a, (b & 0x7fff) > 0x7f80 ? 0x7fc0 : b))
BODY(write_8, uint8_t, ((void)a, b))
BODY(write_16, uint16_t, ((void)a, b))
BODY(write_32, uint32_t, ((void)a, b))
BODY(write_64, uint64_t, ((void)a, b))

typedef void body(const void *, index_part);

static body *body_of(int64_t operation, int64_t dtype) {
  static body *const floats[] = {add_float, write_float, mul_float, largest_float, smallest_float};
  static body *const doubles[] = {add_double, write_double, mul_double, largest_double, smallest_double};
  if (dtype == F32) return floats[operation];
  if (dtype == F64) return doubles[operation];
  if (operation == ADD) return dtype == I64 ? add_int : 0;
  if (operation == SMALLEST) return dtype == I64 ? smallest_int : 0;
  if (operation != WRITE) return 0;
  if (dtype == F16) return write_half;
  if (dtype == BF16) return write_bfloat;
  switch (item_bytes(dtype)) {
    case 1: return write_8;
    case 2: return write_16;
    case 4: return write_32;
    default: return write_64;
  }
}

/* Where a fold starts: the values given, or 0. Values that are the output itself are there already. */
static void begin(const write_job *j, index_part part) {
  const view *v = j->out, *w = j->start;
  int64_t bytes = item_bytes(v->dtype);
  if (j->s == j->o && w && w->stride[0] == v->stride[0] && w->stride[1] == v->stride[1] && w->stride[2] == v->stride[2])
    return;
  char kind = v->dtype == F64 ? 'd' : v->dtype == F32 || v->dtype == F16 || v->dtype == BF16 ? 'f' : 'i';
  double buffer[128];
  /* Without a suffix the rows are the inner loop. */
  int inner = v->size[2] == 1 ? 1 : 2;
  int64_t o0 = inner == 1 ? 0 : part.r0, o1 = inner == 1 ? 1 : part.r1;
  int64_t i0 = inner == 1 ? part.r0 : part.q0, i1 = inner == 1 ? part.r1 : part.q1;
  int64_t step = v->stride[inner];
  for (int64_t p = part.p0; p < part.p1; p++)
    for (int64_t r = o0; r < o1; r++)
      for (int64_t q = i0, n = 0; q < i1; q += n) {
        n = w || step != 1 ? MIN(128, i1 - q) : i1 - q;
        char *o = j->o + (p * v->stride[0] + r * v->stride[1] + q * step) * bytes;
        if (w) load_row(buffer, kind, j->s + (p * w->stride[0] + r * w->stride[1] + q * w->stride[inner]) * bytes,
                        w->dtype, w->stride[inner], n);
        else if (step == 1) { memset(o, 0, (size_t)(n * bytes)); continue; }
        else memset(buffer, 0, sizeof buffer);
        store_row(o, v->dtype, step, buffer, kind, n);
      }
}

/* The hot one, sums of binary32 without gaps: NaN is looked for once the row is done. */
static void add_plain(write_job *j, index_part part) {
  float *out = (float *)j->o + part.p0 * j->out->stride[0];
  const float *x = (const float *)j->x + part.p0 * j->source->stride[0];
  const int64_t *index = j->i + part.p0 * j->index->stride[0];
  int64_t n_all = j->index->size[1], rows = j->out->size[1], all = part.r1 - part.r0;
  for (int64_t n = 0; n < n_all; n++) {
    int64_t r = index[n];
    if (__builtin_expect((uint64_t)(r - part.r0) >= (uint64_t)all, 0)) {
      if (r != j->skip && (r < 0 || r >= rows)) { j->bad = 1; return; }
      continue;
    }
    out[r] += x[n];
  }
  int nan = 0;
  for (int64_t r = part.r0; r < part.r1; r++) nan |= out[r] != out[r];
  if (nan)
    for (int64_t r = part.r0; r < part.r1; r++) out[r] = canonical1(out[r]);
}

static int is_plain(const write_job *j, index_part part) {
  return j->body == add_float && j->out->size[2] == 1 && !j->via && j->index->stride[1] == 1 &&
         j->source->stride[1] == 1 && j->out->stride[1] == 1 &&
         !(j->skip >= part.r0 && j->skip < part.r1) && 8 * j->index->size[1] >= part.r1 - part.r0;
}

static void run_part(const void *arg, int64_t at) {
  write_job *j = (write_job *)arg;
  index_part part = index_part_of(&j->split, at);
  int64_t p1 = part.p1;
  for (int64_t p = part.p0; p < p1 && !j->bad; p++) {
    part.p0 = p;
    part.p1 = p + 1;
    begin(j, part);
    if (is_plain(j, part)) add_plain(j, part);
    else j->body(j, part);
  }
}

EXPORT int repops_index_write(const layout *l, void *const *data, const uint64_t *word) {
  int64_t given = l->param[1] != 0, looked_up = l->param[2] != 0;
  const view *v = l->view;
  if (l->views != 3 + given + looked_up) return BAD_LAYOUT;
  write_job j = {&v[0], given ? &v[1] : 0, &v[1 + given], &v[2 + given], data[0], given ? data[1] : 0, data[2 + given],
                 data[1 + given], looked_up ? data[3 + given] : 0, looked_up ? v[3 + given].stride[0] : 0,
                 (int64_t)word[0], {0}, 0, body_of(l->param[0], v[0].dtype)};
  if (!j.body || j.index->dtype != I64 || j.source->dtype != v[0].dtype) return BAD_LAYOUT;
  j.split = index_split_of(v[0].size[0], v[0].size[1], v[0].size[2], j.index->size[1]);
  run_tasks(index_parts(&j.split), run_part, &j);
  return j.bad ? BAD_INDEX : DONE;
}
