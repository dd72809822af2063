/* Finished sums on their way to memory: the epilogue, one rounding to the type of the output, any strides.
 */
#include "gemm.h"

enum { LINE = 64 };

static void widen_line(float *to, const matrix *m, int64_t row, int64_t col, int64_t n) {
  matrix at = matrix_at(m, row, col);
  if (m->dtype == F32)
    for (int64_t j = 0; j < n; j++) to[j] = ((const float *)at.at)[j * m->col];
  else if (m->dtype == BF16)
    for (int64_t j = 0; j < n; j++) to[j] = from_bf16(((const uint16_t *)at.at)[j * m->col]);
  else
    for (int64_t j = 0; j < n; j++) to[j] = from_f16(((const uint16_t *)at.at)[j * m->col]);
}

static void narrow_line(const matrix *m, int64_t row, int64_t col, int64_t n, const float *from) {
  matrix at = matrix_at(m, row, col);
  if (m->dtype == F32 && m->col == 1)
    for (int64_t j = 0; j < n; j++) ((float *)at.at)[j] = canonical1(from[j]);
  else if (m->dtype == F32)
    for (int64_t j = 0; j < n; j++) ((float *)at.at)[j * m->col] = canonical1(from[j]);
  else if (m->dtype == BF16)
    for (int64_t j = 0; j < n; j++) ((uint16_t *)at.at)[j * m->col] = to_bf16(from[j]);
  else
    for (int64_t j = 0; j < n; j++) ((uint16_t *)at.at)[j * m->col] = to_f16(from[j]);
}

static void after_line(const epilogue *e, float *t, int64_t row, int64_t col, int64_t n) {
  float u[LINE];
  if (e->alpha != 1)
    for (int64_t j = 0; j < n; j++) t[j] = e->alpha * t[j];
  if (e->beta == 0) return;
  widen_line(u, &e->c, row, col, n);
  if (e->beta != 1)
    for (int64_t j = 0; j < n; j++) u[j] = e->beta * u[j];
  for (int64_t j = 0; j < n; j++) t[j] = u[j] + t[j];
}

void gemm_finish(const product *p, const float *sum, int64_t sum_row, int64_t row, int64_t rows, int64_t col,
                 int64_t cols) {
  float t[LINE];
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0, n; j < cols; j += n) {
      n = MIN(cols - j, LINE);
      const float *line = sum + i * sum_row + j;
      if (p->after) {
        memcpy(t, line, (size_t)n * sizeof *t);
        after_line(p->after, t, row + i, col + j, n);
        line = t;
      }
      narrow_line(&p->out, row + i, col + j, n, line);
    }
}
