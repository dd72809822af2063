/* Exponentials, logarithms and powers of binary64. */
#include "double.h"
#include "double_tables.h"
#include "repops.h"

static int nearest(double x) { return (int)(x < 0 ? x - 0.5 : x + 0.5); }

/* exp(r) - 1 for |r| < 0.36: by a table at the nearest 1/32, and a series from there. */
static wide expm1_reduced(wide r) {
  int j = nearest(wide_near(r) * 32);
  if (j < -12 || j > 12) j = j < 0 ? -12 : 12;
  wide s = wide_sub(r, wide_scale(wide_whole(j), -5));
  wide small = wide_mul(s, wide_series(s, PER_FACTORIAL + 1, 1, 17));
  wide table = EXPM1_32[j + 12];
  return wide_add(wide_add(table, small), wide_mul(table, small));
}

/* x - n ln 2, and the n that makes it small. */
static wide reduced(wide x, int *n) {
  *n = nearest(wide_near(x) * 0x1.71547652b82fep+0);
  wide whole = wide_whole(*n);
  return wide_sub(wide_sub(x, wide_mul(whole, LN2_HIGH)), wide_mul(whole, LN2_LOW));
}

wide wide_exp(wide x) {
  int n;
  wide r = reduced(x, &n);
  return wide_scale(wide_add(WIDE_ONE, expm1_reduced(r)), n);
}

wide wide_expm1(wide x) {
  int n;
  wide r = reduced(x, &n), less = expm1_reduced(r);
  return n ? wide_sub(wide_scale(wide_add(WIDE_ONE, less), n), WIDE_ONE) : less;
}

/* log(1 + u) for |u| < 0.018, twice the area hyperbolic tangent of u / (2 + u). */
static wide log1p_reduced(wide u) {
  wide s = wide_div(u, wide_add(wide_scale(WIDE_ONE, 1), u));
  return wide_scale(wide_mul(s, wide_series(wide_mul(s, s), PER_ODD, 1, 11)), 1);
}

/* log(x) - e ln 2, and the e that puts it within 0.35 of zero. */
static wide log_parts(wide x, int *e) {
  static const u128 ROOT_2 = (u128)0xb504f333f9de6484 << 64;
  *e = x.e + (x.m > ROOT_2);
  x.e -= *e;
  wide u = wide_sub(x, WIDE_ONE);
  if (!u.m || u.e < -6) return log1p_reduced(u);
  int k = nearest(wide_near(x) * 64), c = (8192 + k / 2) / k;
  u = wide_sub(wide_mul(x, wide_scale(wide_whole(c), -7)), WIDE_ONE);
  return wide_add(LOG_64[k - 45], log1p_reduced(u));
}

wide wide_log(wide x) {
  int e;
  wide rest = log_parts(x, &e);
  return wide_add(wide_mul(wide_whole(e), LN2), rest);
}

wide wide_log1p(wide x) {
  return !x.m || x.e < -6 ? log1p_reduced(x) : wide_log(wide_add(WIDE_ONE, x));
}

static wide wide_log2(wide x) {
  int e;
  wide rest = log_parts(x, &e);
  return wide_add(wide_whole(e), wide_mul(rest, PER_LN2));
}

EXPORT double repops_double_exp(double x) {
  if (isnan(x)) return double_nan();
  if (x > 710) return double_inf(0);
  return x < -746 ? 0 : wide_round(wide_exp(wide_of(x)), 0);
}

/* 2^(whole + part), part near zero or not. */
static wide exp2_parts(wide whole, wide part) {
  int n = nearest(wide_near(wide_add(whole, part)));
  wide left = wide_add(wide_sub(whole, wide_whole(n)), part);
  return wide_scale(wide_add(WIDE_ONE, expm1_reduced(wide_mul(left, LN2))), n);
}

EXPORT double repops_double_exp2(double x) {
  if (isnan(x)) return double_nan();
  if (x >= 1024) return double_inf(0);
  return x < -1076 ? 0 : wide_round(exp2_parts(wide_of(x), WIDE_ZERO), 0);
}

EXPORT double repops_double_expm1(double x) {
  if (isnan(x)) return double_nan();
  if (x == 0) return x;
  if (x > 710) return double_inf(0);
  return x < -100 ? -1 : wide_round(wide_expm1(wide_of(x)), 0);
}

