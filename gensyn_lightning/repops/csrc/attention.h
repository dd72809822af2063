/* Scaled dot-product attention, forward and backward, head by head and a few rows of scores at a time.
 *
 * A score is a contraction over the length of a query, times the scale, plus the mask's number. A row's weights are its
 * softmax: +0 everywhere where all scores are -inf. Under a causal mask row i has keys 0..i and no others: they are not
 * terms of its sums. Whatever is summed is cut into chunks at multiples of 256 of the whole, left out or not.
 *
 * attention_rows.c does what concerns rows of scores, attention_head.c products with packed operands; the kernels are in
 * attention.c and attention_backward.c. They use scratch buffers 2 and 3 of their thread.
 */
#ifndef REPOPS_ATTENTION_H
#define REPOPS_ATTENTION_H

#include "repops.h"

enum { ROWS_AT_ONCE = 16 };

/* Up to ROWS_AT_ONCE rows of scores, `step` floats apart. Row i has keys[i] keys of `all`, and mask[i] points at a number for
 * each, or is NULL. */
typedef struct {
  float *score;
  int64_t step, rows, all;
  int64_t keys[ROWS_AT_ONCE];
  const float *mask[ROWS_AT_ONCE];
  float scale;
} score_rows;

/* Products of queries and keys become weights. `log` gets the logarithms of the sums of the exponentials of scores. */
void attention_weights(const score_rows *r, float *log);

/* The gradients of weights become those of what the scale is multiplied with. */
void attention_score_gradients(const score_rows *r, float *gradient);

/* A mask's truth values, as 0 and 1, become what is added to a score: 0 and -inf. */
void attention_mask_numbers(float *mask, int64_t n);

#endif
