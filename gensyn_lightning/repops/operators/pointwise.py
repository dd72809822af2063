"""What elementwise operators have in common: how they find their type and their program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import covers
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.mapping import map_elements
from gensyn_lightning.repops.operators.promotion import (
    common_dtype,
    default_dtype,
    laid_out_like,
)
from gensyn_lightning.repops.plan import Exact, Operand, Plan, Scalar, WordSource, broadcast
from gensyn_lightning.repops.programs import arithmetic
from gensyn_lightning.repops.word import Definition

Value = Operand | Scalar
Programs = Definition | Mapping[str, Definition]
Parameter = Scalar | WordSource


def elementwise(
    plan: Plan,
    programs: Programs,
    *values: Value,
    parameters: Sequence[Parameter] = (),
    integers: bool = False,
) -> None:
    """Make a function of values of one type, broadcast together, the operator's only result.

    Values decide the result's type, parameters do not. A function of integers is torch's own
    business, unless `integers` says that it takes them as numbers of the default type.
    """
    out = result_of(plan, *values, integers=integers)
    apply(plan, programs, out, values, parameters)
    plan.returns(out)


def result_of(plan: Plan, *values: Value, integers: bool = False) -> Operand:
    """Return the tensor for a function of these values; raise `Exact` where they are integers."""
    dtype = common_dtype(*values)
    if not dtype.is_floating:
        if not integers:
            raise Exact
        dtype = default_dtype()
    shape = broadcast(*(each.shape for each in values if isinstance(each, Operand)))
    return laid_out_like(plan, shape, dtype, *values)


def apply(
    plan: Plan,
    programs: Programs,
    outs: Operand | Sequence[Operand],
    values: Sequence[Value],
    parameters: Sequence[Parameter] = (),
) -> None:
    """Compute a function of values into operands, in the arithmetic of the first one's type.

    A number before a tensor, or one that no program takes as a word, becomes a tensor.
    """
    first = outs if isinstance(outs, Operand) else outs[0]
    kind = first.dtype.kind
    words = [word_of(each, kind) for each in parameters]
    for reads, more in _arrangements(plan, values, kind):
        found = _find(programs, kind * len(reads) + kind.upper() * (len(more) + len(words)))
        if found is not None:
            map_elements(plan, found, outs, reads, [*more, *words])
            return
    raise NotReproducible(
        f"there is no program for {first.dtype.name} tensors",
        hint="compute this in float32, or in a half type",
    )


def word_of(value: Parameter, kind: str) -> WordSource:
    """Return a number as a word of kind `f` or `d`."""
    return value if isinstance(value, WordSource) else WordSource(value, kind)


def as_tensor(plan: Plan, value: Value, dtype: Dtype) -> Operand:
    """Return a value as a tensor; of a number one is made that has no dimensions."""
    if isinstance(value, Operand):
        return value
    made = plan.new((), dtype)
    word = WordSource(value, dtype.kind)
    map_elements(plan, arithmetic.fill[dtype.kind.upper()], made, [], [word])
    return made


def _arrangements(
    plan: Plan, values: Sequence[Value], kind: str
) -> Iterator[tuple[list[Operand], list[WordSource]]]:
    """Return ways to hand values on: numbers as words if they come last, or as tensors."""
    count = next((at for at, each in enumerate(values) if isinstance(each, Scalar)), len(values))
    reads = [each for each in values[:count] if isinstance(each, Operand)]
    numbers = [each for each in values[count:] if isinstance(each, Scalar)]
    if reads and len(reads) + len(numbers) == len(values):
        yield reads, [WordSource(each, kind) for each in numbers]
    if numbers:
        dtype = Dtype.F32 if kind == "f" else Dtype.F64
        yield [as_tensor(plan, each, dtype) for each in values], []


def _find(programs: Programs, kinds: str) -> Definition | None:
    if isinstance(programs, Definition):
        return programs if programs.kinds == kinds else None
    return programs.get(kinds)


def cover_unary(programs: Mapping[str, Programs], *, integers: bool = False) -> None:
    """Cover operators of one tensor by name, with their in-place and their `out=` variants."""
    for name, each in programs.items():

        def lower(plan: Plan, self: Operand, each: Programs = each) -> None:
            elementwise(plan, each, self, integers=integers)

        covers(name, inplace=f"{name}_", out=f"{name}.out", elementwise=True)(lower)


def cover_binary(
    programs: Mapping[str, Programs], *, inplace: bool = True, integers: bool = False
) -> None:
    """Cover operators of two tensors by name, with their in-place and their `out=` variants."""
    for name, each in programs.items():
        base, _, overload = name.partition(".")
        own = f"{base}_.{overload}" if overload else f"{base}_"

        def lower(plan: Plan, self: Value, other: Value, each: Programs = each) -> None:
            elementwise(plan, each, self, other, integers=integers)

        out = f"{base}.out"
        covers(name, inplace=own if inplace else "", out=out, elementwise=True)(lower)
