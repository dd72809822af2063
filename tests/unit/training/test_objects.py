"""What training changed in a program's objects, and only that, is recorded and put back."""

import itertools
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.training import objects
from gensyn_lightning.training.classes import find_loaded
from gensyn_lightning.training.objects import Baseline, Entries, Root
from gensyn_lightning.training.refit import refit


class Thing:
    """An object of a program."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Slotted:
    """An object without a dict."""

    __slots__ = ("left", "right")

    def __init__(self) -> None:
        self.left = 1


@dataclass
class Record:
    """A plain record."""

    count: int = 0


def settings() -> dict[str, Any]:
    """Return how the tests' classes are found, since no module of theirs is loaded by name."""
    classes = {f"{each.__module__}:{each.__qualname__}": each for each in (Thing, Record)}
    return {"find": lambda name: classes.get(name) or find_loaded(name)}


class Program:
    """A program built anew each time, as in every runner."""

    def __init__(self, make: Any) -> None:
        self.top = make()
        self.baseline = Baseline(**settings())
        self.baseline.settle(self._walk(), {})
        self.baseline.survey(self._walk())

    def capture(self) -> Entries:
        return objects.capture(self._walk(), self.baseline, {})

    def restore(self, entries: Entries) -> None:
        refit([Root("top", self.top)], entries, {}, {}, self.baseline)

    def _walk(self) -> Any:
        return objects.walk([Root("top", self.top)], {})


def moved(make: Any, change: Any) -> tuple[Any, Entries]:
    """Change one instance of a program and bring another into the same state."""
    first, second = Program(make), Program(make)
    change(first.top)
    entries = first.capture()
    second.restore(entries)
    assert second.capture().keys() == entries.keys()
    return second.top, entries


def test_nothing_is_recorded_while_nothing_changes() -> None:
    program = Program(lambda: Thing(a=1, b=[1, 2], lock=threading.Lock(), inner=Thing(c=2)))
    assert program.capture() == {}


def test_changed_new_and_deleted_attributes_come_back() -> None:
    def change(top: Any) -> None:
        top.a += 1
        top.b.append(3)
        top.new = {"x": torch.ones(2)}
        del top.c

    top, entries = moved(lambda: Thing(a=1, b=[1, 2], c=3, d=4), change)
    assert (top.a, top.b, top.d, hasattr(top, "c")) == (2, [1, 2, 3], 4, False)
    assert torch.equal(top.new["x"], torch.ones(2))
    assert entries.keys() == {"top/a", "top/b", "top/c", "top/new"}


def test_objects_inside_are_changed_in_place() -> None:
    kept = []

    def make() -> Thing:
        kept.append(Thing(count=0))
        return Thing(inner=kept[-1], both=[kept[-1], 5])

    def change(top: Any) -> None:
        top.inner.count = 7

    top, entries = moved(make, change)
    assert top.inner is kept[1]
    assert top.both[0] is kept[1]
    assert kept[1].count == 7
    assert entries.keys() == {"top/both/0/count"}


def test_a_reference_moves_to_another_object_of_the_program() -> None:
    def make() -> Thing:
        return Thing(a=Thing(name="a"), b=Thing(name="b"), current=None)

    def change(top: Any) -> None:
        top.current = top.b

    top, _ = moved(make, change)
    assert top.current is top.b


def test_an_object_that_training_made_is_made_again() -> None:
    def change(top: Any) -> None:
        top.made = Thing(x=1, back=top.old)
        top.records = [Record(3)]

    top, entries = moved(lambda: Thing(old=Thing(y=1)), change)
    assert isinstance(top.made, Thing)
    assert top.made.back is top.old
    assert top.records == [Record(3)]
    assert entries["top/made"]["made"].endswith(":Thing")


def test_a_function_that_training_chose_comes_back_by_name() -> None:
    def change(top: Any) -> None:
        top.loss = torch.nn.functional.mse_loss

    top, _ = moved(lambda: Thing(loss=None), change)
    assert top.loss is torch.nn.functional.mse_loss


