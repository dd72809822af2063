/* Linear resampling along one dimension: every output is a chain of fused multiply-adds over its taps. */
#ifndef REPOPS_UPSAMPLE_H
#define REPOPS_UPSAMPLE_H

#include "convert.h"
#include "programs_loop.h"
#include "repops.h"

/* Tap t of output o is `weight[t * pitch + o]` times element `index[t * pitch + o]`; none if that is negative. */
typedef struct {
  int64_t outs, taps, pitch;
  int32_t *index, *low; /* low: of every sixteen outputs, the smallest index, or -1 if they reach too far */
  float *weight;
  int ragged; /* some outputs have fewer taps */
} resampling;

int resampling_make(resampling *r, const view *index, const void *indices, const view *weight, const void *weights,
                    int64_t size, int adjoint);
void resampling_free(resampling *r);
void resample_row(const resampling *r, const float *in, int64_t size, float *out);
void resample_rows(const resampling *r, const float *in, int64_t width, float *out);

#endif
