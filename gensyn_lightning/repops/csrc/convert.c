/* Rows of any element type and stride to plain rows of words, and back. */
#include "convert.h"

#define LOAD(type, read)                                                       \
  do {                                                                         \
    const type *p = from;                                                      \
    for (int64_t i = 0; i < n; i++) {                                          \
      type e = p[i * stride];                                                  \
      out[i] = read;                                                           \
    }                                                                          \
  } while (0)

static void load_floats(float *out, const void *from, int64_t dtype, int64_t stride, int64_t n) {
  switch (dtype) {
    case F32: if (stride == 1) memcpy(out, from, (size_t)n * 4); else LOAD(float, e); return;
    case BF16: LOAD(uint16_t, from_bf16(e)); return;
    case F16: LOAD(uint16_t, from_f16(e)); return;
    case F64: LOAD(double, (float)e); return;
    case I64: LOAD(int64_t, (float)e); return;
    case I32: LOAD(int32_t, (float)e); return;
    case I16: LOAD(int16_t, (float)e); return;
    case I8: LOAD(int8_t, (float)e); return;
    default: LOAD(uint8_t, (float)e); return;
  }
}

static void load_doubles(double *out, const void *from, int64_t dtype, int64_t stride, int64_t n) {
  switch (dtype) {
    case F32: LOAD(float, (double)e); return;
    case BF16: LOAD(uint16_t, (double)from_bf16(e)); return;
    case F16: LOAD(uint16_t, (double)from_f16(e)); return;
    case F64: if (stride == 1) memcpy(out, from, (size_t)n * 8); else LOAD(double, e); return;
    case I64: LOAD(int64_t, (double)e); return;
    case I32: LOAD(int32_t, (double)e); return;
    case I16: LOAD(int16_t, (double)e); return;
    case I8: LOAD(int8_t, (double)e); return;
    default: LOAD(uint8_t, (double)e); return;
  }
}

static void load_integers(int64_t *out, const void *from, int64_t dtype, int64_t stride, int64_t n) {
  switch (dtype) {
    case F32: LOAD(float, to_integer1((double)e)); return;
    case BF16: LOAD(uint16_t, to_integer1((double)from_bf16(e))); return;
    case F16: LOAD(uint16_t, to_integer1((double)from_f16(e))); return;
    case F64: LOAD(double, to_integer1(e)); return;
    case I64: LOAD(int64_t, e); return;
    case I32: LOAD(int32_t, e); return;
    case I16: LOAD(int16_t, e); return;
    case I8: LOAD(int8_t, e); return;
    default: LOAD(uint8_t, e); return;
  }
}

void load_row(void *to, char kind, const void *from, int64_t dtype, int64_t stride, int64_t n) {
  if (kind == 'f') load_floats(to, from, dtype, stride, n);
  else if (kind == 'd') load_doubles(to, from, dtype, stride, n);
  else load_integers(to, from, dtype, stride, n);
}

#define STORE(type, value)                                                     \
  do {                                                                         \
    type *p = to;                                                              \
    for (int64_t i = 0; i < n; i++) p[i * stride] = (type)(value);             \
  } while (0)

static void store_floats(void *to, int64_t dtype, int64_t stride, const float *in, int64_t n) {
  switch (dtype) {
    case F32: STORE(float, in[i]); return;
    case BF16: STORE(uint16_t, to_bf16(in[i])); return;
    case F16: STORE(uint16_t, to_f16(in[i])); return;
    default: STORE(double, in[i]); return;
  }
}

static void store_integers(void *to, int64_t dtype, int64_t stride, const int64_t *in, int64_t n) {
  switch (dtype) {
    case I64: STORE(int64_t, in[i]); return;
    case I32: STORE(int32_t, in[i]); return;
    case I16: STORE(int16_t, in[i]); return;
    case I8: STORE(int8_t, in[i]); return;
    case U8: STORE(uint8_t, in[i]); return;
    default: STORE(uint8_t, in[i] != 0); return;
  }
}

void store_row(void *to, int64_t dtype, int64_t stride, const void *from, char kind, int64_t n) {
  if (kind == 'f') {
    store_floats(to, dtype, stride, from, n);
  } else if (kind == 'i') {
    store_integers(to, dtype, stride, from, n);
  } else {
    const double *in = from;
    STORE(double, in[i]);
  }
}
