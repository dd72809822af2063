/* Elements in order along the last dimension, those of some ranks only, and where they were.
 *
 * views: values, places (64-bit), elements; all dimensions but the last agree. params: whether the order descends; the rule
 * that says which ranks are wanted. words: the first rank, the number of elements in a row.
 *
 * An element becomes an item: a whole number in the same order as the element, and its place. No two items are equal, so
 * whatever sorts them gives the same result. Of long rows only the items that can have a wanted rank are sorted.
 */
#include "convert.h"
#include "repops.h"

enum { GIVEN, MEDIAN, NANMEDIAN, MODE };
enum { FEW = 48, DIGIT = 11, BINS = 1 << DIGIT, SMALL_DIGIT = 8, ENOUGH = 512, BLOCK = 64 };

/* Rows with keys of 32 bits have one number an item, key above place; all others have two. */
typedef uint64_t narrow;
typedef struct { uint64_t key, at; } wide;

typedef struct {
  const layout *l;
  void *const *data;
  int64_t rows, n, k, first, per_task;
  int descending, rule, is_wide, status;
  char kind;
} sort_job;

INLINE uint32_t key_of_float(float x) {
  uint32_t u = bits1(x);
  if (x != x) return UINT32_MAX;
  if (x == 0) return 0x80000000;
  return u >> 31 ? ~u : u | 0x80000000;
}

INLINE uint64_t key_of_double(double x) {
  uint64_t u;
  memcpy(&u, &x, 8);
  if (x != x) return UINT64_MAX;
  if (x == 0) return (uint64_t)1 << 63;
  return u >> 63 ? ~u : u | (uint64_t)1 << 63;
}

#define ITEM narrow
#define NAME(name) name##_narrow
#define BITS 64
#define LOW_BIT 32 /* items are made in the order of their places, and sorts that go by digits keep it */
#define DIGIT_AT(item, shift) ((item) >> (shift))
#define BEFORE(a, b) ((a) < (b))
#include "sort_items.h"
#undef ITEM
#undef NAME
#undef LOW_BIT
#undef DIGIT_AT
#undef BEFORE

#define ITEM wide
#define NAME(name) name##_wide
#define LOW_BIT 0
#define DIGIT_AT(item, shift) ((item).key >> (shift))
#define BEFORE(a, b) ((a).key < (b).key || ((a).key == (b).key && (a).at < (b).at))
#include "sort_items.h"

static int64_t offset_of(const view *v, int64_t row) {
  int64_t at = 0;
  for (int64_t d = v->rank - 2; d >= 0 && row; d--) {
    at += row % v->size[d] * v->stride[d];
    row /= v->size[d];
  }
  return at;
}

static void make_narrow(const sort_job *j, const void *x, narrow *item) {
  uint32_t turn = j->descending ? UINT32_MAX : 0;
  if (j->kind == 'f')
    for (int64_t i = 0; i < j->n; i++) item[i] = (uint64_t)(key_of_float(((const float *)x)[i]) ^ turn) << 32 | (uint64_t)i;
  else
    for (int64_t i = 0; i < j->n; i++) {
      uint32_t key = (uint32_t)((const int64_t *)x)[i] ^ 0x80000000 ^ turn;
      item[i] = (uint64_t)key << 32 | (uint64_t)i;
    }
}

/* Of a long row's binary32 numbers, make items of those only that can be among the first `wanted`; return how many.
 *
 * Whenever `spare` is full its first `wanted` stay, and the last of those bounds what is taken from then on.
 */
static int64_t make_first(const sort_job *j, const float *x, narrow *item, narrow *spare, int64_t wanted) {
  uint32_t turn = j->descending ? UINT32_MAX : 0, bound = UINT32_MAX;
  int64_t room = MAX(8 * wanted, ENOUGH), kept = 0;
  for (int64_t from = 0; from < j->n; from += BLOCK) {
    uint32_t key[BLOCK], least = UINT32_MAX;
    int64_t n = MIN(BLOCK, j->n - from);
    for (int64_t i = 0; i < n; i++) {
      key[i] = key_of_float(x[from + i]) ^ turn;
      least = MIN(least, key[i]);
    }
    if (least > bound) continue;
    for (int64_t i = 0; i < n; i++) {
      item[kept] = (uint64_t)key[i] << 32 | (uint64_t)(from + i);
      kept += key[i] <= bound;
    }
    if (kept + BLOCK <= room) continue;
    narrow *sorted = by_digits_narrow(item, spare, kept);
    if (sorted != item) memcpy(item, sorted, (size_t)wanted * sizeof *item);
    kept = MIN(kept, wanted);
    bound = (uint32_t)(item[kept - 1] >> 32);
  }
  return kept;
}

static void make_wide(const sort_job *j, const void *x, wide *item) {
  uint64_t turn = j->descending ? UINT64_MAX : 0;
  for (int64_t i = 0; i < j->n; i++) {
    uint64_t key = j->kind == 'd'   ? key_of_double(((const double *)x)[i])
                   : j->kind == 'f' ? (uint64_t)key_of_float(((const float *)x)[i]) << 32
                                    : (uint64_t)((const int64_t *)x)[i] ^ (uint64_t)1 << 63;
    item[i] = (wide){key ^ turn, (uint64_t)i};
  }
}

