"""What is generated from proto/ and from the tables is what is committed."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "proto/v1").glob("*.proto"))
COMMITTED = ROOT / "gensyn_lightning/wire/v1"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", "gensyn_lightning/wire=proto"]
    names = [str(each.relative_to(ROOT)) for each in SOURCES]
    subprocess.run([*command, f"--python_out={folder}", *names], check=True, cwd=ROOT)
    return folder / "gensyn_lightning/wire/v1"


def test_every_source_has_its_module_and_every_module_its_source(generated: Path) -> None:
    committed = {each.name for each in COMMITTED.glob("*.py*") if each.name != "__init__.py"}

    assert committed == {each.name for each in generated.iterdir()}


@pytest.mark.parametrize("source", SOURCES, ids=lambda each: each.stem)
def test_generated_module_is_the_committed_one(source: Path, generated: Path) -> None:
    name = f"{source.stem}_pb2.py"

    assert (generated / name).read_text() == (COMMITTED / name).read_text(), "run `make proto`"


def test_the_pictures_of_the_state_machines_are_drawn_from_the_tables() -> None:
    page = runpy.run_path(str(ROOT / "docs/diagrams.py"))["page"]

    assert (ROOT / "docs/states.md").read_text() == page(), "run `make docs`"
