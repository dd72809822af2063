"""Losses of classes: which class a target names, what it costs, and what its gradient is.

A target that is to be ignored names class -1, and one that names no class at all is refused: the
kernels that read and write by class do so for whatever is neither -1 nor a class.
"""

from __future__ import annotations

from gensyn_lightning.repops.word import (
    Word,
    double,
    equal,
    family,
    floating,
    program,
    where,
)


@program("iI")
def class_named(target: Word, ignored: Word) -> Word:
    """Return the target, -1 if it is the one to ignore, -2 if it is another negative number."""
    return where(equal(target, ignored), -1, where(target < 0, -2, target))


@family("fi", "di")
def class_loss(value: Word, named: Word) -> Word:
    """Return minus the value of the class, 0 for a target that is ignored."""
    return where(named < 0, _zero(value), -value)


@family("ffi", "ddi")
def weighted_class_loss(value: Word, weight: Word, named: Word) -> Word:
    """Return minus the value of the class times its weight, 0 for a target that is ignored."""
    return where(named < 0, _zero(value), -value * weight)


@program("i")
def class_share(named: Word) -> Word:
    """Return what a target adds to the total weight where classes have none of their own."""
    return where(named < 0, floating(0.0), floating(1.0))


@family("ff", "dd")
def class_gradient(gradient: Word, weight: Word) -> Word:
    """Return minus the gradient times the weight of the class."""
    return -gradient * weight


@family("fff", "ddd")
def mean_class_gradient(gradient: Word, weight: Word, total: Word) -> Word:
    """Return minus the gradient's share for each unit of weight, times the weight of the class."""
    return -(gradient / total) * weight


@family("fii", "dii")
def at_class(value: Word, named: Word, place: Word) -> Word:
    """Return the value at the place of the class named, 0 at others."""
    return where(equal(named, place), value, _zero(value))


def _zero(pattern: Word) -> Word:

    return floating(0.0) if pattern.kind == "f" else double(0.0)
