/* Between the element types in memory and the words programs compute with.
 *
 * Half types are widened exactly and rounded once, to nearest even; integers are sign-extended and cut; a NaN is stored
 * as the one NaN of its type. Float to integer goes towards zero, NaN is 0, what does not fit saturates.
 */
#ifndef REPOPS_CONVERT_H
#define REPOPS_CONVERT_H

#include "repops.h"
#include "vec.h"

INLINE int64_t item_bytes(int64_t dtype) {
  switch (dtype) {
    case U8: case I8: case BOOL: return 1;
    case I16: case F16: case BF16: return 2;
    case I32: case F32: return 4;
    default: return 8;
  }
}

INLINE float from_bits1(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
INLINE uint32_t bits1(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }

INLINE float from_bf16(uint16_t h) { return from_bits1((uint32_t)h << 16); }
INLINE uint16_t to_bf16(float f) {
  uint32_t u = bits1(f);
  return f != f ? 0x7fc0 : (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* Exact: a half's significand has 11 bits; subnormal halves are scaled by 2^-24. */
INLINE float from_f16(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = h & 0x7fff;
  if (rest > 0x7c00) return from_bits1(0x7fc00000);
  if (rest == 0x7c00) return from_bits1(sign | 0x7f800000);
  if (rest >= 0x400) return from_bits1(sign | ((rest << 13) + 0x38000000));
  return from_bits1(sign | bits1((float)rest * 0x1p-24f));
}
INLINE uint16_t to_f16(float f) {
  uint32_t u = bits1(f), sign = u >> 16 & 0x8000, rest = u & 0x7fffffff;
  if (f != f) return 0x7e00;
  if (rest >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
  if (rest >= 0x38800000) return (uint16_t)(sign | ((rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13));
  /* Adding 0.5 leaves 24 bits below it: the sum is rounded to a multiple of 2^-24. */
  return (uint16_t)(sign | (bits1(from_bits1(rest) + 0.5f) - 0x3f000000));
}

INLINE int64_t to_integer1(double v) {
  return v != v ? 0 : v >= 0x1p63 ? INT64_MAX : v < -0x1p63 ? INT64_MIN : (int64_t)v;
}

void load_row(void *to, char kind, const void *from, int64_t dtype, int64_t stride, int64_t n);
void store_row(void *to, int64_t dtype, int64_t stride, const void *from, char kind, int64_t n);

#endif
