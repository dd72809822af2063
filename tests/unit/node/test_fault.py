"""Faults are read, strike where they are planted, and nowhere outside an embedded network."""

import pytest

from gensyn_lightning.errors import ConfigError, SandboxError
from gensyn_lightning.node.fault import Fault, Faults, Kind, parse, refuse_outside
from gensyn_lightning.protocol.digest import ZERO
from gensyn_lightning.protocol.task import Task


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_can_be_planted(kind: Kind) -> None:
    assert parse(f"{kind.value}@12") == Fault(kind, 12)
    assert parse(kind.value) == Fault(kind, 0)
    assert str(parse(f"{kind.value}@12")) == f"{kind.value}@12"


@pytest.mark.parametrize(
    "text", ["", "dance", "crash@", "crash@-1", "crash@x", "crash@" + "9" * 30]
)
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


def test_a_fault_strikes_the_segment_that_covers_its_event() -> None:
    planted = Faults([parse("bit-flip@16"), parse("lie-match@3")])
    first, second = (Task(ZERO, i, a, b, ZERO) for i, a, b in ((0, 0, 16), (1, 16, 40)))
    assert (planted.cheat(first), planted.cheat(second)) == (None, Kind.BIT_FLIP)
    assert (planted.lie(first), planted.lie(second)) == (Kind.LIE_MATCH, None)
    assert Faults().cheat(first) is None


def test_an_honest_node_hears_progress_as_it_is() -> None:
    heard = []
    assert Faults().watch(heard.append) == heard.append
    Faults([parse("crash@5")]).watch(heard.append)({"event": 4})
    assert heard == [{"event": 4}]


def test_faults_are_refused_outside_an_embedded_network() -> None:
    refuse_outside(True, ["crash"])
    refuse_outside(False, [])
    with pytest.raises(SandboxError):
        refuse_outside(False, ["crash"])
