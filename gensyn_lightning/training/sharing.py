"""Which leaves share memory, and how their shared memory is rebuilt within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gensyn_lightning.errors import LimitExceeded, StateError
from gensyn_lightning.training.layout import extent
from gensyn_lightning.training.leaf import PACKED_KINDS, VALUE, Leaf

# Memory with gaps is rebuilt as it was while it is at most this much larger than what fills it.
GAP_RATIO_MAX = 16
GAP_BYTES_FREE = 4096


@dataclass(frozen=True, slots=True)
class Group:
    """Leaves in one piece of memory of `span` bytes, each at its offset in it."""

    members: tuple[Leaf, ...]
    offsets: tuple[int, ...]
    span: int


def overlapping(spans: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return the indices of `(start, end)` spans in sets that touch the same bytes."""
    found: list[list[int]] = []
    reach = -1
    for index in sorted(range(len(spans)), key=lambda each: spans[each]):
        start, end = spans[index]
        if found and start < reach:
            found[-1].append(index)
        else:
            found.append([index])
        reach = max(reach, end)
    return [sorted(each) for each in found]


def too_sparse(span: int, filled: int) -> bool:
    """Whether a piece of memory is far larger than what fills it."""
    return span > GAP_RATIO_MAX * filled + GAP_BYTES_FREE


def sources(leaves: Iterable[Leaf]) -> dict[str, str]:
    """Return for every stored leaf the leaf that carries its bytes: itself, or its first twin."""
    first: dict[tuple[object, ...], str] = {}
    found = {}
    for each in leaves:
        if each.kind == VALUE:
            continue
        owner = (each.alias.owner, each.alias.offset) if each.alias else (each.path, 0)
        key = (*owner, each.dtype, each.shape, each.layout)
        found[each.path] = first.setdefault(key, each.path)
    return found


def groups(leaves: Iterable[Leaf]) -> list[Group]:
    """Return the leaves of each piece of memory; raise when what they claim cannot be."""
    members: dict[str, list[tuple[int, Leaf]]] = {}
    aliased = []
    for each in leaves:
        if each.kind == VALUE or each.kind in PACKED_KINDS:
            continue
        if each.alias is None:
            members[each.path] = [(0, each)]
        else:
            aliased.append((each.alias, each))
    for alias, each in aliased:
        if alias.owner not in members:
            raise StateError(f"{each.path} shares memory with {alias.owner[:200]}, which owns none")
        members[alias.owner].append((alias.offset, each))
    return [_group(each) for each in members.values()]


def _group(members: list[tuple[int, Leaf]]) -> Group:
    first = members[0][1]
    if len(members) == 1 and isinstance(first.layout, str):  # nearly all; it has no gaps
        return Group((first,), (0,), first.nbytes)
    lengths = [extent(each.shape, each.byte_strides, each.item_size) for _, each in members]
    offsets = [offset for offset, _ in members]
    spans = [(start, start + length) for start, length in zip(offsets, lengths, strict=True)]
    start, end = min(each[0] for each in spans), max(each[1] for each in spans)
    name = first.path
    if len(members) > 1 and (0 in lengths or len(overlapping(spans)) > 1):
        raise StateError(f"the memory of {name} is said to be shared, but is not")
    if too_sparse(end - start, sum(each.nbytes for _, each in members)):
        raise LimitExceeded(f"{name} spans far more memory than it fills", hint="clone it")
    shift = _aligned(members, start, name)
    return Group(
        tuple(each for _, each in members),
        tuple(offset - start + shift for offset, _ in members),
        end - start + shift,
    )


def _aligned(members: list[tuple[int, Leaf]], start: int, name: str) -> int:
    for shift in range(16):
        if all((offset - start + shift) % _unit(each) == 0 for offset, each in members):
            return shift
    raise StateError(f"the memory of {name} is not aligned")


def _unit(leaf: Leaf) -> int:
    return 1 if leaf.kind == "array" else leaf.item_size
