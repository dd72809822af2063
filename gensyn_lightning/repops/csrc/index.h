/* What the kernels that follow indices share: how a table of prefix × rows × suffix is dealt out to tasks. */
#ifndef REPOPS_INDEX_H
#define REPOPS_INDEX_H

#include "convert.h"
#include "repops.h"

typedef struct {
  int64_t p0, p1, r0, r1, q0, q1;
} index_part;

/* How many parts each dimension is cut into: prefixes if there are enough, else suffixes, else rows. A part goes over
 * all the indices, whichever its rows, so every element still sees its terms in order. */
typedef struct {
  int64_t p, r, q, parts_p, parts_r, parts_q;
} index_split;

INLINE index_split index_split_of(int64_t p, int64_t r, int64_t q, int64_t terms) {
  index_split s = {p, r, q, 1, 1, 1};
  int64_t threads = threads_max();
  if (threads == 1 || p * q * (terms + r) < (1 << 15)) return s;
  if (p >= 2 * threads) s.parts_p = MIN(p, 8 * threads);
  else if (q >= 64 * threads) s.parts_q = threads;
  else s.parts_r = MIN(r, threads);
  return s;
}

INLINE int64_t index_parts(const index_split *s) { return s->parts_p * s->parts_r * s->parts_q; }

INLINE index_part index_part_of(const index_split *s, int64_t at) {
  int64_t q = at % s->parts_q, r = at / s->parts_q % s->parts_r, p = at / s->parts_q / s->parts_r;
  index_part part = {s->p * p / s->parts_p, s->p * (p + 1) / s->parts_p, s->r * r / s->parts_r,
                     s->r * (r + 1) / s->parts_r, s->q * q / s->parts_q, s->q * (q + 1) / s->parts_q};
  return part;
}

#endif
