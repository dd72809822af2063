/* Sorts items of one type; sort.c includes this once for each. Rows are short: by insertion; long: by digits, lowest first. */

static void NAME(insert)(ITEM *item, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    ITEM one = item[i];
    int64_t to = i;
    for (; to > 0 && BEFORE(one, item[to - 1]); to--) item[to] = item[to - 1];
    item[to] = one;
  }
}

/* Sort by digits from LOW_BIT up; a digit that all items share moves none. Equal keys stay in the order of their places. */
static ITEM *NAME(by_digits)(ITEM *item, ITEM *spare, int64_t n) {
  int width = n < 4 * BINS ? SMALL_DIGIT : DIGIT;
  uint64_t mask = ((uint64_t)1 << width) - 1, differing = 0;
  for (int64_t i = 1; i < n; i++) differing |= DIGIT_AT(item[i], 0) ^ DIGIT_AT(item[0], 0);
  for (int shift = LOW_BIT; shift < BITS; shift += width) {
    if (!(differing >> shift & mask)) continue;
    int64_t start[BINS] = {0};
    for (int64_t i = 0; i < n; i++) start[DIGIT_AT(item[i], shift) & mask]++;
    int64_t sum = 0;
    for (uint64_t b = 0; b <= mask; b++) {
      int64_t count = start[b];
      start[b] = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; i++) spare[start[DIGIT_AT(item[i], shift) & mask]++] = item[i];
    ITEM *other = item;
    item = spare;
    spare = other;
  }
  return item;
}

/* Order at least the `wanted` items of ranks from *rank on; they are found at what *rank is set to, in what is returned. */
static ITEM *NAME(order)(ITEM *item, ITEM *spare, int64_t n, int64_t *rank, int64_t wanted) {
  for (int shift = BITS - DIGIT; wanted < n / 4 && n > ENOUGH && shift >= LOW_BIT; shift -= DIGIT) {
    int64_t count[BINS] = {0}, below = 0, kept = 0;
    uint64_t low = 0, high, mask = BINS - 1;
    for (int64_t i = 0; i < n; i++) count[DIGIT_AT(item[i], shift) & mask]++;
    while (below + count[low] <= *rank) below += count[low++];
    int64_t end = below + count[low];
    for (high = low; end < *rank + wanted;) end += count[++high];
    /* Written in place: an item never moves to a later place than its own. */
    for (int64_t i = 0; i < n; i++) {
      uint64_t digit = DIGIT_AT(item[i], shift) & mask;
      item[kept] = item[i];
      kept += digit >= low && digit <= high;
    }
    n = kept;
    *rank -= below;
    if (low != high) break;
  }
  if (n > FEW) return NAME(by_digits)(item, spare, n);
  NAME(insert)(item, n);
  return item;
}
