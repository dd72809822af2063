"""Draws: every operator takes one key from its generator, and an element depends on key and place.

A draw of no elements takes no key. What torch draws as integers (`random_`, `randint`, `randperm`)
it makes of the generator's own integers alone, on every machine alike, and that is left to it.
"""

from __future__ import annotations

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.drawing import Stream, draw_elements
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import copy_elements, map_elements
from gensyn_lightning.repops.plan import Key, Operand, Plan, Scalar, WordSource, broadcast
from gensyn_lightning.repops.programs import random
from gensyn_lightning.repops.word import Definition, double_bits, float_bits

_DIGITS = {Dtype.F32: 24, Dtype.F16: 11, Dtype.BF16: 8}
Generator = Key | None


@covers("uniform_", static=("from", "to"))
def uniform_(plan: Plan, self: Operand, low: float, high: float, generator: Generator) -> None:
    """Fill `self` with numbers of [low, high), all the digits of its type below 1."""
    _check(low <= high, f"uniform_ expects a range [from, to), found from={low} > to={high}")
    if _float_type("uniform_", self) is Dtype.F64:
        ends = (_double(low), _double(high))
        draw_elements(plan, random.uniform_double, [self], _stream(generator, bits=2), *ends)
    else:
        mask = WordSource(-1 << (32 - _DIGITS[self.dtype]) & 0xFFFFFFFF, "f")
        words = (mask, _float(low), _float(high))
        draw_elements(plan, random.uniform, [self], _stream(generator), *words)
    plan.returns(self)


@covers("normal_", static=("mean", "std"))
def normal_(plan: Plan, self: Operand, mean: float, std: float, generator: Generator) -> None:
    """Fill `self` with numbers of the normal distribution."""
    _check(std >= 0, f"normal expects std >= 0.0, but found std {std}")
    program = random.gaussian["fDD" if self.dtype is Dtype.F64 else "fFF"]
    _fill(plan, "normal_", self, program, generator, mean, std)


@covers("log_normal_", static=("mean", "std"))
def log_normal_(plan: Plan, self: Operand, mean: float, std: float, generator: Generator) -> None:
    """Fill `self` with e to numbers of the normal distribution."""
    _check(std > 0, f"log_normal_ expects std > 0.0, but found std={std}")
    program = _of(self, random.log_normal, random.log_normal_double)
    _fill(plan, "log_normal_", self, program, generator, mean, std)