def test_a_generator_is_put_back_in_place() -> None:
    made = []

    def make() -> Thing:
        made.append(torch.Generator().manual_seed(1))
        return Thing(one=made[-1], other=made[-1])

    def change(top: Any) -> None:
        torch.rand(3, generator=top.one)

    top, _ = moved(make, change)
    assert top.one is top.other is made[1]
    assert torch.equal(made[0].get_state(), made[1].get_state())


def test_hidden_modules_bring_their_parameters() -> None:
    def change(top: Any) -> None:
        top.shadow.weight.data += 1
        top.shadow.eval()

    top, _ = moved(lambda: Thing(shadow=torch.nn.Linear(2, 2, bias=False)), change)
    assert isinstance(top.shadow.weight, torch.nn.Parameter)
    assert not top.shadow.training


def test_slots_are_attributes_too() -> None:
    def change(top: Any) -> None:
        top.inner.left, top.inner.right = 2, 3

    top, _ = moved(lambda: Thing(inner=Slotted()), change)
    assert (top.inner.left, top.inner.right) == (2, 3)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda top: setattr(top, "lock", threading.Lock()), "top/lock"),
        (lambda top: setattr(top, "new", open), None),
        (lambda top: setattr(top, "new", lambda: 1), "top/new"),
        (lambda top: setattr(top.inner, "net", torch.nn.Linear(1, 1)), "top/inner/net"),
        (lambda top: top.items.append(iter([1])), "top/items/0"),
    ],
)
def test_what_cannot_be_expressed_is_named(change: Any, path: str | None) -> None:
    program = Program(lambda: Thing(lock=threading.Lock(), inner=Thing(), items=[]))
    change(program.top)
    if path is None:
        program.capture()
        return
    with pytest.raises(StateError, match=path):
        program.capture()


def test_what_the_state_does_not_name_is_as_the_set_up_left_it() -> None:
    first, second = (Program(lambda: Thing(a=[1], b=2)) for _ in range(2))
    second.top.a.append(9)
    second.top.later = 1
    second.restore(first.capture())
    assert second.top.a == [1]
    assert not hasattr(second.top, "later")


def test_everything_of_a_finished_fit_is_written_without_a_baseline() -> None:
    top = Thing(a=1, lock=threading.Lock(), inner=Thing(b=torch.ones(1)))
    entries, left_out = objects.everything(objects.walk([Root("top", top)], {}), {})
    assert entries.keys() == {"top/a", "top/inner/b"}
    assert left_out == ["top/lock"]


class Files(torch.utils.data.Dataset[Any]):
    """A dataset that opens its file when it is first asked."""

    def __init__(self) -> None:
        self.file: Any = None
        self.level = 0


def test_what_a_dataset_opens_for_itself_is_no_state() -> None:
    def change(top: Any) -> None:
        top.data.file = threading.Lock()
        top.data.level = 2

    top, entries = moved(lambda: Thing(data=Files()), change)
    assert (top.data.file, top.data.level) == (None, 2)
    assert entries.keys() == {"top/data/level"}


def test_only_plain_attributes_make_a_dataset_whole() -> None:
    whole = Files()
    nodes = [Root("data", whole)]
    assert objects.is_whole(objects.walk(nodes, {}))
    whole.file = threading.Lock()
    assert not objects.is_whole(objects.walk(nodes, {}))


@pytest.mark.parametrize(
    "made",
    [
        itertools.count(),
        itertools.cycle("ab"),
        iter([1]),
        (each for each in "ab"),
        zip("a", "b", strict=True),
    ],
    ids=lambda made: type(made).__name__,
)
def test_how_far_an_iterator_has_got_is_no_state(made: Any) -> None:
    nodes = objects.walk([Root("top", Thing(turns=made))], {})
    with pytest.raises(StateError, match=r"top/turns holds a \w+, an iterator"):
        list(objects.without_iterators(nodes))


def test_an_open_file_is_not_taken_for_an_iterator(tmp_path: Path) -> None:
    with (tmp_path / "notes").open("w") as file:
        nodes = objects.walk([Root("top", Thing(notes=file))], {})
        assert [each.kind for each in objects.without_iterators(nodes)] == ["object", "opaque"]