static int64_t count_nans(const sort_job *j, const void *x) {
  int64_t count = 0;
  if (j->kind == 'f') for (int64_t i = 0; i < j->n; i++) count += ((const float *)x)[i] != ((const float *)x)[i];
  if (j->kind == 'd') for (int64_t i = 0; i < j->n; i++) count += ((const double *)x)[i] != ((const double *)x)[i];
  return count;
}

static int64_t place_of(const sort_job *j, const void *item, int64_t i) {
  return j->is_wide ? (int64_t)((const wide *)item)[i].at : (int64_t)(((const narrow *)item)[i] & UINT32_MAX);
}

static int equal_at(const sort_job *j, const void *x, int64_t a, int64_t b) {
  if (j->kind == 'f') return ((const float *)x)[a] == ((const float *)x)[b];
  if (j->kind == 'd') return ((const double *)x)[a] == ((const double *)x)[b];
  return ((const int64_t *)x)[a] == ((const int64_t *)x)[b];
}

/* The rank of the last of the longest run of equals, the first of several; all items are in order. */
static int64_t rank_of_mode(const sort_job *j, const void *x, const void *item) {
  int64_t best = 0, most = 0, run = 0, before = 0;
  for (int64_t i = 0; i < j->n; i++) {
    int64_t at = place_of(j, item, i);
    run = i && equal_at(j, x, before, at) ? run + 1 : 1;
    before = at;
    if (run > most) most = run, best = i;
  }
  return best;
}

static double canonical_double(double v) { return v != v ? __builtin_nan("") : v; }

/* Write k elements, those of `item` from number `from` on. */
static void put(const sort_job *j, int64_t row, const void *x, const void *item, int64_t from, char *made) {
  const view *values = &j->l->view[0], *places = &j->l->view[1];
  int64_t *to = (int64_t *)j->data[1] + offset_of(places, row), step = places->stride[places->rank - 1];
  for (int64_t i = 0; i < j->k; i++) {
    int64_t at = place_of(j, item, from + i);
    to[i * step] = at;
    if (j->kind == 'f') ((float *)made)[i] = canonical1(((const float *)x)[at]);
    else if (j->kind == 'd') ((double *)made)[i] = canonical_double(((const double *)x)[at]);
    else ((uint64_t *)made)[i] = ((const uint64_t *)x)[at];
  }
  char *out = (char *)j->data[0] + offset_of(values, row) * item_bytes(values->dtype);
  store_row(out, values->dtype, values->stride[values->rank - 1], made, j->kind, j->k);
}

static void sort_row(sort_job *j, int64_t row) {
  const view *v = &j->l->view[2];
  size_t item_size = j->is_wide ? sizeof(wide) : sizeof(narrow), word = j->kind == 'f' ? 4 : 8;
  void *x = scratch(0, (size_t)j->n * word), *item = scratch(1, (size_t)j->n * item_size);
  void *spare = scratch(2, (size_t)j->n * item_size);
  char *made = scratch(3, (size_t)j->k * 8);
  if (!x || !item || !spare || !made) { j->status = NO_MEMORY; return; }
  load_row(x, j->kind, (const char *)j->data[2] + offset_of(v, row) * item_bytes(v->dtype), v->dtype, v->stride[v->rank - 1], j->n);
  int64_t rank = j->first, wanted = j->k;
  if (j->rule == MEDIAN || j->rule == NANMEDIAN) {
    int64_t nans = count_nans(j, x);
    if (j->rule == MEDIAN) rank = nans ? j->n - nans : (j->n - 1) / 2;
    else rank = nans == j->n ? 0 : (j->n - nans - 1) / 2;
  }
  if (j->rule == MODE) rank = 0, wanted = j->n;
  if (j->is_wide) {
    make_wide(j, x, item);
    item = order_wide(item, spare, j->n, &rank, wanted);
  } else {
    int few = j->kind == 'f' && rank == 0 && wanted <= j->n / 64 && j->n >= 4 * ENOUGH;
    int64_t n = few ? make_first(j, x, item, spare, wanted) : j->n;
    if (!few) make_narrow(j, x, item);
    item = order_narrow(item, spare, n, &rank, wanted);
  }
  if (j->rule == MODE) rank = rank_of_mode(j, x, item);
  put(j, row, x, item, rank, made);
}

static void run_rows(const void *arg, int64_t index) {
  sort_job *j = (sort_job *)arg;
  int64_t end = MIN(j->rows, (index + 1) * j->per_task);
  for (int64_t row = index * j->per_task; row < end; row++) sort_row(j, row);
}

EXPORT int repops_sort(const layout *l, void *const *data, const uint64_t *word) {
  const view *v = l->view;
  if (l->views != 3 || l->params < 2 || v[0].dtype != v[2].dtype || v[1].dtype != I64) return BAD_LAYOUT;
  int64_t last = v[2].rank - 1, dtype = v[2].dtype, n = v[2].size[last], k = v[0].size[last];
  sort_job j = {l, data, numel(&v[0]) / k, n, k, (int64_t)word[0], 1, l->param[0] != 0, (int)l->param[1], 0, DONE, 'i'};
  if (j.first < 0 || j.first + k > n) return BAD_LAYOUT;
  if (dtype == F64) j.kind = 'd';
  if (dtype == F32 || dtype == F16 || dtype == BF16) j.kind = 'f';
  j.is_wide = dtype == F64 || dtype == I64 || n > UINT32_MAX;
  j.per_task = MAX(1, (1 << 13) / n);
  run_tasks(ceil_div(j.rows, j.per_task), run_rows, &j);
  return j.status;
}
