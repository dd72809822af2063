"""A zygote with small work instead of torch: forks, answers, limits and clean ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gensyn_lightning.errors import LeaseLost, Malformed, SandboxError, StateError
from gensyn_lightning.node.exchange import Order
from gensyn_lightning.node.runner import Runner

ZYGOTE = """
import os, signal, subprocess, sys, time, resource
from pathlib import Path
from gensyn_lightning.errors import StateError
from gensyn_lightning.node.zygote import serve
from gensyn_lightning.network.process import die_with_parent

def echo(request, scratch, report):
    report({"event": 1})
    report({"event": 2})
    print("said in the runner")
    return {"got": request, "cwd": os.getcwd(), "pid": os.getpid()}

def fail(request, scratch, report):
    raise StateError("no such leaf", hint="look again")

def crash(request, scratch, report):
    os.kill(os.getpid(), signal.SIGSEGV)

def leave(request, scratch, report):
    os._exit(0)

def linger(request, scratch, report):
    stray = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"],
                             start_new_session=bool(request["escape"]))
    report({"pid": os.getpid(), "stray": stray.pid})
    if request["wait"]:
        time.sleep(600)
    return {}

def limits(request, scratch, report):
    return {"core": resource.getrlimit(resource.RLIMIT_CORE)[0],
            "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "open": sorted(int(each) for each in os.listdir("/proc/self/fd")),
            "stdin": os.readlink("/proc/self/fd/0")}

work = dict(echo=echo, fail=fail, crash=crash, leave=leave, linger=linger, limits=limits)
die_with_parent(int(sys.argv[2]))
serve(Path(sys.argv[1]), work)
"""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("zygote") / "socket"
    process = subprocess.Popen([sys.executable, "-c", ZYGOTE, str(path), str(os.getpid())])
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        os.sched_yield()
    yield path
    process.kill()
    process.wait()


def perform(zygote: Path, kind: str, scratch: Path, **request: Any) -> dict[str, Any]:
    return dict(Runner(zygote).perform(Order(kind, request, scratch)))


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
    return False


def test_each_piece_of_work_gets_a_fork_of_its_own(zygote: Path, tmp_path: Path) -> None:
    seen: list[Any] = []
    first = Runner(zygote).perform(Order("echo", {"a": 1}, tmp_path), seen.append)
    second = perform(zygote, "echo", tmp_path, a=1)

    assert first["got"] == {"a": 1}
    assert first["cwd"] == str(tmp_path)
    assert first["pid"] != second["pid"]
    assert seen == [{"event": 1}, {"event": 2}]
    assert "said in the runner" in (tmp_path / "runner.log").read_text()


def test_our_own_error_comes_back_as_itself(zygote: Path, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no such leaf") as caught:
        perform(zygote, "fail", tmp_path)
    assert caught.value.hint == "look again"


def test_a_crash_is_a_sandbox_error_that_names_the_signal(zygote: Path, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="signal 11"):
        perform(zygote, "crash", tmp_path)


def test_a_runner_that_says_nothing_is_an_error(zygote: Path, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="without a result"):
        perform(zygote, "leave", tmp_path)


def test_unknown_work_is_refused(zygote: Path, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="cannot do"):
        perform(zygote, "dance", tmp_path)


@pytest.mark.parametrize("escape", [False, True])
def test_nothing_a_runner_started_outlives_it(zygote: Path, tmp_path: Path, escape: bool) -> None:
    seen: list[Any] = []
    order = Order("linger", {"escape": escape, "wait": False}, tmp_path)
    Runner(zygote).perform(order, seen.append)
    assert gone(seen[0]["stray"])


@pytest.mark.parametrize("escape", [False, True])
def test_hanging_up_kills_the_runner_and_its_children(
    zygote: Path, tmp_path: Path, escape: bool
) -> None:
    stop, seen = threading.Event(), []

    def hear(progress: Any) -> None:
        seen.append(progress)
        stop.set()

    order = Order("linger", {"escape": escape, "wait": True}, tmp_path)
    with pytest.raises(LeaseLost):
        Runner(zygote).perform(order, hear, stop=stop)
    assert gone(seen[0]["pid"])
    assert gone(seen[0]["stray"])


def test_a_runner_that_takes_too_long_is_ended(zygote: Path, tmp_path: Path) -> None:
    seen: list[Any] = []
    order = Order("linger", {"escape": False, "wait": True}, tmp_path)
    with pytest.raises(SandboxError, match="too long"):
        Runner(zygote).perform(order, seen.append, timeout_s=0.5)
    assert gone(seen[0]["pid"])


def test_a_runner_inherits_limits_and_no_other_files(zygote: Path, tmp_path: Path) -> None:
    found = perform(zygote, "limits", tmp_path)
    assert found["core"] == 0
    assert found["files"] <= 4096
    assert found["stdin"] == os.devnull
    # 0 1 2, the connection, its twin, and the listing itself
    assert len(found["open"]) <= 8


def test_a_malformed_request_is_refused_and_the_zygote_goes_on(
    zygote: Path, tmp_path: Path
) -> None:
    for nonsense in (b"{}\n", b"\xff\n", b"[" * 5000 + b"\n", b"x" * (80 << 10) + b"\n"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(zygote))
            client.sendall(nonsense)
            assert set(json.loads(client.makefile("rb").readline())) == {"error"}
    assert perform(zygote, "echo", tmp_path)["got"] == {}


def test_more_work_than_runners_waits_in_line(zygote: Path, tmp_path: Path) -> None:
    results: list[Any] = []
    scratches = [tmp_path / str(number) for number in range(20)]
    for each in scratches:
        each.mkdir()
    threads = [
        threading.Thread(target=lambda s=each: results.append(perform(zygote, "echo", s)))
        for each in scratches
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({each["cwd"] for each in results}) == 20


def test_the_socket_is_for_its_owner_only(zygote: Path) -> None:
    assert zygote.stat().st_mode & 0o777 == 0o600


def test_runners_die_with_their_zygote(tmp_path: Path) -> None:
    path, seen = tmp_path / "socket", []
    process = subprocess.Popen([sys.executable, "-c", ZYGOTE, str(path), str(os.getpid())])
    deadline = time.monotonic() + 20
    while not path.exists() and time.monotonic() < deadline:
        os.sched_yield()

    def hear(progress: Any) -> None:
        seen.append(progress)
        process.send_signal(signal.SIGKILL)

    order = Order("linger", {"escape": False, "wait": True}, tmp_path)
    with pytest.raises(SandboxError):
        Runner(path).perform(order, hear)
    process.wait()
    assert gone(seen[0]["pid"])
    psutil.Process(seen[0]["stray"]).kill()


def test_no_zygote_is_a_sandbox_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="gensyn up"):
        Runner(tmp_path / "nobody", patience_s=0).perform(Order("echo", {}, tmp_path))


def test_a_result_must_name_every_field() -> None:
    from gensyn_lightning.node.exchange import read_answer

    with pytest.raises(Malformed):
        read_answer(b"[]")
