"""The layers hold, and light things stay light."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "web3", "jsonschema", "pytorch_lightning", "lightning", "eth")


def loaded_by(code: str) -> set[str]:
    probe = f"import sys\n{code}\nprint(*{HEAVY!r} & sys.modules.keys())"
    probe = probe.replace(repr(HEAVY), repr(set(HEAVY)))
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split("\n")[-2].split())


def test_import_rules_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([tool], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import gensyn_lightning",
        "import gensyn_lightning.protocol.receipt",
        "import coordinator",
        "import kernel_ext",
        "import gensyn_lightning.client",
        "import gensyn_lightning.report.verify",
        "from gensyn_lightning.cli.__main__ import main",
    ],
)
def test_light_things_load_nothing_heavy(code: str) -> None:
    assert loaded_by(code) == set()


@pytest.mark.parametrize("line", ["gensyn --help", "gensyn verify report.json"])
def test_light_commands_load_nothing_heavy(line: str) -> None:
    run = "from gensyn_lightning.cli.__main__ import main\ntry: main()\nexcept SystemExit: pass"

    assert loaded_by(f"sys.argv = {line.split()!r}\n{run}") == set()
