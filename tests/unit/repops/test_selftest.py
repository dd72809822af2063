"""A machine shows what it computes: kernels and reference give one answer to any challenge."""

import os

import pytest

from gensyn_lightning.protocol.digest import Address, Digest
from gensyn_lightning.repops import library, selftest

CHALLENGE = Digest(bytes(range(32)))


def test_kernels_and_reference_give_the_same_answer() -> None:
    kernels = library.load()
    assert kernels is not None
    challenge = Digest(os.urandom(32))
    assert selftest.disagreements(challenge, kernels) == [], challenge.hex()


def test_the_answer_needs_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    by_kernels = selftest.outputs(CHALLENGE)
    monkeypatch.setattr(library, "load", lambda: None)
    assert selftest.outputs(CHALLENGE) == by_kernels


def test_another_challenge_has_another_answer() -> None:
    assert selftest.outputs(CHALLENGE) != selftest.outputs(Digest(bytes(32)))


def test_an_answer_is_bound_to_its_account() -> None:
    answer = selftest.outputs(CHALLENGE)
    first, second = (selftest.bound(answer, Address(bytes([each]) * 20)) for each in (1, 2))
    assert first != second
