"""The dossier is what a report wants, and tells no secret early."""

import json
from typing import Any

import pytest

from coordinator import dossier
from gensyn_lightning.errors import Unauthenticated
from gensyn_lightning.report import form
from gensyn_lightning.wire import jobs as wire


def read(world: Any) -> Any:
    named = world.jobs.dossier(wire.DossierRequest(world.job), world.caller)
    value = json.loads(world.artifacts.read(named.artifact))
    form.DOSSIER.check(value, "dossier")
    return value


def test_it_has_the_form_of_a_report_at_every_moment(world: Any) -> None:
    while world.state().name != "SETTLED":
        world.step()
        read(world)
    assert read(world)["schema"] == dossier.SCHEMA == form.DOSSIER_SCHEMA


def test_a_salt_is_not_told_while_a_replay_is_blind(world: Any) -> None:
    seen = set()
    while world.state().name != "SETTLED":
        world.step()
        for segment in read(world)["segments"]:
            for attempt in segment["attempts"]:
                states = {each["state"] for each in attempt["audits"]}
                if states & {"DRAWN", "LEASED", "PROMISED"}:
                    assert attempt["salt"] is None
                    seen.add("blind")
                elif "REPORTED" in states:
                    assert attempt["salt"] is not None
                    seen.add("open")
    assert seen == {"blind", "open"}


def test_the_same_page_gives_the_same_bytes(world: Any) -> None:
    world.run()
    first = world.jobs.dossier(wire.DossierRequest(world.job), world.caller)
    world.restart()
    assert world.jobs.dossier(wire.DossierRequest(world.job), world.caller) == first


def test_a_node_cannot_read_a_replay_it_may_be_asked_to_make(world: Any) -> None:
    node = world.actors[-1]
    with pytest.raises(Unauthenticated):
        world.jobs.dossier(wire.DossierRequest(world.job), node.caller)
    world.run()
    mine = world.jobs.dossier(wire.DossierRequest(world.job), world.caller)
    assert world.jobs.dossier(wire.DossierRequest(world.job), node.caller) == mine
