/* The functions of double.h as the C library has them: errno says what went wrong, and there is binary32.
 *
 * A result in binary32 is rounded to binary64 first.
 */
#include <errno.h>

#include "double.h"
#include "repops.h"

static inline double noted(double result, int finite, int number) {
  if (isnan(result) && number) errno = EDOM;
  if (isinf(result) && finite) errno = ERANGE;
  return result;
}

#define LIBM_1(name)                                                             \
  EXPORT double repops_libm_##name(double x) {                                   \
    return noted(repops_double_##name(x), isfinite(x), !isnan(x));               \
  }                                                                              \
  EXPORT float repops_libm_##name##f(float x) {                                  \
    float result = (float)repops_double_##name(x);                               \
    return (float)noted(result, isfinite(x), !isnan(x));                         \
  }
#define LIBM_2(name)                                                             \
  EXPORT double repops_libm_##name(double x, double y) {                         \
    int finite = isfinite(x) && isfinite(y), number = !isnan(x) && !isnan(y);    \
    return noted(repops_double_##name(x, y), finite, number);                    \
  }                                                                              \
  EXPORT float repops_libm_##name##f(float x, float y) {                         \
    int finite = isfinite(x) && isfinite(y), number = !isnan(x) && !isnan(y);    \
    return (float)noted((float)repops_double_##name(x, y), finite, number);      \
  }

EACH_DOUBLE_1(LIBM_1)
EACH_DOUBLE_2(LIBM_2)

EXPORT void repops_libm_sincos(double x, double *sine, double *cosine) {
  *sine = repops_libm_sin(x);
  *cosine = repops_libm_cos(x);
}

EXPORT void repops_libm_sincosf(float x, float *sine, float *cosine) {
  *sine = repops_libm_sinf(x);
  *cosine = repops_libm_cosf(x);
}
