/* Random bits in bulk. */
#include "random.h"

enum { ROUNDS = 10, WORDS = 4, SIDE = 2 };
static const uint32_t MULTIPLIER[2] = {0xd2511f53, 0xcd9e8d57}, WEYL[2] = {0x9e3779b9, 0xbb67ae85};

typedef struct { vi low, high; } halves;

/* The two halves of each lane's product with m. */
INLINE halves multiply(vi a, uint32_t m) {
#if defined(__AVX512F__)
  __m512i x = (__m512i)a.p[0], y = _mm512_set1_epi64(m);
  __m512i even = _mm512_mul_epu32(x, y), odd = _mm512_mul_epu32(_mm512_srli_epi64(x, 32), y);
  return (halves){{{(ni)_mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32))}},
                  {{(ni)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd)}}};
#elif defined(__AVX2__)
  halves r;
  __m256i y = _mm256_set1_epi64x(m);
  EACH_NARROW(
    __m256i x = (__m256i)a.p[reg], even = _mm256_mul_epu32(x, y), odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), y);
    r.low.p[reg] = (ni)_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
    r.high.p[reg] = (ni)_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa))
  return r;
#else
  vl p = l_mul(l_extend(a), l_all(m));
  return (halves){i_of_l(p), i_of_l(l_shr(p, 32))};
#endif
}

/* SIDE blocks side by side: a round waits on the one before it. */
INLINE void blocks(uint32_t *to, uint64_t key, int64_t block) {
  vi c[SIDE][WORDS];
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  for (int s = 0; s < SIDE; s++) {
    uint64_t first = (uint64_t)(block + s) * LANES;
    c[s][0] = i_add(i_count(), i_all((int32_t)first));
    c[s][1] = i_all((int32_t)(first >> 32));
    c[s][2] = c[s][3] = i_all(0);
  }
  for (int r = 0; r < ROUNDS; r++, k0 += WEYL[0], k1 += WEYL[1])
    for (int s = 0; s < SIDE; s++) {
      halves p = multiply(c[s][0], MULTIPLIER[0]), q = multiply(c[s][2], MULTIPLIER[1]);
      c[s][0] = i_xor(i_xor(q.high, c[s][1]), i_all((int32_t)k0));
      c[s][1] = q.low;
      c[s][2] = i_xor(i_xor(p.high, c[s][3]), i_all((int32_t)k1));
      c[s][3] = p.low;
    }
  for (int s = 0; s < SIDE; s++)
    for (int w = 0; w < WORDS; w++) i_store((int32_t *)to + (s * WORDS + w) * LANES, c[s][w]);
}

void philox(uint32_t *to, uint64_t key, int64_t at, int64_t n) {
  for (int64_t i = 0; i < n; i += SIDE * PHILOX_BLOCK) blocks(to + i, key, (at + i) / PHILOX_BLOCK);
}
