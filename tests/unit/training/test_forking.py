"""What a fork would share with others, or lack."""

import mmap
import subprocess
import sys
from pathlib import Path

from gensyn_lightning.training.forking import shared

ALONE = """
import subprocess, sys, threading
from gensyn_lightning.training.forking import alone
before = alone()
if sys.argv[1] == "thread":
    threading.Thread(target=sys.stdin.read, daemon=True).start()
elif sys.argv[1] == "process":
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=sys.stdin)
print(before, alone())
"""


def alone(does: str) -> str:
    with subprocess.Popen(
        [sys.executable, "-c", ALONE, does], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().decode().strip()
        process.communicate()
    return said


def test_a_process_that_only_computes_is_alone() -> None:
    assert alone("nothing") == "True True"


def test_threads_and_children_are_seen() -> None:
    assert alone("thread") == "True False"
    assert alone("process") == "True False"


def test_work_that_leaves_nothing_shares_nothing(tmp_path: Path) -> None:
    before = shared()
    (tmp_path / "file").write_text("closed again")
    bytearray(1 << 22)
    assert shared() == before


def test_an_open_file_is_seen(tmp_path: Path) -> None:
    before = shared()
    with (tmp_path / "file").open("w"):
        assert shared() != before
    assert shared() == before


def test_shared_memory_is_seen() -> None:
    before = shared()
    with mmap.mmap(-1, 1 << 16):
        assert shared() != before
    with mmap.mmap(-1, 1 << 16, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):
        assert shared() == before
