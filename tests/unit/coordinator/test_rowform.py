"""Rows survive the store's text."""

import json
from typing import Any

import pytest

from coordinator import rowform, rows
from coordinator.page import Page, parse


def test_every_row_of_a_finished_job_reads_back_the_same(world: Any) -> None:
    world.run()
    kinds = set()
    for stored in world.store.job(world.job):
        row = parse(stored)
        kinds.add(type(row))
        again = rowform.from_json(type(row), json.loads(json.dumps(rowform.to_json(row))))
        assert again == row
        assert stored.state == row.state.name
    assert kinds == set(rows.ROW_TYPES.values()) - {rows.NodeRow}


def test_a_page_read_from_the_store_is_the_page_that_was_written(world: Any) -> None:
    world.run()
    kept, read = world.page, Page.read(world.store.job(world.job))
    for name in ("job", "tasks", "attempts", "audits", "anchors", "rosters", "members", "actions"):
        assert getattr(read, name) == getattr(kept, name), name
    assert read.unanchored == kept.unanchored
    assert read.commitments == kept.commitments
    assert {n for n, d in read.duties.items() if d} == {n for n, d in kept.duties.items() if d}


@pytest.mark.parametrize("value", [0, 1, 2**64 - 1])
def test_a_work_id_names_job_and_fence(value: int) -> None:
    job = rows.Digest(bytes(range(32)))
    assert rows.work_of(rows.work_id(job, value)) == (job[:24], value)
