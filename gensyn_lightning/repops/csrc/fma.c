/* Fused multiply-adds for machines without the instruction.
 *
 * The product of two binary32 numbers is exact in binary64. The sum is rounded to odd there, so that rounding it once
 * more, to binary32, rounds as if only once.
 */
#include "vec.h"

#if !defined(__FMA__) && !defined(__aarch64__)

vf f_fma(vf a, vf b, vf c) { OF_NARROW(vf, n_fma(a.p[reg], b.p[reg], c.p[reg])); }

float soft_fmaf(float a, float b, float c) {
  double x = (double)a * (double)b, y = c, s = x + y, t = s - x, e = (x - (s - t)) + (y - t);
  int64_t u, rest;
  memcpy(&u, &s, 8);
  memcpy(&rest, &e, 8);
  if (e != 0 && e == e && !(u & 1)) u += (rest ^ u) >= 0 ? 1 : -1;
  memcpy(&s, &u, 8);
  return (float)s;
}

#endif
