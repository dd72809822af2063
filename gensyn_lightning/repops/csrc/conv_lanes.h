/* Laying out a source for lanes of several groups: see conv_lanes.c. */
#ifndef REPOPS_CONV_LANES_H
#define REPOPS_CONV_LANES_H

#include "conv.h"

/* Channels of a source for the lanes of one block: lane l reads channel group(first + l) * depth + j. */
typedef struct {
  int64_t per_group, depth, first, lanes;
} spread;

/* The window that output positions [first, last] of dimension i can touch. */
void conv_reach(window *box, const geometry *g, const image *w, int transposed, int i, int64_t first, int64_t last);
/* Lay out the box for js of the j < depth: to[j][position][lane], and room for a position's channels behind it. */
void conv_lay_out(float *to, const image *v, const window *box, int64_t n, const spread *s, int64_t j, int64_t js);
size_t conv_lay_out_bytes(const window *box, const spread *s, int64_t js);

#endif
