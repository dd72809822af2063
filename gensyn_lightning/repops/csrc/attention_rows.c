/* What attention does to rows of scores: the softmax and its gradient, in the order of a reduction, sixteen rows side by side. */
#include "attention.h"
#include "reduce.h"

INLINE vf scored(const float *score, int64_t j, int64_t m, vf scale, const float *mask) {
  vf v = f_mul(f_take(score + j, m), scale);
  return mask ? f_add(v, f_take(mask + j, m)) : v;
}

/* Scores times the scale, plus the mask, are stored; lanes of the result have the largest. Of zeros it may have either, and
 * it may miss a NaN: exponentials are the same for both zeros, and their sum does not miss it. */
INLINE vf scale_row(float *score, int64_t n, vf scale, const float *mask) {
  vf best = f_all(-__builtin_inff()), other = best;
  int64_t j = 0;
  for (; j + 2 * LANES <= n; j += 2 * LANES) {
    vf a = scored(score, j, LANES, scale, mask), b = scored(score, j + LANES, LANES, scale, mask);
    f_store(score + j, a);
    f_store(score + j + LANES, b);
    best = f_larger(best, a);
    other = f_larger(other, b);
  }
  for (; j < n; j += LANES) {
    int64_t m = MIN(LANES, n - j);
    vf a = scored(score, j, m, scale, mask);
    f_give(score + j, a, m);
    best = f_select(i_below((int32_t)m), f_larger(best, a), best);
  }
  return f_larger(best, other);
}

/* A chunk of a row, from j on: scores become exponentials; lanes of the result have their sums. */
INLINE vf exp_chunk(float *score, int64_t j, int64_t end, vf shift) {
  vf acc = {0};
  for (; j + LANES <= end; j += LANES) {
    vf e = p_exp(f_sub(f_load(score + j), shift));
    f_store(score + j, e);
    acc = f_add(acc, e);
  }
  if (j < end) {
    vf e = p_exp(f_sub(f_take(score + j, end - j), shift));
    f_give(score + j, e, end - j);
    acc = f_select(i_below((int32_t)(end - j)), f_add(acc, e), acc);
  }
  return acc;
}

INLINE vf product_chunk(const float *a, const float *b, int64_t j, int64_t end) {
  vf acc = {0};
  for (; j + LANES <= end; j += LANES) acc = f_fma(f_load(a + j), f_load(b + j), acc);
  if (j < end)
    acc = f_select(i_below((int32_t)(end - j)), f_fma(f_take(a + j, end - j), f_take(b + j, end - j), acc), acc);
  return acc;
}

static int64_t most_keys(const score_rows *r) {
  int64_t n = 0;
  for (int64_t i = 0; i < r->rows; i++) n = MAX(n, r->keys[i]);
  return n;
}

INLINE vf with_chunk(vf total, vf chunk, int64_t at) { return at ? f_add(total, chunk) : chunk; }

static vf exp_sums(const score_rows *r, vf shift) {
  vf total = {0}, part[ROWS_AT_ONCE];
  float each[ROWS_AT_ONCE];
  f_store(each, shift);
  for (int64_t at = 0, end = most_keys(r); at < end; at += CHUNK) {
    for (int64_t i = 0; i < ROWS_AT_ONCE; i++) part[i] = (vf){0};
    for (int64_t i = 0; i < r->rows; i++)
      part[i] = exp_chunk(r->score + i * r->step, at, MIN(r->keys[i], at + CHUNK), f_all(each[i]));
    total = with_chunk(total, trees_of_sums(part), at);
  }
  return f_canonical(total);
}

static vf largest_scores(const score_rows *r) {
  vf part[ROWS_AT_ONCE], scale = f_all(r->scale);
  for (int64_t i = 0; i < ROWS_AT_ONCE; i++) part[i] = f_all(-__builtin_inff());
  for (int64_t i = 0; i < r->rows; i++) {
    float *score = r->score + i * r->step;
    part[i] = r->mask[i] ? scale_row(score, r->keys[i], scale, r->mask[i]) : scale_row(score, r->keys[i], scale, 0);
  }
  return f_canonical(trees_of_largest(part));
}

void attention_weights(const score_rows *r, float *log) {
  float factor[ROWS_AT_ONCE];
  vf shift = p_finite_shift(largest_scores(r)), total = exp_sums(r, shift);
  f_store(factor, p_weight_of_one(total));
  f_put(log, p_log_of_scores(shift, total), r->rows);
  for (int64_t i = 0; i < r->rows; i++) {
    float *row = r->score + i * r->step;
    vf part = f_all(factor[i]);
    int64_t j = 0, n = r->keys[i];
    for (; j + LANES <= n; j += LANES) f_store(row + j, f_mul(f_load(row + j), part));
    if (j < n) f_put(row + j, f_mul(f_some(row + j, n - j), part), n - j);
  }
}

static vf product_sums(const score_rows *r, const float *gradient) {
  vf total = {0}, part[ROWS_AT_ONCE];
  int64_t end = most_keys(r);
  for (int64_t at = 0; at < end; at += CHUNK) {
    for (int64_t i = 0; i < ROWS_AT_ONCE; i++) part[i] = (vf){0};
    for (int64_t i = 0; i < r->rows; i++)
      part[i] = product_chunk(gradient + i * r->step, r->score + i * r->step, at, MIN(r->keys[i], at + CHUNK));
    total = with_chunk(total, trees_of_sums(part), at);
  }
  /* Chunks without terms are +0, and added. */
  if (ceil_div(end, CHUNK) < ceil_div(r->all, CHUNK)) total = f_add(total, f_all(0));
  return f_canonical(total);
}

void attention_score_gradients(const score_rows *r, float *gradient) {
  float each[ROWS_AT_ONCE];
  vf scale = f_all(r->scale);
  f_store(each, product_sums(r, gradient));
  for (int64_t i = 0; i < r->rows; i++) {
    float *row = gradient + i * r->step;
    const float *weight = r->score + i * r->step;
    vf total = f_all(each[i]);
    int64_t j = 0, n = r->keys[i];
    for (; j + LANES <= n; j += LANES) f_store(row + j, f_mul(f_mul(f_sub(f_load(row + j), total), f_load(weight + j)), scale));
    if (j < n) f_put(row + j, f_mul(f_mul(f_sub(f_some(row + j, n - j), total), f_some(weight + j, n - j)), scale), n - j);
  }
}

void attention_mask_numbers(float *mask, int64_t n) {
  for (int64_t j = 0; j < n; j++) mask[j] = mask[j] ? 0 : -__builtin_inff();
}
