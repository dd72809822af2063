/* The generic fold: a term program over any views, with an optional program to finish the totals.
 *
 * views: the output (rank K), then the term's reads (rank K + m: the output's dimensions, then the reduced ones in the
 * order terms are numbered). params: m, whether there is a finish, then the programs: term, finish. words: the term's,
 * then the finish's.
 *
 * Chunks are folded either along rows, where the sixteen lanes of a chunk are the lanes of one vector, or along columns, where a
 * vector holds neighbouring outputs and the sixteen lanes of a chunk are sixteen rows of carries that stay in cache.
 * Chunks are independent of each other, so threads may share out those of one output too; their values are combined in order.
 */
#include "convert.h"
#include "programs.h"
#include "repops.h"

#include <stdlib.h>

enum { WIDTH = 256, READS_MAX = 8, AT_ONCE = 64, TASK_TERMS = 1 << 15 };

typedef struct {
  const layout *l;
  void *const *data;
  const uint64_t *word;
  const program *term, *finish;
  int64_t reads, term_words, kept, reduced;
  int64_t terms, chunks, outputs, inner;
  int by_columns;
  int64_t width, across, blocks, spans; /* outputs a block, blocks along the inner dimension, all, parts of a block's chunks */
  char kind;
  size_t bytes;
  char *values; /* chunk values of all blocks, where a block has several parts */
} call;

typedef struct {
  char buffer[READS_MAX][WIDTH * 8] __attribute__((aligned(64)));
  char carry[LANES * WIDTH * 8] __attribute__((aligned(64)));
  char total[WIDTH * 8] __attribute__((aligned(64)));
  char value[WIDTH * 8] __attribute__((aligned(64)));
} workspace;

static const view *read_view(const call *c, int64_t r) { return &c->l->view[1 + r]; }
static char read_kind(const call *c, int64_t r) { return c->term->kinds[1 + r]; }

static int is_own_type(const call *c, int64_t r) {
  char kind = read_kind(c, r);
  return read_view(c, r)->dtype == (kind == 'f' ? F32 : kind == 'd' ? F64 : I64);
}

/* The place of element `at` of dimensions [from, to) of a view. */
static int64_t place(const view *w, int64_t from, int64_t to, int64_t at) {
  int64_t offset = 0;
  for (int64_t d = to - 1; d >= from && at; d--) {
    offset += at % w->size[d] * w->stride[d];
    at /= w->size[d];
  }
  return offset;
}

static const char *read_at(const call *c, int64_t r, int64_t offset) {
  return (const char *)c->data[1 + r] + offset * item_bytes(read_view(c, r)->dtype);
}

static void fill_words(void *to, size_t bytes, uint64_t word, int64_t n) {
  if (bytes == 4)
    for (int64_t i = 0; i < n; i++) ((uint32_t *)to)[i] = (uint32_t)word;
  else
    for (int64_t i = 0; i < n; i++) ((uint64_t *)to)[i] = word;
}

static void canonical_words(void *at, char kind, int64_t n) {
  if (kind == 'f')
    for (int64_t i = 0; i < n; i++) ((float *)at)[i] = canonical1(((float *)at)[i]);
  else if (kind == 'd')
    for (int64_t i = 0; i < n; i++) {
      double *v = (double *)at + i;
      if (*v != *v) *v = __builtin_nan("");
    }
}

static int is_same_for_all_terms(const call *c, int64_t r) {
  const view *w = read_view(c, r);
  for (int64_t d = c->kept; d < w->rank; d++)
    if (w->stride[d] && w->size[d] > 1) return 0;
  return 1;
}

static int64_t row_of(const call *c, int64_t r) { return c->reduced ? read_view(c, r)->size[c->kept + c->reduced - 1] : 1; }
static int64_t step_of(const call *c, int64_t r) { return c->reduced ? read_view(c, r)->stride[c->kept + c->reduced - 1] : 0; }

/* Walks over terms along all reduced dimensions but the last, whose rows are taken at once. */
typedef struct {
  int64_t index[RANK_MAX], offset[READS_MAX], in_row;
} walk;

