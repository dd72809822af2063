/* Random bits: word i of a key's stream, by Philox4x32-10, which is a function of key and i alone.
 *
 * Element i is word (i >> 4) & 3 of counter 16 (i >> 6) + (i & 15): sixteen lanes are sixteen counters, and their four words
 * are 64 elements in a row without a transposition.
 */
#ifndef REPOPS_RANDOM_H
#define REPOPS_RANDOM_H

#include "repops.h"
#include "vec.h"

enum { PHILOX_BLOCK = 64 };

/* Elements [at, at + n) of the stream into `to`. Both are multiples of PHILOX_BLOCK, n of twice that. */
void philox(uint32_t *to, uint64_t key, int64_t at, int64_t n);

#endif
