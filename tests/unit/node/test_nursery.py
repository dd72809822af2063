"""Nurseries with small work instead of programs: loaded once, forked often, never mixed up."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from gensyn_lightning.errors import LeaseLost, SandboxError, StateError
from gensyn_lightning.node.exchange import Order
from gensyn_lightning.node.nursery import Nursery, key_of
from gensyn_lightning.node.runner import Runner
from gensyn_lightning.node.work import Staged
from gensyn_lightning.node.zygote import NURSERIES_MAX

ZYGOTE = """
import os, signal, subprocess, sys, threading, time
from pathlib import Path
from gensyn_lightning.errors import StateError
from gensyn_lightning.node import zygote
from gensyn_lightning.node.work import Staged
from gensyn_lightning.network.process import die_with_parent

class Loaded:
    def __init__(self, about, scratch):
        if about["program"] == "broken":
            raise StateError("no such program")
        self.program, self.process, self.runs = about["program"], os.getpid(), 0
        if about["program"] == "threads":
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    def forks(self):
        return len(os.listdir("/proc/self/task")) == 1

def run(loaded, request, report):
    loaded.runs += 1
    stray = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid \\
        if request["do"] in ("linger", "stray") else 0
    report({"pid": os.getpid(), "loader": loaded.process, "stray": stray})
    if request["do"] == "linger":
        time.sleep(600)
    if request["do"] == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if request["do"] == "fail":
        leave = os._exit
        os._exit = lambda status: (time.sleep(0.3), leave(status))  # told first, gone later
        raise StateError("no such leaf")
    print("said in", request["do"])
    return {"program": loaded.program, "loader": loaded.process, "runs": loaded.runs,
            "pid": os.getpid(), "parent": os.getppid(), "cwd": os.getcwd(), "stray": stray,
            "nice": os.nice(0), "session": os.getsid(0),
            "open": len(os.listdir("/proc/self/fd"))}

