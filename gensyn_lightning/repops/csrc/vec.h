/* Operations on sixteen lanes of one type, on whatever registers the machine has.
 *
 * Lanes are always sixteen, whatever the build, and no operation here mixes lanes but those that say so. `fma` is fused on every
 * machine: in hardware where there is an instruction, otherwise by `soft_fmaf`. Integers wrap around.
 */
#ifndef REPOPS_VEC_H
#define REPOPS_VEC_H

#include <math.h>

#include "lanes.h"

/* What a name begins with is the type of the lanes: f binary32, i integers of 32 bits, d binary64, l integers of 64 bits. */
#define LANES_TWO(name, type, of, ...) LANES_COMPARE(name, type, type, of, __VA_ARGS__)
#define LANES_COMPARE(name, type, result, of, ...) \
  INLINE result name(type a, type b) { of(result, __VA_ARGS__); }
#define LANES_ARITHMETIC(x, type, of)            \
  LANES_TWO(x##_add, type, of, a.p[reg] + b.p[reg]) \
  LANES_TWO(x##_sub, type, of, a.p[reg] - b.p[reg]) \
  LANES_TWO(x##_mul, type, of, a.p[reg] * b.p[reg]) \
  LANES_TWO(x##_div, type, of, a.p[reg] / b.p[reg]) \
  INLINE type x##_neg(type a) { of(type, -a.p[reg]); }
/* Shifts: to the left, to the right with zeros, to the right with the sign. */
#define LANES_INTEGER(x, type, of, s, u)                        \
  LANES_TWO(x##_add, type, of, (s)((u)a.p[reg] + (u)b.p[reg])) \
  LANES_TWO(x##_sub, type, of, (s)((u)a.p[reg] - (u)b.p[reg])) \
  LANES_TWO(x##_mul, type, of, (s)((u)a.p[reg] * (u)b.p[reg])) \
  LANES_TWO(x##_and, type, of, a.p[reg] & b.p[reg])            \
  LANES_TWO(x##_or, type, of, a.p[reg] | b.p[reg])             \
  LANES_TWO(x##_xor, type, of, a.p[reg] ^ b.p[reg])            \
  INLINE type x##_not(type a) { of(type, ~a.p[reg]); }         \
  INLINE type x##_shl(type a, int by) { of(type, (s)((u)a.p[reg] << by)); } \
  INLINE type x##_shr(type a, int by) { of(type, (s)((u)a.p[reg] >> by)); } \
  INLINE type x##_sar(type a, int by) { of(type, a.p[reg] >> by); }

LANES_ARITHMETIC(f, vf, OF_NARROW)
LANES_ARITHMETIC(d, vd, OF_WIDE)
LANES_INTEGER(i, vi, OF_NARROW, ni, nu)
LANES_INTEGER(l, vl, OF_WIDE, nl, nul)

/* Lanes of 64 bits also by as much as each lane of another vector says, below 64. */
LANES_TWO(l_shl_by, vl, OF_WIDE, (nl)((nul)a.p[reg] << (nul)b.p[reg]))
LANES_TWO(l_shr_by, vl, OF_WIDE, (nl)((nul)a.p[reg] >> (nul)b.p[reg]))
LANES_TWO(l_sar_by, vl, OF_WIDE, a.p[reg] >> b.p[reg])

/* The same bits as another type of the same width. */
INLINE vi f_as_i(vf a) { OF_NARROW(vi, (ni)a.p[reg]); }
INLINE vf i_as_f(vi a) { OF_NARROW(vf, (nf)a.p[reg]); }
INLINE vl d_as_l(vd a) { OF_WIDE(vl, (nl)a.p[reg]); }
INLINE vd l_as_d(vl a) { OF_WIDE(vd, (nd)a.p[reg]); }

/* One register of binary32. */
INLINE nf n_load(const float *from) { nf x; memcpy(&x, from, sizeof x); return x; }
INLINE void n_store(float *to, nf v) { memcpy(to, &v, sizeof v); }
INLINE nf n_all(float s) { return s - (nf){0}; }

/* The first n lanes, none or all where n is out of range; the others read as 0 and are not touched. */
INLINE nf n_load_some(const float *from, int64_t n) {
  if (n >= NARROW_LANES) return n_load(from);
#if defined(__AVX512F__)
  return (nf)_mm512_maskz_loadu_ps((__mmask16)((1u << (n < 0 ? 0 : n)) - 1), from);
#elif defined(__AVX2__)
  return (nf)_mm256_maskload_ps(from, (__m256i)((ni)COUNT_NARROW < (int32_t)n));
#else
  return (nf){n > 0 ? from[0] : 0, n > 1 ? from[1] : 0, n > 2 ? from[2] : 0, 0};
#endif
}
INLINE void n_store_some(float *to, nf v, int64_t n) {
  if (n >= NARROW_LANES) {
    n_store(to, v);
    return;
  }
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, (__mmask16)((1u << (n < 0 ? 0 : n)) - 1), (__m512)v);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(to, (__m256i)((ni)COUNT_NARROW < (int32_t)n), (__m256)v);
#else
  for (int64_t i = 0; i < n; i++) to[i] = v[i];
#endif
}

INLINE vf f_load(const float *from) { OF_NARROW(vf, n_load(from + NARROW_LANES * reg)); }
INLINE vi i_load(const int32_t *from) { OF_NARROW(vi, ({ ni x; memcpy(&x, from + NARROW_LANES * reg, sizeof x); x; })); }
INLINE vd d_load(const double *from) { OF_WIDE(vd, ({ nd x; memcpy(&x, from + WIDE_LANES * reg, sizeof x); x; })); }
INLINE vl l_load(const int64_t *from) { OF_WIDE(vl, ({ nl x; memcpy(&x, from + WIDE_LANES * reg, sizeof x); x; })); }
INLINE void f_store(float *to, vf v) { EACH_NARROW(memcpy(to + NARROW_LANES * reg, &v.p[reg], REGISTER)) }
INLINE void i_store(int32_t *to, vi v) { EACH_NARROW(memcpy(to + NARROW_LANES * reg, &v.p[reg], REGISTER)) }
INLINE void d_store(double *to, vd v) { EACH_WIDE(memcpy(to + WIDE_LANES * reg, &v.p[reg], REGISTER)) }
INLINE void l_store(int64_t *to, vl v) { EACH_WIDE(memcpy(to + WIDE_LANES * reg, &v.p[reg], REGISTER)) }

/* One number in all lanes. By subtraction of +0: adding to +0 would turn -0 into +0. */
INLINE vf f_all(float s) { OF_NARROW(vf, n_all(s)); }
INLINE vd d_all(double s) { OF_WIDE(vd, s - (nd){0}); }
INLINE vi i_all(int32_t s) { OF_NARROW(vi, s - (ni){0}); }
INLINE vl l_all(int64_t s) { OF_WIDE(vl, s - (nl){0}); }

/* Constants by their bits. */
INLINE vf f_word(uint32_t bits) { return i_as_f(i_all((int32_t)bits)); }
INLINE vd d_word(uint64_t bits) { return l_as_d(l_all((int64_t)bits)); }

/* Lane 0. */
INLINE float f_first(vf v) { return v.p[0][0]; }
INLINE double d_first(vd v) { return v.p[0][0]; }
INLINE int64_t l_first(vl v) { return v.p[0][0]; }

/* The number of each lane, and the lanes below n, or in [m, n), as masks. */
INLINE vi i_count(void) { OF_NARROW(vi, (ni)COUNT_NARROW + NARROW_LANES * reg); }
INLINE vi i_below(int32_t n) { OF_NARROW(vi, (ni)((ni)COUNT_NARROW + NARROW_LANES * reg < n)); }
INLINE vl l_below(int64_t n) { OF_WIDE(vl, (nl)((nl)COUNT_WIDE + WIDE_LANES * reg < n)); }
INLINE vi i_among(int64_t m, int64_t n) { return i_and(i_below((int32_t)n), i_not(i_below((int32_t)m))); }
INLINE vl l_among(int64_t m, int64_t n) { return l_and(l_below(n), l_not(l_below(m))); }

LANES_COMPARE(f_lt, vf, vi, OF_NARROW, (ni)(a.p[reg] < b.p[reg]))
LANES_COMPARE(f_eq, vf, vi, OF_NARROW, (ni)(a.p[reg] == b.p[reg]))
LANES_COMPARE(i_lt, vi, vi, OF_NARROW, (ni)(a.p[reg] < b.p[reg]))
LANES_COMPARE(i_eq, vi, vi, OF_NARROW, (ni)(a.p[reg] == b.p[reg]))
LANES_COMPARE(u_lt, vi, vi, OF_NARROW, (ni)((nu)a.p[reg] < (nu)b.p[reg]))
LANES_COMPARE(d_lt_wide, vd, vl, OF_WIDE, (nl)(a.p[reg] < b.p[reg]))
LANES_COMPARE(d_eq_wide, vd, vl, OF_WIDE, (nl)(a.p[reg] == b.p[reg]))
LANES_COMPARE(l_lt_wide, vl, vl, OF_WIDE, (nl)(a.p[reg] < b.p[reg]))
LANES_COMPARE(l_eq_wide, vl, vl, OF_WIDE, (nl)(a.p[reg] == b.p[reg]))
LANES_COMPARE(ul_lt_wide, vl, vl, OF_WIDE, (nl)((nul)a.p[reg] < (nul)b.p[reg]))

/* Conversions that are exact or leave the low half: `l_extend` puts 0 above, `l_of_i` the sign, so masks stay masks. */
#if REGISTER > 16 /* by name, since GCC converts to wide registers in pieces */
INLINE vd d_of_f(vf a) { OF_WIDE(vd, (nd)X86(cvtps_pd)((mhf)HALF(a.p[reg / 2]))); }
INLINE vd d_of_i(vi a) { OF_WIDE(vd, (nd)X86(cvtepi32_pd)((mhi)HALF(a.p[reg / 2]))); }
INLINE vl l_of_i(vi a) { OF_WIDE(vl, (nl)X86(cvtepi32_epi64)((mhi)HALF(a.p[reg / 2]))); }
INLINE vl l_extend(vi a) { OF_WIDE(vl, (nl)X86(cvtepu32_epi64)((mhi)HALF(a.p[reg / 2]))); }
#else
INLINE vd d_of_f(vf a) { OF_WIDE(vd, __builtin_convertvector(HALF(a.p[reg / 2]), nd)); }
INLINE vd d_of_i(vi a) { OF_WIDE(vd, __builtin_convertvector(HALF(a.p[reg / 2]), nd)); }
INLINE vl l_of_i(vi a) { OF_WIDE(vl, __builtin_convertvector(HALF(a.p[reg / 2]), nl)); }
INLINE vl l_extend(vi a) { OF_WIDE(vl, (nl)__builtin_convertvector((hu)HALF(a.p[reg / 2]), nul)); }
#endif
INLINE vi i_of_l(vl a) { OF_NARROW(vi, EVEN_NARROW((ni)a.p[2 * reg], (ni)a.p[2 * reg + 1])); }

/* Conversions that round, once, to nearest even. */
INLINE vf f_of_d(vd a) {
  OF_NARROW(vf, JOINED(__builtin_convertvector(a.p[2 * reg], hf), __builtin_convertvector(a.p[2 * reg + 1], hf)));
}
INLINE vf f_of_i(vi a) { OF_NARROW(vf, __builtin_convertvector(a.p[reg], nf)); }
#if defined(__AVX512DQ__)
INLINE vd d_of_l(vl a) { OF_WIDE(vd, __builtin_convertvector(a.p[reg], nd)); }
INLINE vf f_of_l(vl a) {
  OF_NARROW(vf, JOINED(__builtin_convertvector(a.p[2 * reg], hf), __builtin_convertvector(a.p[2 * reg + 1], hf)));
}
#else
/* Both halves as binary64 that are exact; their sum is rounded. */
INLINE nd n_of_l(nl a) {
  nl low = (a & 0xffffffff) | 0x433ll << 52, high = (nl)((nul)a >> 32 ^ 0x80000000u) | 0x453ll << 52;
  return ((nd)high - 0x1.00000801p84) + (nd)low;
}
INLINE vd d_of_l(vl a) { OF_WIDE(vd, n_of_l(a.p[reg])); }
/* What binary64 cannot hold is made odd first, far below the last place of a binary32, so that only the second
 * conversion rounds. */
INLINE nl n_odd(nl a) {
  nl low = a & 0xfff, odd = (a - low) | ((nl)(low != 0) & 0x800);
  nl fits = (nl)((nul)a + (1ull << 53) < (nul){0} + (1ull << 54));
  return (fits & a) | (~fits & odd);
}
INLINE vf f_of_l(vl a) {
  vl odd;
  EACH_WIDE(odd.p[reg] = n_odd(a.p[reg]))
  return f_of_d(d_of_l(odd));
}
#endif

/* Towards zero; NaN is 0; what does not fit is the nearest that does. */
INLINE nl n_to_l(nd a) {
  nul word = (nul)a, exponent = word >> 52 & 0x7ff, digits = (word & 0xfffffffffffff) | 1ull << 52;
  nul down = 1075 - exponent, small = (nul)(exponent < 1075), tiny = (nul)((nl)down > 63);
  nul whole = (small & ~tiny & (digits >> (down & 63))) | (~small & (digits << (-down & 63)));
  nul sign = -(word >> 63);
  nl high = (nl)(a >= 0x1p63), low = (nl)(a < -0x1p63), same = (nl)(a == a);
  nl fits = (nl)((whole ^ sign) - sign) & ~high & ~low;
  return (fits | (high & INT64_MAX) | (low & INT64_MIN)) & same;
}
INLINE vl d_to_l(vd a) { OF_WIDE(vl, n_to_l(a.p[reg])); }
INLINE vl f_to_l(vf a) { return d_to_l(d_of_f(a)); }

/* Masks of 32-bit lanes from tests of 64-bit ones. */
INLINE vi d_lt(vd a, vd b) { return i_of_l(d_lt_wide(a, b)); }
INLINE vi d_eq(vd a, vd b) { return i_of_l(d_eq_wide(a, b)); }
INLINE vi l_lt(vl a, vl b) { return i_of_l(l_lt_wide(a, b)); }
INLINE vi l_eq(vl a, vl b) { return i_of_l(l_eq_wide(a, b)); }
INLINE vi ul_lt(vl a, vl b) { return i_of_l(ul_lt_wide(a, b)); }

/* a where the mask is set, b elsewhere. */
#if REGISTER == 32
#define CHOSEN(kind, mask, a, b) X86(blendv_##kind)((b), (a), (mask))
INLINE nf n_select(ni mask, nf a, nf b) { return (nf)CHOSEN(ps, (mf)mask, (mf)a, (mf)b); }
INLINE nd n_select_wide(nl mask, nd a, nd b) { return (nd)CHOSEN(pd, (md)mask, (md)a, (md)b); }
#else
INLINE nf n_select(ni mask, nf a, nf b) { return (nf)((mask & (ni)a) | (~mask & (ni)b)); }
INLINE nd n_select_wide(nl mask, nd a, nd b) { return (nd)((mask & (nl)a) | (~mask & (nl)b)); }
#endif
INLINE vf f_select(vi mask, vf a, vf b) { OF_NARROW(vf, n_select(mask.p[reg], a.p[reg], b.p[reg])); }
INLINE vi i_select(vi mask, vi a, vi b) { OF_NARROW(vi, (ni)n_select(mask.p[reg], (nf)a.p[reg], (nf)b.p[reg])); }
INLINE vd d_select(vl mask, vd a, vd b) { OF_WIDE(vd, n_select_wide(mask.p[reg], a.p[reg], b.p[reg])); }
INLINE vl l_select(vl mask, vl a, vl b) { OF_WIDE(vl, (nl)n_select_wide(mask.p[reg], (nd)a.p[reg], (nd)b.p[reg])); }

/* NaN is one word in memory. */
#if defined(__AVX512F__)
INLINE nf n_canonical(nf v) {
  __m512 nan = (__m512)((ni){0} + 0x7fc00000);
  return (nf)_mm512_mask_mov_ps(nan, _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_ORD_Q), (__m512)v);
}
#else
INLINE nf n_canonical(nf v) { return n_select((ni)(v == v), v, (nf)((ni){0} + 0x7fc00000)); }
#endif
INLINE vf f_canonical(vf v) { OF_NARROW(vf, n_canonical(v.p[reg])); }
INLINE vd d_canonical(vd v) {
  OF_WIDE(vd, n_select_wide((nl)(v.p[reg] == v.p[reg]), v.p[reg], (nd)((nl){0} + 0x7ff8000000000000ll)));
}
INLINE float canonical1(float v) { return v != v ? __builtin_nanf("") : v; }

/* One fused multiply-add, for the tails of loops, and where there is no instruction for it. */
float soft_fmaf(float a, float b, float c);
INLINE float fma1(float a, float b, float c) {
#if defined(__FMA__) || defined(__aarch64__)
  return __builtin_fmaf(a, b, c);
#else
  return soft_fmaf(a, b, c);
#endif
}

#if defined(__FMA__)
INLINE nf n_fma(nf a, nf b, nf c) { return (nf)X86(fmadd_ps)((mf)a, (mf)b, (mf)c); }
#elif defined(__aarch64__)
INLINE nf n_fma(nf a, nf b, nf c) { return (nf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
#else
/* As `soft_fmaf` in fma.c. */
INLINE nf n_fma(nf a, nf b, nf c) {
  typedef double nd4 __attribute__((vector_size(32)));
  typedef int64_t nl4 __attribute__((vector_size(32)));
  nd4 x = __builtin_convertvector(a, nd4) * __builtin_convertvector(b, nd4), y = __builtin_convertvector(c, nd4);
  nd4 s = x + y, t = s - x, e = (x - (s - t)) + (y - t);
  nl4 u = (nl4)s, up = ((nl4)e ^ u) >= 0, inexact = (e != 0) & (e == e), even = (u & 1) == 0;
  nl4 odd = u + ((up & 2) - 1), fits = inexact & even;
  return __builtin_convertvector((nd4)((odd & fits) | (u & ~fits)), nf);
}
#endif
#if defined(__FMA__) || defined(__aarch64__)
INLINE vf f_fma(vf a, vf b, vf c) { OF_NARROW(vf, n_fma(a.p[reg], b.p[reg], c.p[reg])); }
#else
/* In fma.c, and not inline, since some programs have dozens. */
vf f_fma(vf a, vf b, vf c);
#endif

/* `a < b ? a : b` and `a > b ? a : b`: the second of equal ones, and where either is NaN. */
#if defined(__x86_64__)
INLINE vf f_sqrt(vf a) { OF_NARROW(vf, (nf)X86(sqrt_ps)((mf)a.p[reg])); }
INLINE vd d_sqrt(vd a) { OF_WIDE(vd, (nd)X86(sqrt_pd)((md)a.p[reg])); }
INLINE vf f_smaller(vf a, vf b) { OF_NARROW(vf, (nf)X86(min_ps)((mf)a.p[reg], (mf)b.p[reg])); }
INLINE vf f_larger(vf a, vf b) { OF_NARROW(vf, (nf)X86(max_ps)((mf)a.p[reg], (mf)b.p[reg])); }
#else
INLINE vf f_sqrt(vf a) { OF_NARROW(vf, (nf)vsqrtq_f32((float32x4_t)a.p[reg])); }
INLINE vd d_sqrt(vd a) { OF_WIDE(vd, (nd)vsqrtq_f64((float64x2_t)a.p[reg])); }
INLINE vf f_smaller(vf a, vf b) { return f_select(f_lt(a, b), a, b); }
INLINE vf f_larger(vf a, vf b) { return f_select(f_lt(b, a), a, b); }
#endif

/* The even and the odd lanes, in both halves of the result: the two sides of a step of the tree. */
INLINE vf f_even(vf v) { OF_NARROW(vf, EVEN_NARROW(v.p[2 * reg % NARROW], v.p[(2 * reg + 1) % NARROW])); }
INLINE vf f_odd(vf v) { OF_NARROW(vf, ODD_NARROW(v.p[2 * reg % NARROW], v.p[(2 * reg + 1) % NARROW])); }
INLINE vd d_even(vd v) { OF_WIDE(vd, EVEN_WIDE(v.p[2 * reg % WIDE], v.p[(2 * reg + 1) % WIDE])); }
INLINE vd d_odd(vd v) { OF_WIDE(vd, ODD_WIDE(v.p[2 * reg % WIDE], v.p[(2 * reg + 1) % WIDE])); }
INLINE vl l_even(vl v) { OF_WIDE(vl, EVEN_WIDE(v.p[2 * reg % WIDE], v.p[(2 * reg + 1) % WIDE])); }
INLINE vl l_odd(vl v) { OF_WIDE(vl, ODD_WIDE(v.p[2 * reg % WIDE], v.p[(2 * reg + 1) % WIDE])); }

/* The even and the odd lanes of two vectors, those of a first. */
#define LANES_OF_BOTH(name, join)                                                                     \
  INLINE vf name(vf a, vf b) {                                                                        \
    OF_NARROW(vf, join(2 * reg < NARROW ? a.p[2 * reg % NARROW] : b.p[2 * reg % NARROW],                     \
                       2 * reg + 1 < NARROW ? a.p[(2 * reg + 1) % NARROW] : b.p[(2 * reg + 1) % NARROW])); \
  }
LANES_OF_BOTH(f_even_of, EVEN_NARROW)
LANES_OF_BOTH(f_odd_of, ODD_NARROW)

/* The fixed tree over sixteen lanes: neighbours first, then pairs of neighbours, and so on. */
INLINE float f_tree(vf v) {
  for (int width = LANES / 2; width; width /= 2) v = f_add(f_even(v), f_odd(v));
  return f_first(v);
}

#endif
