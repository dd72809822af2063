/* Functions of binary64 whose results have the same bits everywhere.
 *
 * Each is computed to more than 105 bits in integers (wide.h) and rounded once: correctly, but for
 * arguments nobody has met. NaN is 0x7ff8000000000000. Where a function has no value the result
 * is NaN, at a pole an infinity.
 */
#ifndef REPOPS_DOUBLE_H
#define REPOPS_DOUBLE_H

#include "wide.h"

/* Of one argument, and of two. */
#define EACH_DOUBLE_1(X)                                                                      \
  X(exp) X(exp2) X(expm1) X(log) X(log2) X(log10) X(log1p) X(sin) X(cos) X(tan) X(sinh)       \
  X(cosh) X(tanh) X(asin) X(acos) X(atan) X(asinh) X(acosh) X(atanh) X(cbrt) X(erf) X(erfc)
#define EACH_DOUBLE_2(X) X(pow) X(atan2) X(hypot)

#define DECLARE(name) double repops_double_##name(double);
EACH_DOUBLE_1(DECLARE)
#undef DECLARE
#define DECLARE(name) double repops_double_##name(double, double);
EACH_DOUBLE_2(DECLARE)
#undef DECLARE

/* The length of a vector of finite numbers. */
double repops_double_length(const double *x, int64_t n);
/* The logarithm of m * 2^e to base e, 2 or 10, for what is too large for a binary64. */
double repops_double_log_scaled(double m, int64_t e, int base);

/* Of numbers that are neither huge (exp: below 2^12) nor, but for log1p, zero or negative. */
wide wide_exp(wide x);
wide wide_expm1(wide x);
wide wide_log(wide x);
wide wide_log1p(wide x);
/* The angle of (x, y), both at least zero and not both zero. */
wide wide_angle(wide y, wide x);

static inline double double_nan(void) { return word_double(0x7ff8ull << 48); }
static inline double double_inf(int neg) { return word_double((uint64_t)(0x7ff | neg << 11) << 52); }

#endif