@covers("cauchy_", static=("median", "sigma"))
def cauchy_(plan: Plan, self: Operand, median: float, sigma: float, generator: Generator) -> None:
    """Fill `self` with numbers of the Cauchy distribution."""
    _check(sigma > 0, f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    program = _of(self, random.cauchy, random.cauchy_double)
    _fill(plan, "cauchy_", self, program, generator, median, sigma)


@covers("exponential_", static=("lambd",))
def exponential_(plan: Plan, self: Operand, lambd: float, generator: Generator) -> None:
    """Fill `self` with numbers of the exponential distribution."""
    _check(lambd > 0, f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    program = _of(self, random.exponential, random.exponential_double)
    _fill(plan, "exponential_", self, program, generator, lambd)


@covers("geometric_", static=("p",))
def geometric_(plan: Plan, self: Operand, p: float, generator: Generator) -> None:
    """Fill `self` with numbers of trials up to the first success."""
    _check(0 < p < 1, f"geometric_ expects p to be in (0, 1), but got p={p}")
    program = random.geometric if self.dtype.is_floating else random.geometric_integer
    draw_elements(plan, program, [self], _stream(generator), _double(p))
    plan.returns(self)


@covers("bernoulli_.float", static=("p",))
def bernoulli_float(plan: Plan, self: Operand, p: float, generator: Generator) -> None:
    """Fill `self` with 1 with chance p, else 0."""
    _check(0 <= p <= 1, f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    program = random.bernoulli if self.dtype.is_floating else random.bernoulli_integer
    draw_elements(plan, program, [self], _stream(generator), *_chance(p))
    plan.returns(self)


@covers("bernoulli_.Tensor")
def bernoulli_each(plan: Plan, self: Operand, p: Operand, generator: Generator) -> None:
    """Fill `self` with 1 with the chances p, which broadcast, else 0."""
    if not isinstance(p, Operand):
        raise NotReproducible("a number as a tensor of chances", hint="pass p as a float")
    _bernoulli(plan, self, p, generator)
    plan.returns(self)


@covers(out="bernoulli.out")
def bernoulli_out(plan: Plan, self: Operand, generator: Generator) -> None:
    """Return 1 with the chances `self`, else 0."""
    out = plan.result_like(self)
    _bernoulli(plan, out, self, generator)
    plan.returns(out)


def _bernoulli(plan: Plan, out: Operand, p: Operand, generator: Generator) -> None:
    program = random.bernoulli_each if out.dtype.is_floating else random.bernoulli_each_integer
    draw_elements(plan, program, [out], _stream(generator, reads_chances=True), p)


@covers("normal.Tensor_float", out="normal.Tensor_float_out", static=("std",))
def normal_about(plan: Plan, mean: Operand, std: float, generator: Generator) -> None:
    """Return numbers of the normal distribution about each mean."""
    _check(std >= 0, f"normal expects std >= 0.0, but found std {std}")
    double = mean.dtype is Dtype.F64
    program = random.gaussian["fdD" if double else "ffF"]
    _normal(plan, program, [mean], [_word(mean, std)], generator)


@covers("normal.float_Tensor", out="normal.float_Tensor_out", static=("mean",))
def normal_of_width(plan: Plan, mean: float, std: Operand, generator: Generator) -> None:
    """Return numbers of the normal distribution of each deviation."""
    double = std.dtype is Dtype.F64
    program = random.normal_of_width["fdD" if double else "ffF"]
    _normal(plan, program, [std], [_word(std, mean)], generator)


@covers("normal.Tensor_Tensor", out="normal.Tensor_Tensor_out")
def normal_each(plan: Plan, mean: Operand, std: Operand, generator: Generator) -> None:
    """Return numbers of the normal distribution of each mean and deviation."""
    program = random.gaussian["fdd" if mean.dtype is Dtype.F64 else "fff"]
    _normal(plan, program, [mean, std], [], generator)


def _normal(
    plan: Plan,
    program: Definition,
    reads: list[Operand],
    words: list[WordSource],
    generator: Generator,
) -> None:
    out = plan.result(broadcast(*(each.shape for each in reads)), reads[0].dtype)
    _float_type("normal", out)
    draw_elements(plan, program, [out], _stream(generator), *reads, *words)
    plan.returns(out)


@covers("native_dropout", static=("p",))
def native_dropout(plan: Plan, self: Operand, p: float, train: bool | None) -> None:
    """Return `self` with places set to 0 with chance p and others scaled, and which were kept."""
    out, mask = plan.result_like(self), plan.result_like(self, Dtype.BOOL)
    _float_type("native_dropout", self)
    if train is False:
        copy_elements(plan, out, self)
        map_elements(plan, random.kept, mask, [self])
    else:
        chance = 1.0 - p
        scale = 1.0 / chance if chance else 0.0
        program = _of(self, random.dropout, random.dropout_double)
        words = (*_chance(chance), _word(self, scale))
        draw_elements(plan, program, [out, mask], Stream(Key()), self, *words)
    plan.returns(out, mask)


@covers("native_dropout_backward", elementwise=True)
def native_dropout_backward(plan: Plan, grad_output: Operand, mask: Operand, scale: Scalar) -> None:
    """Return the gradient where the mask is, scaled."""
    out = plan.result_like(grad_output)
    program = _of(grad_output, random.dropout_backward, random.dropout_backward_double)
    map_elements(plan, program, out, [grad_output, mask], [WordSource(scale, out.dtype.kind)])
    plan.returns(out)


@covers(
    "rrelu_with_noise",
    inplace="rrelu_with_noise_",
    static=("lower", "upper"),
    elementwise=True,
)
def rrelu_with_noise(
    plan: Plan,
    self: Operand,
    noise: Operand,
    lower: float,
    upper: float,
    training: bool,
    generator: Generator,
) -> None:
    """Return `self` above 0, else times a random slope; slopes go to `noise`."""
    if _float_type("rrelu_with_noise", self) is Dtype.F64:
        raise NotReproducible("a float64 rrelu", hint="use a float32 tensor")
    out = plan.result_like(self)
    if training:
        words = (_float(float(lower)), _float(float(upper)))
        outs = [out, noise]
        draw_elements(plan, random.leaky_noise, outs, _stream(generator), self, *words)
    else:
        slope = _float((float(lower) + float(upper)) / 2)
        map_elements(plan, random.leaky_mean, out, [self], [slope])
    plan.returns(out)


def _fill(
    plan: Plan, name: str, self: Operand, program: Definition, generator: Generator, *words: float
) -> None:
    _float_type(name, self)
    sources = [_word(self, each) for each in words]
    draw_elements(plan, program, [self], _stream(generator), *sources)
    plan.returns(self)


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise RuntimeError(message)


def _float_type(name: str, operand: Operand) -> Dtype:
    if not operand.dtype.is_floating:
        raise NotImplementedError(f'"{name}" not implemented for integer tensors')
    return operand.dtype


def _of(operand: Operand, single: Definition, double: Definition) -> Definition:
    return double if operand.dtype is Dtype.F64 else single


def _stream(generator: Generator, *, bits: int = 1, reads_chances: bool = False) -> Stream:
    return Stream(Key() if generator is None else generator, bits, reads_chances)


def _float(value: float) -> WordSource:
    return WordSource(float_bits(value), "f")


def _double(value: float) -> WordSource:
    return WordSource(double_bits(value), "d")


def _word(operand: Operand, value: float) -> WordSource:
    return _double(value) if operand.dtype is Dtype.F64 else _float(value)


def _chance(p: float) -> tuple[WordSource, ...]:
    return tuple(WordSource(each, "f") for each in random.threshold(p))
