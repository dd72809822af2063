/* Sines, tangents and their inverses of binary64. */
#include "double.h"
#include "double_tables.h"
#include "repops.h"

enum { LIMBS = 5 }; /* of 2 / pi: 320 bits give 200 after the integer part and what cancels */

/* x / (pi / 2) less the nearest whole number, for x = m * 2^power; that number modulo 4. */
static wide quarters(uint64_t m, int power, int *quadrant) {
  int skip = power > 2 ? power - 2 : 0, point = 64 * LIMBS - (power - skip);
  uint64_t product[LIMBS + 1];
  u128 carry = 0;
  for (int i = 0; i < LIMBS; i++) {
    int from = skip + 64 * (LIMBS - 1 - i), word = from / 64, bit = from % 64;
    uint64_t limb = TWO_PER_PI[word] << bit;
    if (bit) limb |= TWO_PER_PI[word + 1] >> (64 - bit);
    carry += (u128)limb * m;
    product[i] = (uint64_t)carry;
    carry >>= 64;
  }
  product[LIMBS] = (uint64_t)carry;
  u128 top = product[point / 64] >> point % 64;
  if (point % 64 && point / 64 < LIMBS) top |= (u128)product[point / 64 + 1] << (64 - point % 64);
  *quadrant = (int)(top & 3);
  int above = (point - 1) / 64, neg = product[above] >> (point - 1) % 64 & 1;
  for (int i = 0; i <= LIMBS; i++) {
    if (neg) product[i] = ~product[i]; /* one unit in the last place is far below what counts */
    if (i == above && point % 64) product[i] &= (1ull << point % 64) - 1;
    if (i > above) product[i] = 0;
  }
  *quadrant = (*quadrant + neg) & 3;
  int i = LIMBS;
  while (i > 2 && !product[i]) i--;
  int lead = product[i] ? __builtin_clzll(product[i]) : 63;
  u128 high = (u128)product[i] << 64 | product[i - 1];
  u128 value = lead ? high << lead | product[i - 2] >> (64 - lead) : high;
  return (wide){value, 64 * i + 63 - lead - point, neg};
}

/* x less a multiple of pi / 2, within pi / 4 of zero, and which multiple modulo 4. */
static wide reduced(double x, int *quadrant) {
  wide v = wide_of(x);
  *quadrant = 0;
  if (fabs(x) < 0.78539816339744828) return v;
  wide left = wide_mul(quarters((uint64_t)(v.m >> 75), v.e - 52, quadrant), HALF_PI);
  if (!v.neg) return left;
  *quadrant = -*quadrant & 3;
  return wide_negative(left);
}

static wide sine(wide r) {
  return wide_mul(r, wide_series(wide_negative(wide_mul(r, r)), PER_FACTORIAL + 1, 2, 16));
}

static wide cosine(wide r) {
  return wide_series(wide_negative(wide_mul(r, r)), PER_FACTORIAL, 2, 16);
}

static double turned(wide r, int quadrant) {
  wide value = quadrant & 1 ? cosine(r) : sine(r);
  return wide_round(quadrant & 2 ? wide_negative(value) : value, 0);
}

EXPORT double repops_double_sin(double x) {
  if (!isfinite(x)) return double_nan();
  if (x == 0) return x;
  int quadrant;
  wide r = reduced(x, &quadrant);
  return turned(r, quadrant);
}

EXPORT double repops_double_cos(double x) {
  if (!isfinite(x)) return double_nan();
  int quadrant;
  wide r = reduced(x, &quadrant);
  return turned(r, quadrant + 1);
}

EXPORT double repops_double_tan(double x) {
  if (!isfinite(x)) return double_nan();
  if (x == 0) return x;
  int quadrant;
  wide r = reduced(x, &quadrant);
  wide s = sine(r), c = cosine(r);
  return wide_round(quadrant & 1 ? wide_negative(wide_div(c, s)) : wide_div(s, c), 0);
}

wide wide_angle(wide y, wide x) {
  int steep = y.m && (!x.m || y.e > x.e || (y.e == x.e && y.m > x.m));
  wide low = steep ? x : y, high = steep ? y : x;
  double slope = low.m && low.e > high.e - 40 ? wide_near((wide){low.m, low.e - high.e, 0}) : 0;
  wide c = wide_scale(wide_whole((int)(16 * slope / wide_near((wide){high.m, 0, 0}) + 0.5)), -4);
  wide t = wide_div(wide_sub(low, wide_mul(c, high)), wide_add(high, wide_mul(c, low)));
  wide part = wide_mul(t, wide_series(wide_negative(wide_mul(t, t)), PER_ODD, 1, 14));
  wide angle = wide_add(ATAN_16[(int)(16 * wide_near(c))], part);
  return steep ? wide_sub(HALF_PI, angle) : angle;
}

static double signed_round(wide a, int neg) {
  a.neg ^= neg;
  return wide_round(a, 0);
}

EXPORT double repops_double_atan2(double y, double x) {
  if (isnan(x) || isnan(y)) return double_nan();
  int below = double_word(y) >> 63, left = double_word(x) >> 63;
  if (isinf(x) || isinf(y)) { /* a vector of the same direction */
    x = copysign(isinf(x) ? 1 : 0, x);
    y = copysign(isinf(y) ? 1 : 0, y);
  }
  if (x == 0 && y == 0) return left ? signed_round(PI, below) : y;
  wide angle = wide_angle(wide_of(fabs(y)), wide_of(fabs(x)));
  /* A slope can lie between two subnormal numbers. Its angle is less, by more than can be seen. */
  if (angle.e < -1000) angle.m -= 64;
  return signed_round(left ? wide_sub(PI, angle) : angle, below);
}

EXPORT double repops_double_atan(double x) {
  return x == 0 ? x : repops_double_atan2(x, 1);
}

/* sqrt(1 - x^2) */
static wide other_side(double x) {
  wide v = wide_of(x);
  return wide_sqrt(wide_mul(wide_sub(WIDE_ONE, v), wide_add(WIDE_ONE, v)));
}

EXPORT double repops_double_asin(double x) {
  if (!(fabs(x) <= 1)) return double_nan();
  return x == 0 ? x : signed_round(wide_angle(wide_of(fabs(x)), other_side(x)), x < 0);
}

EXPORT double repops_double_acos(double x) {
  if (!(fabs(x) <= 1)) return double_nan();
  if (x == 1) return 0;
  wide angle = wide_angle(other_side(x), wide_of(fabs(x)));
  return wide_round(x < 0 ? wide_sub(PI, angle) : angle, 0);
}
