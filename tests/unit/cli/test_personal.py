"""One setting changes; what else stands in the file stays."""

import tomllib
from pathlib import Path

import pytest

from gensyn_lightning.cli.personal import change
from gensyn_lightning.errors import ConfigError


def test_a_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "gensyn/config.toml"
    change(path, "solvers", "3")
    assert path.read_text() == "solvers = 3\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_everything_else_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('# mine\naudit = "full"  # always\nquiet = true\n')
    change(path, "verifiers", "2")
    change(path, "quiet", "no")
    change(path, "coordinator", 'a "quoted" host:1')
    assert path.read_text() == (
        '# mine\naudit = "full"  # always\nquiet = false\nverifiers = 2\n'
        'coordinator = "a \\"quoted\\" host:1"\n'
    )


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("audit", "full", "full"),
        ("audit", "0.25", 0.25),
        ("idle_minutes", "1e1", "1e1"),
        ("budget", "500", 500),
        ("home", "~/data", "~/data"),
    ],
)
def test_a_value_is_written_as_what_it_is(
    tmp_path: Path, name: str, text: str, value: object
) -> None:
    change(tmp_path / "config.toml", name, text)
    assert tomllib.loads((tmp_path / "config.toml").read_text()) == {name: value}


@pytest.mark.parametrize(
    ("name", "text"), [("audit", "5"), ("solvers", "99"), ("colour", "red"), ("quiet", "perhaps")]
)
def test_what_no_setting_means_is_refused_and_nothing_written(
    tmp_path: Path, name: str, text: str
) -> None:
    with pytest.raises(ConfigError):
        change(tmp_path / "config.toml", name, text)
    assert not (tmp_path / "config.toml").exists()


@pytest.mark.parametrize("text", ["solvers = = 2\n", 'audit = """\nsolvers = 3\n"""\n', "x = 1\n"])
def test_a_file_that_cannot_be_changed_safely_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        change(path, "solvers", "2")
    assert path.read_text() == text
