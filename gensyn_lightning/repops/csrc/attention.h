/* Scaled dot-product attention, forward and backward, head by head and a few rows of scores at a time.
 *
 * A score is a contraction over the length of a query, times the scale, plus the mask's number. A row's weights are its
 * softmax: +0 everywhere where all scores are -inf. Under a causal mask row i has keys 0..i and no others: they are not
 * terms of its sums. Whatever is summed is cut into chunks at multiples of 256 of the whole, left out or not.
 *
 * attention_rows.c does what concerns one row, attention_head.c products with packed operands; the kernels are in
 * attention.c and attention_backward.c. They use scratch buffers 2 and 3 of their thread.
 */
#ifndef REPOPS_ATTENTION_H
#define REPOPS_ATTENTION_H

#include "repops.h"

enum { ATTENTION_CHUNK = 256 };

/* Scores of the first `n` keys become weights. `mask` holds a number for each key, or is NULL. Returns the logarithm
 * of the sum of the exponentials of the scores. */
float attention_weights(float *score, int64_t n, float scale, const float *mask);

/* The gradients of weights become those of what the scale is multiplied with. */
void attention_score_gradients(float *gradient, const float *weight, int64_t n, int64_t all, float scale);

/* A mask's truth values, as 0 and 1, become what is added to a score: 0 and -inf. */
void attention_mask_numbers(float *mask, int64_t n);

#endif