/* What the logarithms have in common: an answer for arguments that have no logarithm. */
static int no_log(double x, double *answer) {
  *answer = x == 0 ? double_inf(1) : x > 0 ? x : double_nan();
  return !(x > 0 && x < double_inf(0));
}

EXPORT double repops_double_log(double x) {
  double answer;
  return no_log(x, &answer) ? answer : wide_round(wide_log(wide_of(x)), 0);
}

EXPORT double repops_double_log2(double x) {
  double answer;
  return no_log(x, &answer) ? answer : wide_round(wide_log2(wide_of(x)), 0);
}

EXPORT double repops_double_log10(double x) {
  double answer;
  return no_log(x, &answer) ? answer : wide_round(wide_mul(wide_log(wide_of(x)), PER_LN10), 0);
}

EXPORT double repops_double_log1p(double x) {
  if (x == 0) return x;
  if (!(x > -1 && x < double_inf(0))) return x == -1 ? double_inf(1) : x > 0 ? x : double_nan();
  return wide_round(wide_log1p(wide_of(x)), 0);
}

double repops_double_log_scaled(double m, int64_t e, int base) {
  int own;
  wide rest = log_parts(wide_of(m), &own), whole = wide_whole(e + own);
  if (base == 2) return wide_round(wide_add(whole, wide_mul(rest, PER_LN2)), 0);
  wide log = wide_add(wide_mul(whole, LN2), rest);
  return wide_round(base == 10 ? wide_mul(log, PER_LN10) : log, 0);
}

/* x^y for finite x > 0 and finite y. A product of powers can be a tie, which is seen as one. */
static double power(double x, double y) {
  static const int NEAR = 15;
  int e;
  wide log = wide_mul(log_parts(wide_of(x), &e), PER_LN2), by = wide_of(y);
  wide whole = wide_mul(by, wide_whole(e)), part = wide_mul(by, log), sum = wide_add(whole, part);
  if (sum.m && sum.e > 11) return sum.neg ? 0 : double_inf(0);
  wide value = exp2_parts(whole, part);
  return wide_round(value, fabs(y) <= 64 && !(part.m && part.e < -40) ? (u128)1 << NEAR : 0);
}

static int is_whole(double y) { return fabs(y) >= 0x1p52 || y == (double)(int64_t)y; }

static int is_odd(double y) { return fabs(y) < 0x1p53 && is_whole(y) && ((int64_t)y & 1); }

EXPORT double repops_double_pow(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (isnan(x) || isnan(y)) return double_nan();
  int neg = x < 0 || (x == 0 && double_word(x) >> 63);
  double size = fabs(x);
  if (isinf(y)) return size == 1 ? 1 : (y > 0) == (size > 1) ? double_inf(0) : 0;
  if (size == 0 || isinf(x)) {
    double end = (size == 0) == (y < 0) ? double_inf(0) : 0;
    return neg && is_odd(y) ? -end : end;
  }
  if (neg && !is_whole(y)) return double_nan();
  double value = power(size, y);
  return neg && is_odd(y) ? -value : value;
}

EXPORT double repops_double_cbrt(double x) {
  if (x == 0) return x;
  if (isnan(x)) return double_nan();
  if (isinf(x)) return x;
  wide v = wide_of(x), third = wide_div_small(WIDE_ONE, 3);
  int e = v.e - ((v.e % 3) + 3) % 3;
  wide root = wide_exp(wide_mul(wide_log((wide){v.m, v.e - e, 0}), third));
  return wide_round((wide){root.m, root.e + e / 3, v.neg}, 0);
}

double repops_double_length(const double *x, int64_t n) {
  wide sum = WIDE_ZERO;
  for (int64_t i = 0; i < n; i++) {
    wide v = wide_of(x[i]);
    sum = wide_add(sum, wide_mul(v, v));
  }
  return wide_round(wide_sqrt(sum), (u128)1 << 12);
}

EXPORT double repops_double_hypot(double x, double y) {
  if (isinf(x) || isinf(y)) return double_inf(0);
  if (isnan(x) || isnan(y)) return double_nan();
  return repops_double_length((double[]){x, y}, 2);
}
