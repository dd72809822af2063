/* Comparisons and conversions of sixteen lanes, register by register.
 *
 * Sums and products of vectors wider than the machine's the compilers split over its registers by themselves.
 * Comparisons and conversions they do lane by lane, forty times slower; so these are written out over pieces that
 * fill one register each. A mask has all bits of a lane set, or none.
 */
#ifndef REPOPS_LANES_H
#define REPOPS_LANES_H

#if defined(__AVX512F__)
#define REGISTER 64
#elif defined(__AVX2__)
#define REGISTER 32
#else
#define REGISTER 16
#endif

/* A register, and half of one: what a conversion between 32 and 64 bits takes or leaves. */
typedef float nf __attribute__((vector_size(REGISTER)));
typedef int32_t ni __attribute__((vector_size(REGISTER)));
typedef uint32_t nu __attribute__((vector_size(REGISTER)));
typedef double nd __attribute__((vector_size(REGISTER)));
typedef int64_t nl __attribute__((vector_size(REGISTER)));
typedef uint64_t nul __attribute__((vector_size(REGISTER)));
typedef float hf __attribute__((vector_size(REGISTER / 2)));
typedef int32_t hi __attribute__((vector_size(REGISTER / 2)));
typedef uint32_t hu __attribute__((vector_size(REGISTER / 2)));

#define LANES_EACH(to, to_piece, value)                                                          \
  union { to v; to_piece p[sizeof(to) / sizeof(to_piece)]; } r;                            \
  for (unsigned k = 0; k < sizeof(to) / sizeof(to_piece); k++) r.p[k] = (to_piece)(value); \
  return r.v
#define LANES_PIECES(name, type, piece, from) \
  union { type v; piece p[sizeof(type) / sizeof(piece)]; } name = {from}

#define LANES_COMPARE(name, type, piece, mask, mask_piece, test) \
  INLINE mask name(type a, type b) {                       \
    LANES_PIECES(x, type, piece, a);                             \
    LANES_PIECES(y, type, piece, b);                             \
    LANES_EACH(mask, mask_piece, x.p[k] test y.p[k]);            \
  }
LANES_COMPARE(f_lt, vf, nf, vi, ni, <)
LANES_COMPARE(f_eq, vf, nf, vi, ni, ==)
LANES_COMPARE(i_lt, vi, ni, vi, ni, <)
LANES_COMPARE(i_eq, vi, ni, vi, ni, ==)
LANES_COMPARE(u_lt, vu, nu, vi, ni, <)
LANES_COMPARE(d_lt_wide, vd, nd, vl, nl, <)
LANES_COMPARE(d_eq_wide, vd, nd, vl, nl, ==)
LANES_COMPARE(l_lt_wide, vl, nl, vl, nl, <)
LANES_COMPARE(l_eq_wide, vl, nl, vl, nl, ==)
LANES_COMPARE(ul_lt_wide, vul, nul, vl, nl, <)

/* `i` to `l` and to `d` is signed, so masks stay masks; `l` to `i` leaves the low halves. */
#if defined(__AVX512DQ__)
#define LANES_GROW(name, from, to, piece, convert, cast)           \
  INLINE to name(from a) {                                         \
    union { to v; piece p[2]; } r;                                 \
    r.p[0] = convert(cast(_mm512_castsi512_si256((__m512i)a)));    \
    r.p[1] = convert(cast(_mm512_extracti64x4_epi64((__m512i)a, 1))); \
    return r.v;                                                    \
  }
#define LANES_SHRINK(name, from, to, piece, convert, cast)         \
  INLINE to name(from a) {                                         \
    union { from v; piece p[2]; } x = {a};                         \
    __m512i low = _mm512_castsi256_si512(cast(convert(x.p[0])));   \
    return (to)_mm512_inserti64x4(low, cast(convert(x.p[1])), 1);  \
  }
#define LANES_AS_IT_IS(x) x
LANES_GROW(d_of_f, vf, vd, __m512d, _mm512_cvtps_pd, _mm256_castsi256_ps)
LANES_GROW(d_of_i, vi, vd, __m512d, _mm512_cvtepi32_pd, LANES_AS_IT_IS)
LANES_GROW(l_of_i, vi, vl, __m512i, _mm512_cvtepi32_epi64, LANES_AS_IT_IS)
LANES_GROW(ul_of_u, vu, vul, __m512i, _mm512_cvtepu32_epi64, LANES_AS_IT_IS)
LANES_SHRINK(f_of_d, vd, vf, __m512d, _mm512_cvtpd_ps, _mm256_castps_si256)
LANES_SHRINK(f_of_l, vl, vf, __m512i, _mm512_cvtepi64_ps, _mm256_castps_si256)
LANES_SHRINK(i_of_l, vl, vi, __m512i, _mm512_cvtepi64_epi32, LANES_AS_IT_IS)
INLINE vf f_of_i(vi a) { return (vf)_mm512_cvtepi32_ps((__m512i)a); }
INLINE vd d_of_l(vl a) {
  union { vl v; __m512i p[2]; } x = {a};
  union { vd v; __m512d p[2]; } r;
  for (int k = 0; k < 2; k++) r.p[k] = _mm512_cvtepi64_pd(x.p[k]);
  return r.v;
}
#else
#define LANES_CONVERT(name, from, from_piece, to, to_piece)              \
  INLINE to name(from a) {                                               \
    LANES_PIECES(x, from, from_piece, a);                                \
    LANES_EACH(to, to_piece, __builtin_convertvector(x.p[k], to_piece)); \
  }
LANES_CONVERT(d_of_f, vf, hf, vd, nd)
LANES_CONVERT(f_of_d, vd, nd, vf, hf)
LANES_CONVERT(f_of_i, vi, ni, vf, nf)
LANES_CONVERT(d_of_i, vi, hi, vd, nd)
LANES_CONVERT(l_of_i, vi, hi, vl, nl)
LANES_CONVERT(ul_of_u, vu, hu, vul, nul)
LANES_CONVERT(i_of_l, vl, nl, vi, hi)
INLINE vd d_of_l(vl a) { return __builtin_convertvector(a, vd); }
INLINE vf f_of_l(vl a) { return __builtin_convertvector(a, vf); }
#endif

/* Masks of 32-bit lanes from tests of 64-bit ones. */
INLINE vi d_lt(vd a, vd b) { return i_of_l(d_lt_wide(a, b)); }
INLINE vi d_eq(vd a, vd b) { return i_of_l(d_eq_wide(a, b)); }
INLINE vi l_lt(vl a, vl b) { return i_of_l(l_lt_wide(a, b)); }
INLINE vi l_eq(vl a, vl b) { return i_of_l(l_eq_wide(a, b)); }
INLINE vi ul_lt(vul a, vul b) { return i_of_l(ul_lt_wide(a, b)); }

/* The high half of what grows to 64 bits is 0. */
INLINE vl l_extend(vi v) { return (vl)ul_of_u((vu)v); }

/* NaN is one word in memory. */
#if defined(__AVX512F__)
INLINE vf f_canonical(vf v) {
  __m512 nan = (__m512)((vi){0} + 0x7fc00000);
  return (vf)_mm512_mask_mov_ps(nan, _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_ORD_Q), (__m512)v);
}
#else
INLINE vf f_canonical(vf v) {
  vi same = f_eq(v, v);
  return (vf)(((vi)v & same) | (~same & 0x7fc00000));
}
#endif
INLINE vd d_canonical(vd v) {
  vl same = d_eq_wide(v, v);
  return (vd)(((vl)v & same) | (~same & 0x7ff8000000000000ll));
}

#endif
