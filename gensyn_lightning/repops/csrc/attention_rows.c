/* What attention does to one row of scores: the softmax and its gradient, in the order of a reduction. */
#include "attention.h"
#include "reduce.h"

typedef struct {
  const float *weight;
  float *row, shift;
} scores;

INLINE vf sum_of_stored_exp(vf carry, const void *ctx, int64_t j, int64_t m) {
  const scores *s = ctx;
  vf e = p_exp(f_take(s->row + j, m) - f_all(s->shift));
  f_give(s->row + j, e, m);
  return carry + e;
}
INLINE vf sum_of_products(vf carry, const void *ctx, int64_t j, int64_t m) {
  const scores *s = ctx;
  return f_fma(f_take(s->row + j, m), f_take(s->weight + j, m), carry);
}

INLINE vf scored(const float *score, int64_t j, int64_t m, vf scale, const float *mask) {
  vf v = f_take(score + j, m) * scale;
  return mask ? v + f_take(mask + j, m) : v;
}

/* Scores times the scale, plus the mask, are stored; returns the largest. */
INLINE float scale_row(float *score, int64_t n, vf scale, const float *mask) {
  vf best = f_all(-__builtin_inff()), other = best;
  int64_t j = 0;
  for (; j + 2 * LANES <= n; j += 2 * LANES) {
    vf a = scored(score, j, LANES, scale, mask), b = scored(score, j + LANES, LANES, scale, mask);
    f_store(score + j, a);
    f_store(score + j + LANES, b);
    best = q_larger_ff(best, a);
    other = q_larger_ff(other, b);
  }
  for (; j < n; j += LANES) {
    int64_t m = MIN(LANES, n - j);
    vf a = scored(score, j, m, scale, mask);
    f_give(score + j, a, m);
    best = f_select(i_below((int32_t)m), q_larger_ff(best, a), best);
  }
  return canonical1(t_larger_ff(q_larger_ff(best, other))[0]);
}

float attention_weights(float *score, int64_t n, float scale, const float *mask) {
  vf factor = f_all(scale);
  float largest = mask ? scale_row(score, n, factor, mask) : scale_row(score, n, factor, 0);
  scores s = {0, score, p_finite_shift(f_all(largest))[0]};
  float total = canonical1(sum_row(n, sum_of_stored_exp, &s));
  vf part = p_weight_of_one(f_all(total));
  for (int64_t j = 0; j < n; j += LANES) {
    int64_t m = MIN(LANES, n - j);
    f_give(score + j, f_take(score + j, m) * part, m);
  }
  return p_log_of_scores(f_all(s.shift), f_all(total))[0];
}

/* Chunks without terms are +0, and added: that is -0 + 0 at most. */
INLINE float with_empty_chunks(float total, int64_t n, int64_t all) {
  return ceil_div(n, CHUNK) < ceil_div(all, CHUNK) ? total + 0.0f : total;
}

void attention_score_gradients(float *gradient, const float *weight, int64_t n, int64_t all, float scale) {
  scores s = {weight, gradient, 0};
  vf total = f_all(canonical1(with_empty_chunks(sum_row(n, sum_of_products, &s), n, all))), factor = f_all(scale);
  for (int64_t j = 0; j < n; j += LANES) {
    int64_t m = MIN(LANES, n - j);
    f_give(gradient + j, ((f_take(gradient + j, m) - total) * f_take(weight + j, m)) * factor, m);
  }
}

void attention_mask_numbers(float *mask, int64_t n) {
  for (int64_t j = 0; j < n; j++) mask[j] = mask[j] ? 0 : -__builtin_inff();
}
