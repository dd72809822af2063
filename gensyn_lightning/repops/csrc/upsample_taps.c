/* Tables of taps, as they are given or the other way round, and the two loops that follow them. */
#include "upsample.h"

#include <stdlib.h>

static int allocate(resampling *r, int64_t outs, int64_t taps) {
  r->outs = outs;
  r->taps = MAX(taps, 1);
  r->pitch = ceil_div(outs, LANES) * LANES;
  size_t many = (size_t)(r->taps * r->pitch);
  r->index = malloc(many * sizeof *r->index);
  r->weight = calloc(many, sizeof *r->weight);
  r->low = malloc((size_t)(r->taps * r->pitch / LANES + 1) * sizeof *r->low);
  if (!r->index || !r->weight || !r->low) return NO_MEMORY;
  for (size_t i = 0; i < many; i++) r->index[i] = -1;
  return DONE;
}

void resampling_free(resampling *r) {
  free(r->index);
  free(r->weight);
  free(r->low);
}

/* Sixteen outputs whose tap lies within 32 elements can be shuffled out of two vectors. */
static void find_low(resampling *r) {
  for (int64_t t = 0; t < r->taps; t++)
    for (int64_t b = 0; b < r->pitch; b += LANES) {
      int32_t least = INT32_MAX, most = 0;
      const int32_t *index = r->index + t * r->pitch + b;
      for (int64_t i = 0; i < MIN(LANES, r->outs - b); i++) {
        if (index[i] < 0) r->ragged = 1;
        else least = MIN(least, index[i]), most = MAX(most, index[i]);
      }
      if (least == INT32_MAX) least = most = 0;
      r->low[(t * r->pitch + b) / LANES] = most - least < 2 * LANES ? least : -1;
    }
}

/* Take the tables [O, T] as they are, or turned round: then output r has a tap for every (o, t) whose index it is, in order. */
int resampling_make(resampling *r, const view *index, const void *indices, const view *weight, const void *weights,
                    int64_t size, int adjoint) {
  int64_t outs = index->size[0], taps = index->size[1];
  const int64_t *from = indices;
  const float *factor = weights;
  int64_t most = taps, *count = adjoint ? calloc((size_t)size + 1, sizeof *count) : 0;
  if (adjoint && !count) return NO_MEMORY;
  for (int64_t o = 0; o < outs; o++)
    for (int64_t t = 0; t < taps; t++) {
      int64_t at = from[o * index->stride[0] + t * index->stride[1]];
      if (at >= size) { free(count); return BAD_INDEX; }
      if (adjoint && at >= 0) count[at]++;
    }
  if (adjoint) {
    most = 0;
    for (int64_t i = 0; i < size; i++) most = MAX(most, count[i]), count[i] = 0;
  }
  int status = allocate(r, adjoint ? size : outs, most);
  for (int64_t o = 0; o < outs && status == DONE; o++)
    for (int64_t t = 0; t < taps; t++) {
      int64_t at = from[o * index->stride[0] + t * index->stride[1]];
      float w = factor[o * weight->stride[0] + t * weight->stride[1]];
      if (at < 0) continue;
      int64_t place = adjoint ? count[at]++ * r->pitch + at : t * r->pitch + o;
      r->index[place] = (int32_t)(adjoint ? o : at);
      r->weight[place] = w;
    }
  free(count);
  if (status == DONE) find_low(r);
  return status;
}

INLINE vf load_up_to(const float *p, int64_t n) { return n >= LANES ? f_load(p) : n > 0 ? f_some(p, n) : f_all(0); }

/* Lanes of two vectors by number, modulo 32. */
INLINE vf pick(vf a, vf b, vi number) {
#if defined(__AVX512F__)
  return (vf){{(nf)_mm512_permutex2var_ps((__m512)a.p[0], (__m512i)number.p[0], (__m512)b.p[0])}};
#else
  float both[2 * LANES], picked[LANES];
  int32_t numbers[LANES];
  f_store(both, a);
  f_store(both + LANES, b);
  i_store(numbers, i_and(number, i_all(2 * LANES - 1)));
  for (int i = 0; i < LANES; i++) picked[i] = both[numbers[i]];
  return f_load(picked);
#endif
}

/* Elements of a row at sixteen places; what is read where a place is negative does not matter. */
INLINE vf gather(const float *in, int64_t size, vi place, int32_t low) {
  if (low >= 0) {
    vf a = load_up_to(in + low, size - low), b = load_up_to(in + low + LANES, size - low - LANES);
    return pick(a, b, i_sub(place, i_all(low)));
  }
  float x[LANES];
  int32_t places[LANES];
  i_store(places, place);
  for (int i = 0; i < LANES; i++) x[i] = in[MAX(places[i], 0)];
  return f_load(x);
}

/* One row, resampled along itself; `out` has room for whole vectors. */
void resample_row(const resampling *r, const float *in, int64_t size, float *out) {
  for (int64_t o = 0; o < r->outs; o += LANES) {
    vf sum = f_all(0);
    for (int64_t t = 0; t < r->taps; t++) {
      vi place = i_load(r->index + t * r->pitch + o);
      vf x = gather(in, size, place, r->low[(t * r->pitch + o) / LANES]), w = f_load(r->weight + t * r->pitch + o);
      vf next = f_fma(w, x, sum);
      sum = r->ragged ? f_select(i_lt(place, i_all(0)), sum, next) : next;
    }
    if (r->outs - o >= LANES) f_store(out + o, sum);
    else f_put(out + o, sum, r->outs - o);
  }
}

/* Whole rows of `width` elements, resampled across. */
void resample_rows(const resampling *r, const float *in, int64_t width, float *out) {
  for (int64_t o = 0; o < r->outs; o++, out += width) {
    int64_t at = 0;
    for (; at + LANES <= width; at += LANES) {
      vf sum = f_all(0);
      for (int64_t t = 0; t < r->taps; t++) {
        int64_t from = r->index[t * r->pitch + o];
        if (from >= 0) sum = f_fma(f_all(r->weight[t * r->pitch + o]), f_load(in + from * width + at), sum);
      }
      f_store(out + at, sum);
    }
    if (at == width) continue;
    vf sum = f_all(0);
    for (int64_t t = 0; t < r->taps; t++) {
      int64_t from = r->index[t * r->pitch + o];
      if (from >= 0) sum = f_fma(f_all(r->weight[t * r->pitch + o]), f_some(in + from * width + at, width - at), sum);
    }
    f_put(out + at, sum, width - at);
  }
}
