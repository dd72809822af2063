"""What a program reads from outside is recorded by event, fed back, and never hangs a replay."""

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from gensyn_lightning.errors import LimitExceeded, Malformed
from gensyn_lightning.training import tape as tapes
from gensyn_lightning.training.tape import Tape

PROGRAM = """
import datetime, json, os, random, secrets, sys, threading, time, uuid
import numpy
from gensyn_lightning.training.tape import Tape

def readings():
    in_thread = []
    thread = threading.Thread(target=lambda: in_thread.append(time.monotonic()))
    thread.start()
    thread.join()
    return [
        time.time(), time.time_ns(), time.monotonic(), time.perf_counter_ns(), time.process_time(),
        time.strftime("%Y-%m-%d", time.gmtime()), time.strftime("%Y"), time.ctime(),
        datetime.datetime.now().isoformat(), datetime.datetime.now(datetime.UTC).isoformat(),
        str(uuid.uuid4()), str(uuid.uuid1()), secrets.token_hex(4), os.urandom(3).hex(),
        random.SystemRandom().random(), float(numpy.random.default_rng().random()),
        isinstance(datetime.datetime(2020, 1, 1), datetime.datetime),
        type(datetime.datetime(2020, 1, 1)).__name__, in_thread[0] >= 0,
    ]

recorded = None if len(sys.argv) == 1 else sys.argv[1].encode()
tape = Tape(recorded, seed=b"seed")
tape.install()
before = readings()
tape.start(5 * 10**9)
tape.at(3)
first = readings()
tape.at(4)
time.sleep(1.5)
tape.skip(1.5)
more = [time.monotonic()]
tape.stop()
after = [time.monotonic(), time.monotonic()]
out = {"before": before, "events": [first, more], "still": after[0] == after[1] == more[0]}
out["tape"] = tape.encoded().decode()
out["root"] = tape.root().hex()
print(json.dumps(out))
"""


def run(recorded: str | None = None) -> dict[str, Any]:
    """Read every clock and source of entropy in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), *([recorded] if recorded else [])],
        capture_output=True,
        text=True,
        check=True,
        env={"TZ": "UTC", "PATH": "/usr/bin"},
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def first() -> dict[str, Any]:
    return run()


def test_the_set_up_sees_the_same_world_everywhere(first: dict[str, Any]) -> None:
    assert run()["before"] == first["before"]
    assert first["before"][5] == "2026-01-01"


def test_a_replay_reads_what_was_recorded(first: dict[str, Any]) -> None:
    again = run(first["tape"])
    assert again["events"] == first["events"]
    assert again["tape"] == first["tape"]
    assert again["root"] == first["root"]
    assert first["still"]


def test_time_goes_on_from_where_the_segment_began(first: dict[str, Any]) -> None:
    monotonic = first["events"][0][2] - first["before"][2]
    assert 5 <= monotonic < 60


def test_time_that_was_left_out_did_not_pass_for_the_program(first: dict[str, Any]) -> None:
    before, after = first["events"][0][2], first["events"][1][0]
    assert 0 <= after - before < 1


def test_a_second_run_reads_something_else(first: dict[str, Any]) -> None:
    assert run()["root"] != first["root"]


def test_a_replay_beyond_the_tape_ends_with_a_difference(first: dict[str, Any]) -> None:
    short = json.loads(first["tape"])
    short["events"][0][1] = short["events"][0][1][:3]
    again = run(json.dumps(short, sort_keys=True, separators=(",", ":")))
    assert again["events"][0][:3] == first["events"][0][:3]
    assert again["root"] != first["root"]


def test_two_replays_of_a_forged_tape_agree_with_each_other(first: dict[str, Any]) -> None:
    forged = '{"events":[[3,[["time","7"],["urandom","00"]]]],"schema":"gensyn-tape/1"}'
    one, two = run(forged), run(forged)
    assert one["tape"] == two["tape"]
    assert one["root"] == two["root"] != first["root"]
    assert one["events"][1][0] > one["events"][0][2]


def test_only_the_programs_own_readings_are_recorded(first: dict[str, Any]) -> None:
    events = dict(json.loads(first["tape"])["events"])
    assert [source for source, _ in events[4]] == ["monotonic"]
    assert {source for source, _ in events[3]} >= {"time", "urandom", "process_time"}


def test_a_stop_is_an_entry() -> None:
    tape = Tape()
    tape.at(7)
    tape.note("stop", "")
    replay = Tape(tape.encoded())
    replay.at(6)
    assert not replay.recorded_stop("stop")
    replay.at(7)
    assert replay.recorded_stop("stop")
    assert not replay.recorded_stop("stop")


def test_readings_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tapes, "ENTRIES_MAX", 2)
    tape = Tape()
    tape.note("time", "1")
    tape.note("time", "1")
    with pytest.raises(LimitExceeded, match="read the outside"):
        tape.read("time", lambda: "1", lambda: "1")


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b'{"events":[],"schema":"other"}',
        b'{"events":[[1]],"schema":"gensyn-tape/1"}',
        b'{"events":[[1,[["a",1]]]],"schema":"gensyn-tape/1"}',
        b'{"events":[[1,[["urandom","xy"]]]],"schema":"gensyn-tape/1"}',
        b"{",
    ],
)
def test_what_is_no_tape_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        Tape(data)
