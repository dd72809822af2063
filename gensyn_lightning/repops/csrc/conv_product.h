/* The product behind the forward convolution and the input gradient: see conv.h.
 *
 * A product covers one residue class of output positions (the forward convolution has one). Its source
 * is planar: the view itself where no padding is needed, else a padded copy.
 */
#ifndef REPOPS_CONV_PRODUCT_H
#define REPOPS_CONV_PRODUCT_H

#include "conv.h"

typedef struct {
  const float *source;    /* first image, first channel, first position */
  int64_t each, per_group; /* source elements from image to image and from group to group */
  int64_t step[3];        /* source elements from position to position */
  const int64_t *offset;  /* of every term */
  int64_t terms;
  const float *panel; /* [group][block][term][lane] */
  const float *bias;  /* [group][block][lane], or NULL */
  image out;          /* of this class only; size[0] is the number of images at hand */
  int64_t groups, channels, blocks, lanes; /* channels of a group, in blocks of lanes */
  int64_t segments, units, share, packed, planar;  /* work: units of positions, `share` of them in a task */
  int64_t parts;                              /* of the blocks, each a task */
} product;

void conv_product_divide(product *p, int64_t images);
/* conv_planar.c */
enum { PLANAR_ROWS = TILE_VECTORS == 2 ? 8 : 4 };
void conv_planar_divide(product *p, int64_t images);
void conv_planar_run(const product *p, int64_t unit, int64_t units, int64_t block, int64_t blocks);
/* NO_MEMORY if there is none for gathering. */
int conv_product_run(const product *p, int64_t unit, int64_t units, int64_t block, int64_t blocks);

#endif
