/* Numbers of 128 significant bits, in integer arithmetic.
 *
 * What the functions of binary64 (double.c) compute with: there is no rounding mode, no contraction
 * and no subnormal here, so every build on every machine gets the same bits. Each operation is wrong by
 * at most a few units in the 127th place; two of 53 bits multiply exactly, and add exactly where
 * their exponents are close.
 */
#ifndef REPOPS_WIDE_H
#define REPOPS_WIDE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef unsigned __int128 u128;

/* m / 2^127 * 2^e, negative if neg; the highest bit of m is set unless the number is zero. */
typedef struct {
  u128 m;
  int e, neg;
} wide;

#define WIDE(high, low, e, neg) {((u128)(high) << 64) | (low), e, neg}

static const wide WIDE_ZERO = WIDE(0, 0, 0, 0);
static const wide WIDE_ONE = WIDE(0x8000000000000000, 0, 0, 0);

static inline int wide_lead(u128 m) {
  uint64_t high = (uint64_t)(m >> 64);
  return high ? __builtin_clzll(high) : 64 + __builtin_clzll((uint64_t)m);
}

static inline wide wide_whole(int64_t n) {
  if (!n) return WIDE_ZERO;
  u128 m = n < 0 ? -(u128)n : (u128)n;
  int lead = wide_lead(m);
  return (wide){m << lead, 127 - lead, n < 0};
}

static inline uint64_t double_word(double x) {
  uint64_t word;
  memcpy(&word, &x, 8);
  return word;
}

static inline double word_double(uint64_t word) {
  double x;
  memcpy(&x, &word, 8);
  return x;
}

/* A finite binary64, exactly. */
static inline wide wide_of(double x) {
  uint64_t word = double_word(x), m = word & 0xfffffffffffff;
  int field = (int)(word >> 52 & 0x7ff);
  if (field) m |= 1ull << 52;
  if (!m) return WIDE_ZERO;
  int lead = __builtin_clzll(m);
  return (wide){(u128)m << (64 + lead), (field ? field : 1) - 1023 + 11 - lead, (int)(word >> 63)};
}

/* The nearest binary64, ties to even. What is `snap` units or less from a tie is taken for one. */
static inline double wide_round(wide a, u128 snap) {
  uint64_t sign = (uint64_t)a.neg << 63;
  if (!a.m) return word_double(sign);
  if (a.e > 1023) return word_double(sign | 0x7ffull << 52);
  int drop = a.e < -1022 ? 75 + (-1022 - a.e) : 75;
  if (drop > 128) return word_double(sign);
  u128 kept = drop == 128 ? 0 : a.m >> drop, rest = drop == 128 ? a.m : a.m & (((u128)1 << drop) - 1);
  u128 half = (u128)1 << (drop - 1), off = rest > half ? rest - half : half - rest;
  if (off <= snap) rest = half;
  uint64_t word = (uint64_t)kept;
  if (a.e >= -1022) word += (uint64_t)(a.e + 1022) << 52; /* the leading bit adds the last one */
  if (rest > half || (rest == half && (word & 1))) word++;
  return word_double(sign | word);
}

/* A binary64 near a number that is neither huge nor tiny. */
static inline double wide_near(wide a) {
  if (!a.m || a.e < -1000) return 0;
  double x = word_double((uint64_t)(a.e + 1022) << 52) * ((double)(int64_t)(a.m >> 75) * 0x1p-51);
  return a.neg ? -x : x;
}

static inline wide wide_negative(wide a) {
  a.neg = !a.neg;
  return a;
}

static inline wide wide_scale(wide a, int power) {
  a.e += power;
  return a;
}

static inline wide wide_mul(wide a, wide b) {
  if (!a.m || !b.m) return WIDE_ZERO;
  uint64_t ah = (uint64_t)(a.m >> 64), al = (uint64_t)a.m, bh = (uint64_t)(b.m >> 64), bl = (uint64_t)b.m;
  u128 low = (u128)al * bl, left = (u128)ah * bl, right = (u128)al * bh;
  u128 middle = (low >> 64) + (uint64_t)left + (uint64_t)right;
  u128 m = (u128)ah * bh + (left >> 64) + (right >> 64) + (middle >> 64);
  int one = (int)(m >> 127);
  if (!one) m = m << 1 | (uint64_t)middle >> 63;
  return (wide){m, a.e + b.e + one, a.neg ^ b.neg};
}

static inline wide wide_add(wide a, wide b) {
  if (!b.m) return a;
  if (!a.m) return b;
  if (a.e < b.e || (a.e == b.e && a.m < b.m)) {
    wide other = a;
    a = b;
    b = other;
  }
  int apart = a.e - b.e;
  if (apart > 127) return a;
  u128 m = b.m >> apart;
  if (a.neg == b.neg) {
    m += a.m;
    return m < a.m ? (wide){m >> 1 | (u128)1 << 127, a.e + 1, a.neg} : (wide){m, a.e, a.neg};
  }
  m = a.m - m;
  if (!m) return WIDE_ZERO;
  int lead = wide_lead(m);
  return (wide){m << lead, a.e - lead, a.neg};
}

static inline wide wide_sub(wide a, wide b) { return wide_add(a, wide_negative(b)); }

/* A reciprocal of 53 bits, made twice as long, gives a quotient that is then put right once. */
static inline wide wide_div(wide a, wide b) {
  if (!a.m) return a;
  wide d = {b.m, 0, 0};
  wide r = wide_of(1 / wide_near(d));
  r = wide_add(r, wide_mul(r, wide_sub(WIDE_ONE, wide_mul(d, r))));
  wide n = {a.m, 0, 0}, q = wide_mul(n, r);
  q = wide_add(q, wide_mul(r, wide_sub(n, wide_mul(d, q))));
  return (wide){q.m, q.e + a.e - b.e, a.neg ^ b.neg};
}

static inline wide wide_sqrt(wide a) {
  if (!a.m) return a;
  wide v = {a.m, a.e & 1, 0};
  wide r = wide_of(1 / sqrt(wide_near(v))), half = wide_scale(v, -1);
  for (int i = 0; i < 2; i++) {
    wide left = wide_sub(wide_scale(WIDE_ONE, -1), wide_mul(half, wide_mul(r, r)));
    r = wide_add(r, wide_mul(r, left));
  }
  wide root = wide_mul(v, r);
  wide left = wide_mul(wide_scale(r, -1), wide_sub(v, wide_mul(root, root)));
  return wide_scale(wide_add(root, left), (a.e - (a.e & 1)) / 2);
}

static inline wide wide_div_small(wide a, uint64_t n) {
  u128 q = a.m / n;
  uint64_t rest = (uint64_t)(a.m % n);
  int lead = wide_lead(q);
  return (wide){q << lead | (u128)((rest << lead) / n), a.e - lead, a.neg};
}

/* c[0] + c[step] z + c[2 step] z^2 + ..., `terms` of them. */
static inline wide wide_series(wide z, const wide *c, int step, int terms) {
  wide sum = c[step * (terms - 1)];
  for (int i = terms - 2; i >= 0; i--) sum = wide_add(wide_mul(sum, z), c[step * i]);
  return sum;
}

#endif
