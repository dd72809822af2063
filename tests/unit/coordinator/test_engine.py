"""Nothing half done: a failed event leaves no trace, a new engine goes on where the old one was."""

from dataclasses import replace
from typing import Any

import pytest

from coordinator.disputing import ThirdKey
from coordinator.engine import Engine
from coordinator.rows import Errand
from gensyn_lightning.errors import CoordinatorUnavailable, NotFound
from gensyn_lightning.protocol.digest import keccak


def test_an_event_that_fails_changes_nothing(world: Any) -> None:
    before = (world.page.job, len(world.log()))

    def fail() -> None:
        with world.engine.edit(world.job) as page:
            page.note("half", number=1)
            page.put(replace(page.job, accepted=99))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert world.engine.find(world.job[:24]) is not None
    assert (world.page.job, len(world.log())) == before


def test_a_job_whose_event_failed_goes_on_though_nobody_asks_for_it(world: Any) -> None:
    def fail() -> None:
        with world.engine.edit(world.job) as page:
            page.note("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    world.engine.tick()
    assert [page.job.id for page in world.engine.pages()] == [world.job]


def test_of_two_engines_the_one_that_read_first_is_told_to_try_again(world: Any) -> None:
    other = Engine(world.store, world.clock, ThirdKey())
    with world.engine.edit(world.job) as page:
        page.note("mine")
    with pytest.raises(CoordinatorUnavailable), other.edit(world.job) as page:
        page.note("theirs")
    with other.edit(world.job) as page:
        page.note("theirs, after reading again")
    assert world.kinds()[-2:] == ["mine", "theirs, after reading again"]


def test_an_unknown_job_is_not_found(world: Any) -> None:
    with pytest.raises(NotFound):
        world.engine.page(keccak(b"nothing"))


def test_a_new_engine_knows_open_jobs_and_errands(world: Any) -> None:
    while not any(each.errand is Errand.ANCHOR for each in world.engine.errands()):
        world.clock.ms += 100
        for actor in world.actors:
            actor.step()
    due = world.engine.errands()
    assert Engine(world.store, world.clock, ThirdKey()).errands() == due


def test_an_errand_done_twice_counts_once(world: Any) -> None:
    world.run()
    action = next(each for each in world.page.actions.values() if each.errand is Errand.SETTLE)
    entries = world.log()
    world.engine.done(action, world.page.job.closed)
    assert world.log() == entries


def test_a_postponed_errand_is_tried_later_each_time(world: Any) -> None:
    while not world.engine.errands():
        world.clock.ms += 100
        for actor in world.actors:
            actor.step()
    pauses = []
    for _ in range(5):
        action = world.engine.errands()[0]
        world.engine.postponed(action, "the chain is away")
        due = world.page.actions[action.key].due_ms
        pauses.append(due - world.clock.ms)
        world.clock.ms = due
    assert pauses == [100, 200, 400, 800, 1600]
    assert "postponed" in world.kinds()


def test_the_next_errands_time_is_known(world: Any) -> None:
    world.run()
    assert world.engine.errand_due_ms() is None
    world.restart()
    assert world.engine.errand_due_ms() is None


def test_an_errands_time_is_when_it_is_due(world: Any) -> None:
    while not world.engine.errands():
        world.clock.ms += 100
        for actor in world.actors:
            actor.step()
    action = world.engine.errands()[0]
    assert world.engine.errand_due_ms() <= world.clock.ms
    world.engine.postponed(action, "the chain is away")
    others = [each.due_ms for each in world.engine.errands()]
    assert world.engine.errand_due_ms() == min([world.clock.ms + 100, *others])


def test_due_time_is_when_something_happens_next(world: Any) -> None:
    due = world.engine.due_ms()
    assert due is not None
    world.clock.ms = due - 1
    entries = len(world.log())
    world.engine.tick()
    assert len(world.log()) == entries
    world.clock.ms = due
    world.engine.tick()
    assert len(world.log()) > entries


def test_closed_jobs_are_let_go_and_still_read(world: Any) -> None:
    world.run()
    assert world.engine.pages() == []
    world.restart()
    assert world.page.job.state.name == "SETTLED"
