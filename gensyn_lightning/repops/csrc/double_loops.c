/* The functions of double.h as inner loops of NumPy's, for arrays of binary64, binary32 and halves.
 *
 * `at` has an address for each argument and the result, `step` the bytes from one element to the next. NumPy learns
 * from the floating-point flags what to warn of; nothing else here sets them.
 */
#include <fenv.h>

#include "convert.h"
#include "double.h"
#include "repops.h"

static double get_d(const char *at) { double x; memcpy(&x, at, 8); return x; }
static double get_f(const char *at) { float x; memcpy(&x, at, 4); return x; }
static double get_e(const char *at) { uint16_t x; memcpy(&x, at, 2); return from_f16(x); }
static double put_d(char *at, double x) { memcpy(at, &x, 8); return x; }
static double put_f(char *at, double x) { float y = (float)x; memcpy(at, &y, 4); return y; }
static double put_e(char *at, double x) {
  uint16_t y = to_f16((float)x);
  memcpy(at, &y, 2);
  return from_f16(y);
}

/* What became of finite arguments; `pole`: where infinity is the very value. */
static int flags(double result, int finite, int number, int pole) {
  if (isnan(result)) return number ? FE_INVALID : 0;
  return isinf(result) && finite ? pole ? FE_DIVBYZERO : FE_OVERFLOW : 0;
}

typedef double one(double);
typedef double two(double, double);
typedef double get(const char *at);
typedef double put(char *at, double x);

static inline void loop_1(char **at, const intptr_t *n, const intptr_t *step, one *f, get *g, put *p, int poles) {
  char *x = at[0], *to = at[1];
  int raised = 0;
  for (intptr_t i = 0; i < *n; i++, x += step[0], to += step[1]) {
    double given = g(x), made = p(to, f(given));
    raised |= flags(made, isfinite(given), !isnan(given), poles);
  }
  if (raised) feraiseexcept(raised);
}

static inline void loop_2(char **at, const intptr_t *n, const intptr_t *step, two *f, get *g, put *p) {
  char *x = at[0], *y = at[1], *to = at[2];
  int raised = 0;
  for (intptr_t i = 0; i < *n; i++, x += step[0], y += step[1], to += step[2]) {
    double a = g(x), b = g(y), made = p(to, f(a, b));
    raised |= flags(made, isfinite(a) && isfinite(b), !isnan(a) && !isnan(b), a == 0);
  }
  if (raised) feraiseexcept(raised);
}

/* Only logarithms and the inverse hyperbolic tangent have poles among their arguments. */
#define POLES(name) (#name[0] == 'l' || (#name[0] == 'a' && #name[3] == 'n' && #name[4] == 'h'))
#define LOOP_1(name, kind)                                                                              \
  EXPORT void repops_loop_##name##_##kind(char **at, const intptr_t *n, const intptr_t *step, void *d) { \
    (void)d;                                                                                            \
    loop_1(at, n, step, repops_double_##name, get_##kind, put_##kind, POLES(name));                     \
  }
#define LOOP_2(name, kind)                                                                              \
  EXPORT void repops_loop_##name##_##kind(char **at, const intptr_t *n, const intptr_t *step, void *d) { \
    (void)d;                                                                                            \
    loop_2(at, n, step, repops_double_##name, get_##kind, put_##kind);                                  \
  }
#define LOOPS_1(name) LOOP_1(name, d) LOOP_1(name, f) LOOP_1(name, e)
#define LOOPS_2(name) LOOP_2(name, d) LOOP_2(name, f) LOOP_2(name, e)

EACH_DOUBLE_1(LOOPS_1)
EACH_DOUBLE_2(LOOPS_2)
