"""The normal form is the same in any runner; an unlike environment changes what must not matter."""

import json
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from gensyn_lightning.errors import SandboxError
from gensyn_lightning.training import normal

PROGRAM = """
import json, os, sys
import torch
from gensyn_lightning.training import normal
normal.enter(threads=1, perturb=int(sys.argv[1]))
print(json.dumps({
    "threads": torch.get_num_threads(),
    "deterministic": torch.are_deterministic_algorithms_enabled(),
    "mkldnn": torch.backends.mkldnn.enabled,
    "flash": torch.backends.cuda.flash_sdp_enabled(),
    "math": torch.backends.cuda.math_sdp_enabled(),
    "umask": os.umask(0),
    "zone": __import__("time").tzname[0],
    "hash": hash("text"),
}))
"""


def run(perturb: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(perturb)],
        capture_output=True,
        text=True,
        check=True,
        env={**normal.ENVIRONMENT, "PATH": os.environ["PATH"]},
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_normal_form_is_the_same_in_any_environment() -> None:
    found = run(0)
    assert found.pop("hash") == run(1)["hash"]
    assert found == {
        "threads": 1,
        "deterministic": True,
        "mkldnn": False,
        "flash": False,
        "math": True,
        "umask": 0o022,
        "zone": "UTC",
    }


def test_a_process_with_random_hashes_is_no_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    with pytest.raises(SandboxError, match="hashes strings"):
        normal.enter(threads=1)
