"""What a program says is kept as bounded lines that cannot steer a terminal."""

import subprocess
import sys
import textwrap

from gensyn_lightning.training.console import Console
from gensyn_lightning.training.outputs import LINE_CHARS_MAX, LINES_MAX

PROGRAM = """
import logging, sys, warnings
import pytorch_lightning
from gensyn_lightning.training.console import Console
real = sys.stdout
console = Console()
console.install()
print("one", end="")
print(" and\\ttwo")
print("\\x1b[31mred")
sys.stderr.write("three\\n")
warnings.warn("careful")
logging.getLogger("pytorch_lightning").info("four")
console.muted = True
print("nothing")
print([(each.stream, each.text) for each in console.lines], file=real, flush=True)
"""


def test_lines_of_every_kind_are_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)], capture_output=True, text=True, check=True
    )
    assert eval(done.stdout) == [  # the program's own print
        ("stdout", "one and\ttwo"),
        ("stdout", "�[31mred"),
        ("stderr", "three"),
        ("warning", "UserWarning: careful"),
        ("stderr", "four"),
    ]


def test_lines_are_bounded() -> None:
    console = Console()
    for _ in range(LINES_MAX + 1):
        console.add("stdout", "x" * (LINE_CHARS_MAX + 1))
    assert len(console.lines) == LINES_MAX
    assert len(console.lines[0].text) == LINE_CHARS_MAX
