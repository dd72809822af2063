/* Sixteen lanes as so many registers as they take on the machine a build is for.
 *
 * A vector type wider than a register would be kept in memory by GCC, and compared lane by lane; so sixteen lanes are a
 * struct of registers, which compilers keep apart, and every operation on them is written out register by register.
 */
#ifndef REPOPS_LANES_H
#define REPOPS_LANES_H

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))
#define LANES 16

#if defined(__AVX512F__)
#define REGISTER 64
#define X86(name) _mm512_##name
typedef __m512 mf;
typedef __m512d md;
typedef __m256 mhf;
typedef __m256i mhi;
#elif defined(__AVX2__)
#define REGISTER 32
#define X86(name) _mm256_##name
typedef __m256 mf;
typedef __m256d md;
typedef __m128 mhf;
typedef __m128i mhi;
#else
#define REGISTER 16
#if defined(__x86_64__)
#define X86(name) _mm_##name
typedef __m128 mf;
typedef __m128d md;
#endif
#endif

/* A register, and half of one: what a conversion between 32 and 64 bits takes or leaves. */
typedef float nf __attribute__((vector_size(REGISTER)));
typedef int32_t ni __attribute__((vector_size(REGISTER)));
typedef uint32_t nu __attribute__((vector_size(REGISTER)));
typedef double nd __attribute__((vector_size(REGISTER)));
typedef int64_t nl __attribute__((vector_size(REGISTER)));
typedef uint64_t nul __attribute__((vector_size(REGISTER)));
typedef float hf __attribute__((vector_size(REGISTER / 2)));
typedef uint32_t hu __attribute__((vector_size(REGISTER / 2)));

/* Registers that hold sixteen lanes of 32 bits and of 64, and the lanes of one. */
enum { NARROW = 64 / REGISTER, WIDE = 128 / REGISTER, NARROW_LANES = REGISTER / 4, WIDE_LANES = REGISTER / 8 };

/* Sixteen of binary32, of 32-bit integers, of binary64, of 64-bit integers. A mask has all bits of a lane set, or none. */
typedef struct { nf p[64 / REGISTER]; } vf;
typedef struct { ni p[64 / REGISTER]; } vi;
typedef struct { nd p[128 / REGISTER]; } vd;
typedef struct { nl p[128 / REGISTER]; } vl;

/* Do something for each register, whose number is the constant `reg`. */
#define LANES_STEP(number, ...) { enum { reg = number }; __VA_ARGS__; }
#if REGISTER == 64
#define EACH_NARROW(...) LANES_STEP(0, __VA_ARGS__)
#define EACH_WIDE(...) LANES_STEP(0, __VA_ARGS__) LANES_STEP(1, __VA_ARGS__)
#elif REGISTER == 32
#define EACH_NARROW(...) LANES_STEP(0, __VA_ARGS__) LANES_STEP(1, __VA_ARGS__)
#define EACH_WIDE(...) EACH_NARROW(__VA_ARGS__) LANES_STEP(2, __VA_ARGS__) LANES_STEP(3, __VA_ARGS__)
#else
#define EACH_NARROW(...) \
  LANES_STEP(0, __VA_ARGS__) LANES_STEP(1, __VA_ARGS__) LANES_STEP(2, __VA_ARGS__) LANES_STEP(3, __VA_ARGS__)
#define EACH_WIDE(...)                                                                                  \
  EACH_NARROW(__VA_ARGS__) LANES_STEP(4, __VA_ARGS__) LANES_STEP(5, __VA_ARGS__) LANES_STEP(6, __VA_ARGS__) \
  LANES_STEP(7, __VA_ARGS__)
#endif
#define OF_NARROW(type, ...) type r; EACH_NARROW(r.p[reg] = __VA_ARGS__) return r
#define OF_WIDE(type, ...) type r; EACH_WIDE(r.p[reg] = __VA_ARGS__) return r

/* Half `reg & 1` of a register, two halves as one, and the even and the odd lanes of two registers. */
#if REGISTER == 64
#define HALF(x) __builtin_shufflevector(x, x, 8 * (reg & 1), 8 * (reg & 1) + 1, 8 * (reg & 1) + 2, 8 * (reg & 1) + 3, \
                                        8 * (reg & 1) + 4, 8 * (reg & 1) + 5, 8 * (reg & 1) + 6, 8 * (reg & 1) + 7)
#define JOINED(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#define EVEN_NARROW(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODD_NARROW(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define EVEN_WIDE(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD_WIDE(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define COUNT_NARROW {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
#define COUNT_WIDE {0, 1, 2, 3, 4, 5, 6, 7}
#elif REGISTER == 32
#define HALF(x) __builtin_shufflevector(x, x, 4 * (reg & 1), 4 * (reg & 1) + 1, 4 * (reg & 1) + 2, 4 * (reg & 1) + 3)
#define JOINED(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7)
#define EVEN_NARROW(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD_NARROW(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define EVEN_WIDE(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ODD_WIDE(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define COUNT_NARROW {0, 1, 2, 3, 4, 5, 6, 7}
#define COUNT_WIDE {0, 1, 2, 3}
#else
#define HALF(x) __builtin_shufflevector(x, x, 2 * (reg & 1), 2 * (reg & 1) + 1)
#define JOINED(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3)
#define EVEN_NARROW(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ODD_NARROW(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define EVEN_WIDE(a, b) __builtin_shufflevector(a, b, 0, 2)
#define ODD_WIDE(a, b) __builtin_shufflevector(a, b, 1, 3)
#define COUNT_NARROW {0, 1, 2, 3}
#define COUNT_WIDE {0, 1}
#endif

#endif
