/* Hyperbolic functions, their inverses and the error function of binary64. */
#include "double.h"
#include "double_tables.h"
#include "repops.h"

static double signed_round(wide a, double like) {
  a.neg ^= double_word(like) >> 63;
  return wide_round(a, 0);
}

EXPORT double repops_double_sinh(double x) {
  if (isnan(x)) return double_nan();
  if (x == 0 || fabs(x) > 711) return x == 0 ? x : double_inf(x < 0);
  wide less = wide_expm1(wide_of(fabs(x)));
  return signed_round(wide_scale(wide_add(less, wide_div(less, wide_add(WIDE_ONE, less))), -1), x);
}

EXPORT double repops_double_cosh(double x) {
  if (isnan(x)) return double_nan();
  if (fabs(x) > 711) return double_inf(0);
  wide grown = wide_exp(wide_of(fabs(x)));
  return wide_round(wide_scale(wide_add(grown, wide_div(WIDE_ONE, grown)), -1), 0);
}

EXPORT double repops_double_tanh(double x) {
  if (isnan(x)) return double_nan();
  if (x == 0 || fabs(x) > 40) return x == 0 ? x : x > 0 ? 1 : -1;
  wide less = wide_expm1(wide_scale(wide_of(fabs(x)), 1));
  return signed_round(wide_div(less, wide_add(less, wide_scale(WIDE_ONE, 1))), x);
}

EXPORT double repops_double_asinh(double x) {
  if (isnan(x)) return double_nan();
  if (x == 0 || isinf(x)) return x;
  wide v = wide_of(fabs(x)), square = wide_mul(v, v);
  wide root = wide_sqrt(wide_add(WIDE_ONE, square));
  wide more = wide_div(square, wide_add(WIDE_ONE, root));
  return signed_round(wide_log1p(wide_add(v, more)), x);
}

EXPORT double repops_double_acosh(double x) {
  if (!(x >= 1)) return double_nan();
  if (isinf(x) || x == 1) return x == 1 ? 0 : x;
  wide less = wide_sub(wide_of(x), WIDE_ONE);
  wide root = wide_sqrt(wide_mul(less, wide_add(less, wide_scale(WIDE_ONE, 1))));
  return wide_round(wide_log1p(wide_add(less, root)), 0);
}

EXPORT double repops_double_atanh(double x) {
  if (!(fabs(x) <= 1)) return double_nan();
  if (x == 0 || fabs(x) == 1) return x == 0 ? x : double_inf(x < 0);
  wide v = wide_of(fabs(x)), ratio = wide_div(wide_scale(v, 1), wide_sub(WIDE_ONE, v));
  return signed_round(wide_scale(wide_log1p(ratio), -1), x);
}

static const double FAR = 3.5;

static wide falling(wide square) { return wide_exp(wide_negative(square)); }

/* erf(x) for 0 < x < FAR, by the series whose terms are all positive. */
static wide erf_near(wide x) {
  wide square = wide_mul(x, x), twice = wide_scale(square, 1), term = x, sum = x;
  for (uint64_t odd = 3; term.e > sum.e - 128; odd += 2) {
    term = wide_div_small(wide_mul(term, twice), odd);
    sum = wide_add(sum, term);
  }
  return wide_scale(wide_mul(wide_mul(sum, falling(square)), PER_SQRT_PI), 1);
}

/* erfc(x) for x >= FAR: a continued fraction from its tail, kept as a numerator and denominator. */
static wide erfc_far(double x) {
  wide v = wide_of(x), above = v, below = WIDE_ONE;
  double reach = 44 / x;
  for (int k = (int)(reach * reach * 0.5) + 16; k > 0; k--) {
    wide next = wide_add(wide_mul(v, above), wide_scale(wide_mul(wide_whole(k), below), -1));
    below = above;
    above = next;
  }
  wide scale = wide_mul(falling(wide_mul(v, v)), PER_SQRT_PI);
  return wide_mul(scale, wide_div(below, above));
}

EXPORT double repops_double_erf(double x) {
  if (isnan(x)) return double_nan();
  if (x == 0 || fabs(x) > 6) return x == 0 ? x : x > 0 ? 1 : -1;
  wide v = wide_of(fabs(x));
  return signed_round(fabs(x) < FAR ? erf_near(v) : wide_sub(WIDE_ONE, erfc_far(fabs(x))), x);
}

EXPORT double repops_double_erfc(double x) {
  if (isnan(x)) return double_nan();
  if (x > 28 || x < -6) return x > 0 ? 0 : 2;
  if (x == 0) return 1;
  wide v = wide_of(fabs(x));
  if (x >= FAR) return wide_round(erfc_far(x), 0);
  wide value = fabs(x) < FAR ? erf_near(v) : wide_sub(WIDE_ONE, erfc_far(-x));
  return wide_round(x > 0 ? wide_sub(WIDE_ONE, value) : wide_add(WIDE_ONE, value), 0);
}