static void start_walk(const call *c, walk *w, const int64_t *base, int64_t at) {
  int64_t last = c->reduced - 1;
  w->in_row = c->reduced ? at % row_of(c, 0) : 0;
  for (int64_t d = last - 1, rest = c->reduced ? at / row_of(c, 0) : 0; d >= 0; d--) {
    int64_t size = read_view(c, 0)->size[c->kept + d];
    w->index[d] = rest % size;
    rest /= size;
  }
  for (int64_t r = 0; r < c->reads; r++) {
    w->offset[r] = base[r];
    for (int64_t d = 0; d < last; d++) w->offset[r] += w->index[d] * read_view(c, r)->stride[c->kept + d];
  }
}

/* Step over `n` terms, at most to the end of a row. */
static void step_walk(const call *c, walk *w, int64_t n) {
  w->in_row += n;
  if (w->in_row < row_of(c, 0)) return;
  w->in_row = 0;
  for (int64_t d = c->reduced - 2; d >= 0; d--) {
    int64_t size = read_view(c, 0)->size[c->kept + d];
    int wraps = ++w->index[d] == size;
    for (int64_t r = 0; r < c->reads; r++) w->offset[r] += read_view(c, r)->stride[c->kept + d] * (wraps ? 1 - size : 1);
    if (!wraps) return;
    w->index[d] = 0;
  }
}

/* One chunk of `n` outputs, `base` apart, piece by piece as the terms lie in memory; values are `apart` elements apart. */
static void chunk_in_pieces(const call *c, workspace *s, const int64_t (*base)[READS_MAX], int64_t n, int64_t at, char *value,
                            int64_t apart) {
  int64_t terms = MIN(c->terms - at, CHUNK);
  walk w;
  start_walk(c, &w, base[0], at);
  fill_words(s->carry, c->bytes, c->term->fold->init, n * LANES);
  for (int64_t done = 0; done < terms;) {
    int64_t here = MIN(terms - done, row_of(c, 0) - w.in_row);
    for (int64_t i = 0; i < n; i++) {
      const void *in[READS_MAX];
      for (int64_t r = 0; r < c->reads; r++) {
        int64_t step = step_of(c, r);
        const char *there = read_at(c, r, w.offset[r] - base[0][r] + base[i][r] + w.in_row * step);
        in[r] = there;
        if (is_own_type(c, r) && step == 1) continue;
        in[r] = s->buffer[r];
        load_row(s->buffer[r], read_kind(c, r), there, read_view(c, r)->dtype, step, here);
      }
      c->term->fold->piece(here, done % LANES, in, c->word, s->carry + (size_t)(i * LANES) * c->bytes);
    }
    step_walk(c, &w, here);
    done += here;
  }
  for (int64_t i = 0; i < n; i++)
    c->term->fold->close(s->carry + (size_t)(i * LANES) * c->bytes, value + (size_t)(i * apart) * c->bytes);
}

/* Chunks [from, to) of one output that lie in one row, side by side in `values`. */
static void chunks_in_row(const call *c, workspace *s, const int64_t *base, int64_t from, int64_t to, char *values) {
  const void *in[READS_MAX];
  int64_t advance[READS_MAX], end = MIN(c->terms, to * CHUNK);
  for (int64_t r = 0; r < c->reads; r++) {
    advance[r] = !is_same_for_all_terms(c, r);
    in[r] = advance[r] ? read_at(c, r, base[r] + from * CHUNK) : s->buffer[r];
    if (!advance[r])
      load_row(s->buffer[r], read_kind(c, r), read_at(c, r, base[r]), read_view(c, r)->dtype, 0, MIN(c->terms, CHUNK));
  }
  c->term->fold->chunks(end - from * CHUNK, in, advance, c->word, values);
}

/* Whether an output's terms lie in one row in every read that differs from term to term. */
static int is_straight(const call *c) {
  if (c->reduced != 1) return 0;
  for (int64_t r = 0; r < c->reads; r++)
    if (!is_same_for_all_terms(c, r) && !(is_own_type(c, r) && step_of(c, r) == 1)) return 0;
  return 1;
}

