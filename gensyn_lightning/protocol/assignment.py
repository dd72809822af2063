"""Who trains, who checks, and which segments are checked, as pure draws from a seed.

Anyone with the seed and the list of nodes re-derives every draw. The same owner never solves
and checks one task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gensyn_lightning.protocol.canonical import struct_hash
from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.protocol.parameters import PPM


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may be drawn: its account, its owner, what it may do, whose bits it computes."""

    node: Address
    owner: Address
    solves: bool
    verifies: bool
    numerics: str


@dataclass(frozen=True, slots=True)
class Seed:
    """Where a draw's chance comes from; its digest is the seed.

    `anchored` is the anchored root the commitment stands under, `block` the digest of the block
    that holds the anchor, so that neither solver nor coordinator knows the seed while the
    commitment can still change. Before a commitment exists (drawing a solver), `anchored` is the
    job's own name and `block` the block in which its escrow was seen.
    """

    task: Digest
    anchored: Digest
    block: Digest


@dataclass(frozen=True, slots=True)
class Draw:
    """What a draw is about; its digest is the ticket every candidate is ranked by."""

    seed: Digest
    task: Digest
    purpose: str
    round: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """One candidate's place in one draw."""

    draw: Digest
    node: Address


def sampled(seed: Digest, task: Digest, rate_ppm: int, index: int) -> bool:
    """Whether segment `index` is audited: at rate 1 always, at rate 0 never.

    The first one is at any other rate: its start is the submitter's word alone until it is
    replayed, and a job of few segments would often end with none of them checked.
    """
    if index == 0:
        return rate_ppm > 0
    value = int.from_bytes(struct_hash(Draw(seed, task, "sample", 0)), "big")
    return value * PPM < rate_ppm << 256


def draw_verifiers(
    draw: Draw, candidates: Sequence[Candidate], parties: frozenset[Address], count: int
) -> tuple[Address, ...]:
    """Return up to `count` verifiers in draw order, none of them an owner among `parties`."""
    eligible = (each for each in candidates if each.verifies and each.owner not in parties)
    return _ranked(draw, eligible)[:count]


def draw_solvers(
    draw: Draw, candidates: Sequence[Candidate], parties: frozenset[Address]
) -> tuple[Address, ...]:
    """Return every eligible solver in draw order, none of them an owner among `parties`."""
    eligible = (each for each in candidates if each.solves and each.owner not in parties)
    return _ranked(draw, eligible)


def _ranked(draw: Draw, eligible: Iterable[Candidate]) -> tuple[Address, ...]:
    name = struct_hash(draw)
    return tuple(
        sorted(
            (each.node for each in eligible),
            key=lambda node: struct_hash(Ticket(name, node)),
        )
    )
