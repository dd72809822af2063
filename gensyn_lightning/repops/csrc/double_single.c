/* The functions of double.h for binary32, and both results of sine and cosine in one call.
 *
 * A result is rounded to binary64 and then to binary32.
 */
#include "double.h"
#include "repops.h"

#define SINGLE_1(name) \
  EXPORT float repops_single_##name(float x) { return (float)repops_double_##name(x); }
#define SINGLE_2(name) \
  EXPORT float repops_single_##name(float x, float y) { return (float)repops_double_##name(x, y); }

EACH_DOUBLE_1(SINGLE_1)
EACH_DOUBLE_2(SINGLE_2)

EXPORT void repops_double_sincos(double x, double *sine, double *cosine) {
  *sine = repops_double_sin(x);
  *cosine = repops_double_cos(x);
}

EXPORT void repops_single_sincos(float x, float *sine, float *cosine) {
  *sine = repops_single_sin(x);
  *cosine = repops_single_cos(x);
}