/* Where every read's terms lie one after the other without a gap, sixteen of them are one long row. */
static int64_t long_row(const call *c, int64_t n) {
  if (c->reduced != 1 || n != c->inner) return 0;
  for (int64_t r = 0; r < c->reads; r++)
    if (!is_own_type(c, r) || read_view(c, r)->stride[c->kept - 1] != 1 || step_of(c, r) != n) return 0;
  return LANES * n <= WIDTH;
}

/* One chunk of `n` neighbouring outputs, from term `at` on. */
static void chunk_of_columns(const call *c, workspace *s, const int64_t *base, int64_t at, int64_t n, char *value) {
  const fold *f = c->term->fold;
  int64_t end = MIN(c->terms, at + CHUNK), is_long = long_row(c, n), apart = is_long ? n : WIDTH, direct = 1;
  const void *in[READS_MAX];
  int64_t step[READS_MAX];
  walk w;
  if (end - at < LANES) fill_words(s->carry, c->bytes, f->init, LANES * apart);
  start_walk(c, &w, base, at);
  for (int64_t r = 0; r < c->reads; r++) direct &= is_own_type(c, r) && read_view(c, r)->stride[c->kept - 1] == 1;
  for (int64_t t = at; t < end;) {
    int64_t here = direct ? MIN(end - t, row_of(c, 0) - w.in_row) : 1;
    for (int64_t r = 0; r < c->reads; r++) {
      const char *there = read_at(c, r, w.offset[r] + w.in_row * step_of(c, r));
      in[r] = there, step[r] = step_of(c, r);
      if (is_own_type(c, r) && read_view(c, r)->stride[c->kept - 1] == 1) continue;
      in[r] = s->buffer[r], step[r] = 0;
      if (t > at && is_same_for_all_terms(c, r)) continue;
      load_row(s->buffer[r], read_kind(c, r), there, read_view(c, r)->dtype, read_view(c, r)->stride[c->kept - 1], n);
    }
    if (is_long && here >= LANES) {
      here -= here % LANES;
      for (int64_t r = 0; r < c->reads; r++) step[r] *= LANES;
      f->tall(LANES * n, here / LANES, in, step, c->word, s->carry);
    } else {
      f->columns(n, here, t - at, in, step, c->word, s->carry, apart);
    }
    step_walk(c, &w, here);
    t += here;
  }
  f->merge(n, s->carry, apart, value);
}

/* Add `n` further chunk values to the totals of a block, or begin with them. */
static void add_columns(const call *c, workspace *s, const char *value, int64_t n, int first) {
  if (first)
    memcpy(s->total, value, (size_t)n * c->bytes);
  else
    c->term->fold->combine->run(n, (const void *[]){s->total, value}, (void *[]){s->total}, c->word);
}

static void add_row(const call *c, char *total, const char *values, int64_t n, int first) {
  if (first) memcpy(total, values, c->bytes);
  c->term->fold->chain(n - first, values + first * c->bytes, total);
}

/* Finish the totals of outputs [output, output + n) and store them. */
static void store_totals(const call *c, workspace *s, int64_t output, int64_t n) {
  char *totals = s->total;
  canonical_words(totals, c->kind, n);
  if (c->finish) {
    c->finish->run(n, (const void *[]){totals}, (void *[]){s->value}, c->word + c->term_words);
    totals = s->value;
  }
  const view *o = &c->l->view[0];
  char kind = c->finish ? c->finish->results[0] : c->kind;
  size_t bytes = kind == 'f' ? 4 : 8;
  int64_t row = c->kept ? o->size[c->kept - 1] : 1, step = c->kept ? o->stride[c->kept - 1] : 0;
  for (int64_t done = 0; done < n;) {
    int64_t here = MIN(n - done, row - (output + done) % row);
    char *memory = (char *)c->data[0] + place(o, 0, c->kept, output + done) * item_bytes(o->dtype);
    store_row(memory, o->dtype, step, totals + done * bytes, kind, here);
    done += here;
  }
}

