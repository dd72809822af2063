"""House rules that no linter knows, checked as an ordinary test."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GENERATED = ROOT / "gensyn_lightning/wire/v1"
PACKAGES = ("gensyn_lightning", "kernel_ext", "coordinator")
SOURCES = [
    path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if GENERATED not in path.parents
]
LINES_MAX = 400
FUNCTION_LINES_MAX = 60
BANNED_NAMES = {"utils", "util", "helpers", "common", "misc", "base", "manager", "types"}
TOP_LEVEL = {
    "gensyn_lightning",
    "kernel_ext",
    "proto",
    "coordinator",
    "notebooks",
    "tests",
    "contracts",
    "benchmarks",
    "docs",
}
NOT_OURS = {"build", "dist"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_module_is_tidy(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    doc = (ast.get_docstring(tree) or "").split("\n\n")[0]

    assert path.stem not in BANNED_NAMES, "name the module after what it holds"
    assert doc, "say what this module is for"
    assert doc.endswith("."), "the first paragraph is one sentence"
    assert text.count("\n") <= LINES_MAX, "split the module"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} is {lines} lines"
        if isinstance(node, ast.ExceptHandler):
            assert not all(isinstance(each, ast.Pass) for each in node.body), (
                f"line {node.lineno} swallows an error"
            )


def test_unit_tests_mirror_sources() -> None:
    for test in (ROOT / "tests/unit").rglob("test_*.py"):
        folder = test.parent.relative_to(ROOT / "tests/unit")
        stem = test.stem.removeprefix("test_")
        homes = [
            base / folder / tail
            for base in (ROOT / "gensyn_lightning", ROOT)
            for tail in (f"{stem}.py", f"_{stem}.py", f"{stem}/__init__.py", f"csrc/{stem}.c")
        ]
        assert any(home.exists() for home in homes), f"{name(test)} tests no module"


def test_nothing_new_at_the_top() -> None:
    folders = {
        each.name
        for each in ROOT.iterdir()
        if each.is_dir()
        and not each.name.startswith((".", "__"))
        and not each.name.endswith(".egg-info")
    }
    assert folders - NOT_OURS == TOP_LEVEL