zygote.NURSERY_IDLE_S = float(sys.argv[3])
die_with_parent(int(sys.argv[2]))
about = lambda request: {"program": request["program"]}
zygote.serve(Path(sys.argv[1]), {"work": Staged(about, Loaded, Loaded.forks, run)})
"""


@dataclass(frozen=True)
class Bench:
    """A zygote, and the folder its work is done in."""

    process: subprocess.Popen[bytes]
    socket_path: Path
    scratch: Path

    def order(self, program: str = "a", do: str = "go", again: bool = True) -> Order:
        return Order("work", {"program": program, "do": do}, self.scratch, 0, again)

    def perform(self, order: Order, seen: list[Any] | None = None, **options: Any) -> Any:
        hear = None if seen is None else seen.append
        return Runner(self.socket_path).perform(order, hear, **options)


def start(folder: Path, idle_s: float = 60) -> Bench:
    path, scratch = folder / "socket", folder / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-c", ZYGOTE, str(path), str(os.getpid()), str(idle_s)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        os.sched_yield()
    return Bench(process, path, scratch)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = start(tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
    return False


def test_a_program_is_loaded_once_and_each_order_gets_a_fork(bench: Bench) -> None:
    found = [bench.perform(bench.order()) for _ in range(3)]
    assert len({each["loader"] for each in found}) == 1
    assert len({each["pid"] for each in found}) == 3
    assert all(each["parent"] == each["loader"] for each in found)
    assert [each["runs"] for each in found] == [1, 1, 1]  # nothing of one reaches the next


def test_a_runner_is_a_session_of_its_own_in_its_folder_with_its_log(bench: Bench) -> None:
    first = bench.perform(bench.order(do="first"))
    bench.scratch.rename(bench.scratch.with_name("kept"))
    bench.scratch.mkdir()
    second = bench.perform(bench.order(do="second"))
    assert second["loader"] == first["loader"]
    assert second["session"] == second["pid"]
    assert second["cwd"] == str(bench.scratch)
    assert second["open"] <= 8
    assert (bench.scratch / "runner.log").read_text() == "said in second\n"


def test_work_that_will_not_come_again_loads_for_itself(bench: Bench) -> None:
    first = bench.perform(bench.order())
    other = bench.perform(bench.order(again=False))
    assert other["loader"] == other["pid"]
    assert other["loader"] != first["loader"]


def test_a_nursery_serves_nothing_but_its_own(bench: Bench, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    order = bench.order()
    others = [bench.order("b"), replace(order, scratch=elsewhere), replace(order, nice=3)]
    found = [bench.perform(each) for each in (order, *others, order)]
    assert len({each["loader"] for each in found}) == 4
    assert found[0]["loader"] == found[-1]["loader"]
    assert [each["program"] for each in found] == ["a", "b", "a", "a", "a"]
    assert found[2]["cwd"] == str(elsewhere)
    assert found[3]["nice"] == found[0]["nice"] + 3


def test_keys_name_all_that_loading_may_look_at(tmp_path: Path) -> None:
    work = {"work": Staged(lambda r: {"program": r["program"]}, lambda *_: 0, bool, lambda *_: {})}
    order = Order("work", {"program": "a", "from": 1}, tmp_path, 0, True)
    key = key_of(work, order)
    assert key is not None
    assert key_of(work, replace(order, request={"program": "a", "from": 2})) == key
    for other in (
        replace(order, request={"program": "b", "from": 1}),
        replace(order, scratch=tmp_path / "x"),
        replace(order, nice=1),
    ):
        assert key_of(work, other) not in {key, None}
    assert key_of(work, replace(order, again=False)) is None
    assert key_of(work, replace(order, kind="another")) is None
    assert key_of(work, replace(order, request={})) is None


def test_a_program_that_starts_a_thread_is_run_where_it_was_loaded(bench: Bench) -> None:
    found = [bench.perform(bench.order("threads")) for _ in range(2)]
    assert all(each["pid"] == each["loader"] for each in found)
    assert found[0]["pid"] != found[1]["pid"]
    assert gone(found[0]["pid"])


def test_a_dead_nursery_means_a_new_one(bench: Bench) -> None:
    first = bench.perform(bench.order())
    os.kill(first["loader"], signal.SIGKILL)
    second = bench.perform(bench.order())
    assert second["loader"] not in {first["loader"], second["pid"]}


@pytest.mark.parametrize("victim", ["loader", "pid"])
def test_a_kill_ends_the_order_and_all_of_it(bench: Bench, victim: str) -> None:
    seen: list[Any] = []

    def hear(progress: Any) -> None:
        seen.append(progress)
        os.kill(progress[victim], signal.SIGKILL)

    with pytest.raises(SandboxError, match="signal 9"):
        Runner(bench.socket_path).perform(bench.order(do="linger"), hear)
    assert all(gone(seen[0][name]) for name in ("pid", "loader", "stray"))
    assert bench.perform(bench.order())["loader"] != seen[0]["loader"]


def test_hanging_up_ends_the_runner_and_its_children_and_the_nursery_goes_on(bench: Bench) -> None:
    stop, seen = threading.Event(), []

    def hear(progress: Any) -> None:
        seen.append(progress)
        stop.set()

    with pytest.raises(LeaseLost):
        Runner(bench.socket_path).perform(bench.order(do="linger"), hear, stop=stop)
    assert all(gone(seen[0][name]) for name in ("pid", "stray"))
    deadline = time.monotonic() + 10
    while bench.perform(bench.order())["loader"] != seen[0]["loader"]:
        assert time.monotonic() < deadline, "the program was loaded anew"


@pytest.mark.parametrize(("do", "error"), [("crash", SandboxError), ("fail", StateError)])
def test_a_failure_ends_the_nursery_too(bench: Bench, do: str, error: type[Exception]) -> None:
    seen: list[Any] = []
    with pytest.raises(error):
        bench.perform(bench.order(do=do), seen)
    assert gone(seen[0]["loader"])


def test_a_program_that_cannot_be_loaded_is_its_own_error(bench: Bench) -> None:
    for _ in range(2):
        with pytest.raises(StateError, match="no such program"):
            bench.perform(bench.order("broken"))


def test_nothing_a_runner_started_outlives_it(bench: Bench) -> None:
    found = bench.perform(bench.order(do="stray"))
    assert gone(found["stray"])
    assert bench.perform(bench.order())["loader"] == found["loader"]


def test_the_same_work_at_the_same_time_is_done_beside_the_nursery(bench: Bench) -> None:
    stop, seen, found = threading.Event(), [], []

    def hear(progress: Any) -> None:
        seen.append(progress)
        found.append(bench.perform(bench.order()))
        stop.set()

    with pytest.raises(LeaseLost):
        Runner(bench.socket_path).perform(bench.order(do="linger"), hear, stop=stop)
    assert found[0]["loader"] == found[0]["pid"] != seen[0]["loader"]


def test_nurseries_are_few_and_the_longest_idle_goes_first(bench: Bench) -> None:
    found = [bench.perform(bench.order(str(each))) for each in range(NURSERIES_MAX + 1)]
    assert gone(found[0]["loader"])
    assert all(psutil.pid_exists(each["loader"]) for each in found[1:])


def test_an_idle_nursery_does_not_last(tmp_path: Path) -> None:
    bench = start(tmp_path, idle_s=0.1)
    found = bench.perform(bench.order())
    assert gone(found["loader"])
    bench.process.kill()
    bench.process.wait()


def test_nurseries_die_with_their_zygote(bench: Bench) -> None:
    found = bench.perform(bench.order())
    bench.process.kill()
    assert gone(found["loader"])


@pytest.mark.parametrize("said", [b"runner", b"runner x", b"runner -1", b"\xff 3", b""])
def test_nonsense_from_a_nursery_is_its_end(said: bytes) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        theirs.send(said)
        assert Nursery("key", 0, ours).hear() is None