/* The first output of a block, and how many it has. */
static int64_t block_start(const call *c, int64_t block, int64_t *n) {
  if (!c->by_columns) {
    *n = MIN(c->width, c->outputs - block * c->width);
    return block * c->width;
  }
  int64_t column = block % c->across * c->width;
  *n = MIN(c->width, c->inner - column);
  return block / c->across * c->inner + column;
}

static char *values_of(const call *c, int64_t block) { return c->values + (size_t)(block * c->chunks * c->width) * c->bytes; }

/* Chunks [from, to) of a block of outputs whose chunks are rows of lanes. */
static void part_by_rows(const call *c, workspace *s, int64_t output, int64_t n, int64_t from, int64_t to, char *kept) {
  int64_t base[WIDTH][READS_MAX], apart[READS_MAX] = {0}, even = 1;
  for (int64_t i = 0; i < n; i++)
    for (int64_t r = 0; r < c->reads; r++) {
      base[i][r] = place(read_view(c, r), 0, c->kept, output + i);
      if (i == 1) apart[r] = base[1][r] - base[0][r];
      if (i > 1) even &= base[i][r] - base[i - 1][r] == apart[r];
      even &= !is_same_for_all_terms(c, r);
    }
  int straight = is_straight(c);
  if (straight && even && c->chunks == 1) {
    const void *in[READS_MAX];
    for (int64_t r = 0; r < c->reads; r++) in[r] = read_at(c, r, base[0][r]);
    c->term->fold->rows(n, c->terms, in, apart, c->word, s->total);
    return;
  }
  if (straight) {
    for (int64_t i = 0; i < n; i++)
      for (int64_t at = from; at < to; at += AT_ONCE) {
        int64_t end = MIN(to, at + AT_ONCE);
        char *values = kept ? kept + (size_t)(i * c->chunks + at) * c->bytes : s->value;
        chunks_in_row(c, s, base[i], at, end, values);
        if (!kept) add_row(c, s->total + i * c->bytes, values, end - at, at == from);
      }
    return;
  }
  for (int64_t at = from; at < to; at++) {
    char *values = kept ? kept + (size_t)at * c->bytes : s->value;
    chunk_in_pieces(c, s, (const int64_t (*)[READS_MAX])base, n, at * CHUNK, values, kept ? c->chunks : 1);
    if (!kept) add_columns(c, s, values, n, at == from);
  }
}

/* Chunks [from, to) of a block of outputs that lie side by side in a vector. */
static void part_by_columns(const call *c, workspace *s, int64_t output, int64_t n, int64_t from, int64_t to, char *kept) {
  int64_t base[READS_MAX];
  for (int64_t r = 0; r < c->reads; r++) base[r] = place(read_view(c, r), 0, c->kept, output);
  for (int64_t i = from; i < to; i++) {
    char *value = kept ? kept + (size_t)(i * c->width) * c->bytes : s->value;
    chunk_of_columns(c, s, base, i * CHUNK, n, value);
    if (!kept) add_columns(c, s, value, n, i == from);
  }
}

/* A part of a block's chunks: kept for later where the block has several parts, otherwise totalled at once. */
static void run_part(const void *arg, int64_t index) {
  const call *c = arg;
  workspace s;
  int64_t block = index / c->spans, part = index % c->spans, n;
  int64_t from = c->chunks * part / c->spans, to = c->chunks * (part + 1) / c->spans;
  int64_t output = block_start(c, block, &n);
  char *kept = c->values ? values_of(c, block) : NULL;
  (c->by_columns ? part_by_columns : part_by_rows)(c, &s, output, n, from, to, kept);
  if (!kept) store_totals(c, &s, output, n);
}

/* Total what the parts of a block have left. */
static void run_totals(const void *arg, int64_t block) {
  const call *c = arg;
  workspace s;
  int64_t n, output = block_start(c, block, &n);
  char *values = values_of(c, block);
  for (int64_t i = 0; i < (c->by_columns ? c->chunks : n); i++) {
    if (c->by_columns)
      add_columns(c, &s, values + (size_t)(i * c->width) * c->bytes, n, i == 0);
    else
      add_row(c, s.total + i * c->bytes, values + (size_t)(i * c->chunks) * c->bytes, c->chunks, 1);
  }
  store_totals(c, &s, output, n);
}

