"""One digest for each program, whatever the threads, kernels, libraries, layouts and machine.

The short form trains few steps on the variants that cost little; `make hardware` trains a hundred
on all of them, another version of torch and an emulated aarch64 machine among them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gensyn_lightning.repops import build, library

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("programs.py")
MODULES = Path(__file__).with_name("modules.py")
GOLDEN = ROOT / "tests/vectors/repops/programs.json"
GOLDEN_MODULES = ROOT / "tests/vectors/repops/modules.json"
SHORT, LONG = 3, 100
WARNINGS = ("-W", "error", "-W", "ignore:no compiled kernels")  # one test does without
NAMES = ("mlp", "cnn", "resnet", "lstm", "gpt", "bert", "vae", "gan", "unet", "mixed", "optimizers")
FEW = ("cnn", "gpt", "lstm", "unet")
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "aten-default": {"ATEN_CPU_CAPABILITY": "default"},
    "aten-avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "aten-avx512": {"ATEN_CPU_CAPABILITY": "avx512"},
    "onednn-sse41": {"DNNL_MAX_CPU_ISA": "SSE41"},
    "onednn-avx2": {"DNNL_MAX_CPU_ISA": "AVX2"},
    "mkl-compatible": {"MKL_CBWR": "COMPATIBLE"},
    "hash-seed": {"PYTHONHASHSEED": "123"},
}


def digests(
    *words: str, script: Path = SCRIPT, environment: dict[str, str] | None = None
) -> dict[str, str]:
    """Run a script in a process of its own and return the digests it prints."""
    done = subprocess.run(
        [sys.executable, *WARNINGS, str(script), *words],
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **(environment or {})},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


def golden(steps: int) -> dict[str, str]:
    """Return the digests that never change within a version of the numerics."""
    found: dict[str, Any] = json.loads(GOLDEN.read_text())
    return dict(found[str(steps)])


def expected(steps: int, names: tuple[str, ...] = NAMES) -> dict[str, str]:
    return {name: digest for name, digest in golden(steps).items() if name in names}


def test_every_program_trains_to_the_golden_digest() -> None:
    assert digests("--steps", str(SHORT)) == golden(SHORT)


@pytest.mark.parametrize("isa", library.supported()[1:])
def test_older_instruction_sets_give_the_same_bits(isa: str) -> None:
    names = FEW if isa != library.BASELINE else FEW[:1]
    found = digests(*names, "--steps", str(SHORT), environment={"GENSYN_ISA": isa})
    assert found == expected(SHORT, names)


@pytest.mark.parametrize("layout", ["channels_last", "sliced"])
def test_layouts_give_the_same_bits_on_other_threads(layout: str) -> None:
    found = digests(*FEW, "--steps", str(SHORT), "--layout", layout, "--threads", "2")
    assert found == expected(SHORT, FEW)


def test_the_reference_gives_the_same_bits() -> None:
    found = digests("vae", "--steps", "1", environment={"GENSYN_KERNELS": "/nonexistent"})
    assert found == {"vae": golden(1)["vae"]}


@pytest.mark.parametrize(
    "isa",
    [
        pytest.param(each, marks=pytest.mark.hardware if at else ())
        for at, each in enumerate(library.supported())
    ],
)
def test_every_class_of_torch_nn_has_the_golden_digest(isa: str) -> None:
    found = digests(script=MODULES, environment={"GENSYN_ISA": isa})
    assert found == json.loads(GOLDEN_MODULES.read_text())


@pytest.mark.hardware
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads(threads: int) -> None:
    assert digests("--steps", str(LONG), "--threads", str(threads)) == golden(LONG)


@pytest.mark.hardware
@pytest.mark.parametrize("isa", library.supported())
def test_instruction_sets(isa: str) -> None:
    steps = LONG if isa != library.BASELINE else 1 + LONG // 10
    found = digests("--steps", str(steps), environment={"GENSYN_ISA": isa})
    assert found == golden(steps)


@pytest.mark.hardware
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_library_settings(name: str) -> None:
    found = digests("--steps", str(LONG), environment=ENVIRONMENTS[name])
    assert found == golden(LONG)


@pytest.mark.hardware
@pytest.mark.parametrize("layout", ["channels_last", "sliced", "misaligned", "transposed"])
def test_layouts(layout: str) -> None:
    assert digests("--steps", str(LONG), "--layout", layout) == golden(LONG)


Run = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a script on an emulated aarch64 machine with an older torch and its own kernels."""
    sys.path.insert(0, str(Path(__file__).parent))
    import aarch64

    found = aarch64.prepare(ROOT / "build/aarch64")
    folder = tmp_path_factory.mktemp("kernels")
    build.build("aarch64", folder, aarch64.compiler(ROOT / "build/aarch64"))

    def run(*words: str) -> dict[str, str]:
        done = subprocess.run(
            aarch64.command(found, *words),
            env={**aarch64.environment(found, ROOT), "GENSYN_KERNELS": str(folder)},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        return dict(json.loads(done.stdout))

    return run


@pytest.mark.hardware
def test_classes_of_torch_nn_on_an_emulated_aarch64_machine(emulated: Run) -> None:
    every = json.loads(GOLDEN_MODULES.read_text())
    made = emulated(str(MODULES))
    assert made == {name: each for name, each in every.items() if name in made}
    assert len(made) >= len(every) - 4  # the older torch has not all classes


@pytest.mark.hardware
def test_programs_on_an_emulated_aarch64_machine(emulated: Run) -> None:
    wanted = golden(LONG)
    with ThreadPoolExecutor(os.cpu_count()) as several:  # an hour of one processor
        made = several.map(lambda name: emulated(str(SCRIPT), name, "--steps", str(LONG)), wanted)
        assert {name: each for found in made for name, each in found.items()} == wanted


def main() -> None:
    """Write the golden digests anew: only for a new version of the numerics."""
    found = {str(steps): digests("--steps", str(steps)) for steps in (1, SHORT, 11, LONG)}
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
    GOLDEN_MODULES.write_text(json.dumps(digests(script=MODULES), indent=1) + "\n")


if __name__ == "__main__":
    main()
