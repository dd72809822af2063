"""Writes a scalar program as plain C, an instruction a statement, and checks kernels against it.

A fourth reading of the opcodes, for what NumPy is too slow for: all 2^32 inputs. It shares nothing
with the vector code that the kernels are made of. Beside the bits it measures how far a result is
from what the machine's own binary64 function gives, in units in the last place.
"""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

from gensyn_lightning.repops.opcode import Op
from gensyn_lightning.repops.program import Program

_PRELUDE = """
#include <math.h>
#include <stdint.h>
#include <string.h>
typedef uint64_t u; typedef int64_t s;
static inline float f(u a) { uint32_t w = (uint32_t)a; float x; memcpy(&x, &w, 4); return x; }
static inline double d(u a) { double x; memcpy(&x, &a, 8); return x; }
static inline u F(float x) { uint32_t w; memcpy(&w, &x, 4); return x != x ? 0x7fc00000u : w; }
static inline u D(double x) { u w; memcpy(&w, &x, 8); return x != x ? 0xfffull << 51 : w; }
/* Conversions and shifts as C's own, in operations that exist for several elements at once. */
static inline u I(double x) {
  u word;
  memcpy(&word, &x, 8);
  u exponent = word >> 52 & 0x7ff, digits = (word & 0xfffffffffffffull) | 1ull << 52;
  u down = 1075 - exponent, up = exponent - 1075;
  u whole = exponent < 1075 ? (down > 63 ? 0 : digits >> (down & 63)) : digits << (up & 63);
  u result = word >> 63 ? 0 - whole : whole;
  result = x >= 0x1p63 ? (u)INT64_MAX : result;
  result = x < -0x1p63 ? (u)INT64_MIN : result;
  return x != x ? 0 : result;
}
static inline double i2d(u a) {
  u low = (a & 0xffffffffu) | 0x433ull << 52, high = (a >> 32 ^ 0x80000000u) | 0x453ull << 52;
  return (d(high) - 0x1.00000801p84) + d(low);
}
static inline float i2f(u a) { /* what a binary64 cannot hold is made odd first: one rounding */
  u low = a & 0xfff, odd = (a - low) | (low ? 0x800 : 0);
  return (float)i2d(a + (1ull << 53) < 1ull << 54 ? a : odd);
}
static inline u sar(u a, u by) {
  u sign = 0 - (a >> 63);
  return ((a ^ sign) >> by) ^ sign;
}
"""
_STATEMENTS = {
    Op.FADD: "F(f({0}) + f({1}))",
    Op.FMUL: "F(f({0}) * f({1}))",
    Op.FFMA: "F(fmaf(f({0}), f({1}), f({2})))",
    Op.FDIV: "F(f({0}) / f({1}))",
    Op.FSQRT: "F(sqrtf(f({0})))",
    Op.FLT: "f({0}) < f({1})",
    Op.FEQ: "f({0}) == f({1})",
    Op.SEL: "{0} ? {1} : {2}",
    Op.ADD: "{0} + {1}",
    Op.SUB: "{0} - {1}",
    Op.MUL: "{0} * {1}",
    Op.AND: "{0} & {1}",
    Op.OR: "{0} | {1}",
    Op.XOR: "{0} ^ {1}",
    Op.SHL: "{0} << ({1} & 63)",
    Op.SHR: "{0} >> ({1} & 63)",
    Op.SAR: "sar({0}, {1} & 63)",
    Op.EQ: "{0} == {1}",
    Op.ULT: "{0} < {1}",
    Op.SLT: "(s){0} < (s){1}",
    Op.F2I: "I(f({0}))",
    Op.I2F: "F(i2f({0}))",
    Op.F2D: "D(f({0}))",
    Op.D2F: "F((float)d({0}))",
    Op.D2I: "I(d({0}))",
    Op.I2D: "D(i2d({0}))",
    Op.DADD: "D(d({0}) + d({1}))",
    Op.DMUL: "D(d({0}) * d({1}))",
    Op.DDIV: "D(d({0}) / d({1}))",
    Op.DSQRT: "D(sqrt(d({0})))",
    Op.DLT: "d({0}) < d({1})",
    Op.DEQ: "d({0}) == d({1})",
}
_CHECK = """
static inline int differs(uint32_t x, uint32_t found) {
  return F(f(program(F(f(x))))) != found;
}
/* Compare n results with the program's; return the place of the first that differs, or n. */
s check(uint32_t first, s n, const uint32_t *found) {
  for (s at = 0; at < n; at += 256) {
    int wrong = 0;
    for (s i = at; i < at + 256; i++) wrong += differs(first + (uint32_t)i, found[i]);
    for (s i = at; wrong && i < at + 256; i++)
      if (differs(first + (uint32_t)i, found[i])) return i;
  }
  return n;
}
static double exact(double x) { return EXACT; }
/* Compare conversions with the compiler's own, for n words; return how many differ. */
s conversions(const u *words, s n) {
  s wrong = 0;
  for (s at = 0; at < n; at++) {
    u a = words[at];
    double x = d(a);
    s whole = x != x ? 0 : x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : (s)x;
    wrong += I(x) != (u)whole || D(i2d(a)) != D((double)(s)a) || F(i2f(a)) != F((float)(s)a);
    wrong += sar(a, a & 63) != (u)((s)a >> (a & 63));
  }
  return wrong;
}
/* The worst error of n results, in units in the last place of a normal number. */
double worst(uint32_t first, s n, const uint32_t *found) {
  double most = 0;
  for (s at = 0; at < n; at++) {
    double right = exact(f(first + (uint32_t)at));
    double size = fabs(right), value = f(found[at]);
    if (!(size >= 0x1p-126 && size < 0x1.fffffefp127) || isinf(value)) continue;
    u word;
    memcpy(&word, &size, 8);
    double error = fabs(value - right) * d((0x7feull - (word >> 52) + 23) << 52);
    if (error > most) most = error;
  }
  return most;
}
"""


def source(program: Program, exact: str) -> str:
    """Return C that checks results of a program of one binary32; `exact` is an expression of x."""
    lines = ["static inline u program(u r0) {"]
    for at, each in enumerate(program.constants, program.inputs):
        lines.append(f"  const u r{at} = {each:#x}u;")
    for at, one in enumerate(program.instructions, program.inputs + len(program.constants)):
        registers = (f"r{number}" for number in one.read)
        lines.append(f"  u r{at} = {_STATEMENTS[one.op].format(*registers)};")
    lines.append(f"  return r{program.result};\n}}")
    return "\n".join([_PRELUDE, *lines, _CHECK.replace("EXACT", exact)])


def compiled(program: Program, exact: str, folder: Path) -> ctypes.CDLL:
    """Compile the check and load it."""
    text, library = folder / "check.c", folder / "check.so"
    text.write_text(source(program, exact))
    command = ["cc", "-O3", "-march=native", "-fPIC", "-shared", "-w"]
    values_alone = ["-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"]
    subprocess.run([*command, *values_alone, str(text), "-o", str(library), "-lm"], check=True)
    found = ctypes.CDLL(str(library))
    found.conversions.argtypes = (ctypes.c_void_p, ctypes.c_int64)
    found.conversions.restype = ctypes.c_int64
    for each in (found.check, found.worst):
        each.argtypes = (ctypes.c_uint32, ctypes.c_int64, ctypes.c_void_p)
    found.check.restype, found.worst.restype = ctypes.c_int64, ctypes.c_double
    return found