static void run_empty(call *c) {
  workspace s;
  c->by_columns = 0, c->width = WIDTH;
  for (int64_t at = 0; at < c->outputs; at += WIDTH) {
    int64_t n = MIN(WIDTH, c->outputs - at);
    fill_words(s.total, c->bytes, c->term->fold->init, n);
    store_totals(c, &s, at, n);
  }
}

/* Columns where neighbouring outputs lie closer together than neighbouring terms do, or terms are few. */
static int prefers_columns(const call *c) {
  if (c->kept == 0 || c->inner < 8) return 0;
  if (c->terms < 2 * LANES) return 1;
  for (int64_t r = 0; r < c->reads; r++) {
    const view *w = read_view(c, r);
    if (is_same_for_all_terms(c, r)) continue;
    int64_t across = llabs(w->stride[c->kept - 1]), along = c->reduced ? llabs(w->stride[w->rank - 1]) : 0;
    return across < along;
  }
  return 1;
}

static void choose_blocks(call *c) {
  c->width = c->by_columns ? MIN(WIDTH, c->inner) : MAX(1, MIN(WIDTH, TASK_TERMS / c->terms));
  if (c->by_columns) {
    /* Narrower blocks if otherwise some thread would have none. */
    while (c->width > 64 && ceil_div(c->inner, c->width) * (c->outputs / c->inner) < threads_max() && c->chunks == 1)
      c->width = (c->width / 2 + LANES - 1) / LANES * LANES;
    c->across = ceil_div(c->inner, c->width);
    c->blocks = c->outputs / c->inner * c->across;
  } else {
    /* Outputs whose terms lie in pieces share the walk over them. */
    if (!is_straight(c)) c->width = MIN(WIDTH / 4, MAX(c->width, ceil_div(c->outputs, 2 * threads_max())));
    c->blocks = ceil_div(c->outputs, c->width);
  }
  c->spans = 1;
  int64_t threads = threads_max();
  if (threads > 1 && c->blocks % threads && c->blocks < 4 * threads && c->outputs * c->terms >= TASK_TERMS)
    c->spans = MIN(c->chunks, 2 * threads);
}

EXPORT int repops_fold(const layout *l, void *const *data, const uint64_t *word) {
  call c = {.l = l, .data = data, .word = word};
  int64_t has_finish = l->param[1];
  c.term = &programs[l->param[2]];
  c.finish = has_finish ? &programs[l->param[3]] : NULL;
  c.reads = l->views - 1;
  c.reduced = l->param[0];
  c.kept = l->view[0].rank;
  if (c.reads > READS_MAX || !c.term->fold) return BAD_LAYOUT;
  for (const char *k = c.term->kinds; *k; k++) c.term_words += *k < 'a';
  c.kind = c.term->results[0];
  c.bytes = c.kind == 'f' ? 4 : 8;
  c.outputs = numel(&l->view[0]);
  c.inner = c.kept ? l->view[0].size[c.kept - 1] : 1;
  c.terms = 1;
  for (int64_t d = 0; d < c.reduced; d++) c.terms *= read_view(&c, 0)->size[c.kept + d];
  c.chunks = ceil_div(c.terms, CHUNK);
  if (c.terms == 0) {
    run_empty(&c);
    return DONE;
  }
  c.by_columns = prefers_columns(&c);
  choose_blocks(&c);
  if (c.spans > 1) {
    c.values = scratch(0, (size_t)(c.blocks * c.chunks * c.width) * c.bytes);
    if (!c.values) return NO_MEMORY;
  }
  if (c.outputs * c.terms < TASK_TERMS)
    for (int64_t i = 0; i < c.blocks; i++) run_part(&c, i);
  else
    run_tasks(c.blocks * c.spans, run_part, &c);
  for (int64_t i = 0; c.values && i < c.blocks; i++) run_totals(&c, i);
  return DONE;
}
