from __future__ import annotations

import json
from typing import Any

import pytest

from gensyn_lightning.protocol.canonical import json_bytes
from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.report.dsse import signature
from gensyn_lightning.report.finding import Result
from gensyn_lightning.report.form import PAYLOAD_TYPE
from gensyn_lightning.report.verify import verify


def test_the_last_version_of_each_file_is_listed(paper: Any) -> None:
    rows = json.loads(paper(segments=3).report())["body"]["files"]
    assert [(row["path"], row["segment"]) for row in rows] == [("2.ckpt", 2), ("metrics.csv", 2)]
    assert rows[1]["digest"] == digest_of(b"2").hex()


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[0].update(path="best.ckpt"),
        lambda rows: rows[0].update(digest="00" * 32),
        lambda rows: rows[0].update(length=8),
        lambda rows: rows[0].update(link="/etc"),
        lambda rows: rows[0].update(segment=1),
        lambda rows: rows[0].update(segment=9),
        lambda rows: rows[0].update(index=3),
        lambda rows: rows[0].update(count=0),
        lambda rows: rows[0].update(count=2**40),
        lambda rows: rows[0]["siblings"].pop(),
        lambda rows: rows.append(rows[0]),
        lambda rows: rows.reverse(),
    ],
)
def test_a_file_that_was_not_written_is_found(paper: Any, change: Any) -> None:
    played = paper()
    body = json.loads(played.report())["body"]
    change(body["files"])
    signed = signature(json_bytes(body), played.submitter.identity.node_key, PAYLOAD_TYPE)
    done = verify(json_bytes({"body": body, "signature": signed}), played.pins())
    assert [e.name for e in done.lines if e.result is Result.FAIL] == [
        "files stand under their outputs roots"
    ]
