"""What a machine's operators make of a challenge: one digest over the outputs of every program.

The inputs follow from the challenge: words of all bit patterns, and numbers of ordinary size. They
run by the compiled kernels where there are some, else by the reference; both give the same digest,
and so does every machine. It needs no torch, so that a coordinator can know the right answer.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from gensyn_lightning.protocol.digest import Address, Digest, digest_of
from gensyn_lightning.repops import VERSION, interpreter, library, reference
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.interpreter import Words
from gensyn_lightning.repops.library import Library
from gensyn_lightning.repops.mapping import map_elements
from gensyn_lightning.repops.plan import Plan, WordSource
from gensyn_lightning.repops.programs import all_definitions
from gensyn_lightning.repops.word import Definition

ELEMENTS = 256
_DTYPES = {"f": Dtype.F32, "d": Dtype.F64, "i": Dtype.I64}
_NUMPY = {"f": np.uint32, "d": np.uint64, "i": np.uint64}
_TAG = b"gensyn-self-test"


def outputs(challenge: Digest) -> Digest:
    """Return the digest over what every scalar program makes of the challenge."""
    kernels = library.load()
    parts = [_TAG, VERSION.encode()]
    for each in all_definitions():
        parts.append(each.name.encode())
        parts += (array.astype("<u8").tobytes() for array in answer(each, challenge, kernels))
    return digest_of(b"".join(parts))


def disagreements(challenge: Digest, kernels: Library) -> list[str]:
    """Return the programs whose kernels do not compute what the reference does."""
    return [
        each.name
        for each in all_definitions()
        if any(
            not np.array_equal(ours, right)
            for ours, right in zip(
                answer(each, challenge, kernels), answer(each, challenge, None), strict=True
            )
        )
    ]


def bound(answer: Digest, account: Address) -> Digest:
    """Return an answer as one account gives it: nobody else can hand it in."""
    return digest_of(_TAG + answer + account)


def answer(definition: Definition, challenge: Digest, kernels: Library | None) -> list[Words]:
    """Return what one program makes of the challenge, as words."""
    kinds = definition.kinds
    stream = _words(challenge + definition.name.encode(), kinds.lower())
    inputs = [next(stream) for _ in kinds]
    reads, constants = inputs[: definition.reads], inputs[definition.reads :]
    words = [int(each[0]) for each in constants]
    if kernels is None:
        programs = definition.trace()
        alike = [np.full(ELEMENTS, each, np.uint64) for each in words]
        found = (interpreter.run(each, [*reads, *alike]) for each in programs)
        whole = [np.broadcast_to(each, (ELEMENTS,)) for each in found]
        pairs = zip(whole, definition.results, strict=True)
        return [reference.stored(each, _DTYPES[kind]) for each, kind in pairs]
    return _run(definition, reads, words, kernels)


def _run(
    definition: Definition, reads: Sequence[Words], words: Sequence[int], kernels: Library
) -> list[Words]:
    """Run one program by the generic kernel on arrays of NumPy's."""
    plan = Plan()
    made = [plan.new((ELEMENTS,), _DTYPES[kind]) for kind in definition.results]
    read = [plan.new((ELEMENTS,), _DTYPES[kind]) for kind in definition.kinds[: len(reads)]]
    kinds = definition.kinds[len(reads) :].lower()
    sources = [WordSource(word, kind) for word, kind in zip(words, kinds, strict=True)]
    map_elements(plan, definition, made, read, sources)
    memory = [np.zeros(ELEMENTS, _NUMPY[kind]) for kind in definition.results]
    memory += [
        each.astype(_NUMPY[kind])
        for each, kind in zip(reads, definition.kinds[: len(reads)], strict=True)
    ]
    base = (ctypes.c_void_p * len(memory))(*(each.ctypes.data for each in memory))
    status = kernels.run(
        ctypes.byref(kernels.compile(plan)), base, (ctypes.c_uint64 * len(words))(*words)
    )
    if status:
        raise ValueError(f"program {definition.name} failed with status {status}")
    return [each.astype(np.uint64) for each in memory[: len(made)]]


def _words(seed: bytes, kinds: str) -> Iterator[Words]:
    """Yield inputs: a third of all bit patterns, a third around 1, a third small integers."""
    for at, kind in enumerate(kinds):
        raw = hashlib.shake_256(seed + bytes([at])).digest(8 * ELEMENTS)
        drawn = np.frombuffer(raw, "<u8").astype(np.uint64)
        near = (drawn.view(np.int64) >> 40).astype(np.float64) / 2.0**20
        whole = (drawn >> np.uint64(56)).astype(np.float64)
        mixed = np.where(np.arange(ELEMENTS) % 3 == 1, near, whole)
        yield _chosen(kind, drawn, mixed)


def _chosen(kind: str, drawn: Words, mixed: npt.NDArray[np.float64]) -> Words:
    patterns = np.arange(ELEMENTS) % 3 == 0
    if kind == "i":
        return np.where(patterns, drawn, mixed.astype(np.int64).view(np.uint64))
    if kind == "d":
        canonical = interpreter.from_doubles(drawn.view(np.float64))
        return np.where(patterns, canonical, interpreter.from_doubles(mixed))
    canonical = interpreter.from_floats(interpreter.floats(drawn))
    return np.where(patterns, canonical, interpreter.from_floats(mixed.astype(np.float32)))
