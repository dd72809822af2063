"""Precedence of settings, and errors that name the place."""

from pathlib import Path

import pytest

from gensyn_lightning import config
from gensyn_lightning.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "project/src").mkdir(parents=True)
    (tmp_path / "config/gensyn").mkdir(parents=True)
    return tmp_path


def resolve(folder: Path, **more: object) -> config.Config:
    environ = {"XDG_CONFIG_HOME": str(folder / "config"), "XDG_DATA_HOME": str(folder / "data")}
    environ |= more.pop("environ", {})  # type: ignore[arg-type]
    return config.resolve(environ=environ, folder=folder / "project/src", **more)  # type: ignore[arg-type]


def test_defaults_need_nothing_to_be_set(folder: Path) -> None:
    found = resolve(folder)
    assert found.home == folder / "data/gensyn"
    assert (found.coordinator, found.solvers, found.verifiers) == ("", 2, 1)
    assert found.audit_rate_ppm == 100_000
    assert set(found.sources.values()) == {"default"}


def test_each_place_goes_before_the_next(folder: Path) -> None:
    personal = folder / "config/gensyn/config.toml"
    project = folder / "project/pyproject.toml"
    seen = []

    def now(**more: object) -> None:
        found = resolve(folder, **more)
        seen.append((found.solvers, found.sources["solvers"]))

    now()
    personal.write_text("solvers = 3")
    now()
    project.write_text("[tool.gensyn]\nsolvers = 4")
    now()
    now(environ={"GENSYN_SOLVERS": "5"})
    now(environ={"GENSYN_SOLVERS": "5"}, strategy={"solvers": 6})
    now(environ={"GENSYN_SOLVERS": "5"}, strategy={"solvers": 6}, flags={"solvers": 7})
    now(environ={"GENSYN_SOLVERS": "5"}, strategy={"solvers": None}, flags={"solvers": None})

    assert seen == [
        (2, "default"),
        (3, str(personal)),
        (4, str(project)),
        (5, "environment"),
        (6, "GensynStrategy"),
        (7, "flag"),
        (5, "environment"),
    ]


@pytest.mark.parametrize(
    ("said", "ppm"),
    [("default", 100_000), ("full", 1_000_000), ("none", 0), ("0.25", 250_000), (1, 1_000_000)],
)
def test_audit_is_a_word_or_a_share(folder: Path, said: object, ppm: int) -> None:
    assert resolve(folder, flags={"audit": said}).audit_rate_ppm == ppm


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("audit", "sometimes"),
        ("audit", 1.5),
        ("audit", True),
        ("solvers", -1),
        ("solvers", 2.5),
        ("solvers", 1000),
        ("solvers", True),
        ("idle_minutes", "nan"),
        ("idle_minutes", "inf"),
        ("coordinator", 5),
        ("quiet", "perhaps"),
        ("colour", "blue"),
    ],
)
def test_a_wrong_value_is_refused_where_it_stands(folder: Path, name: str, value: object) -> None:
    with pytest.raises(ConfigError, match="GensynStrategy"):
        resolve(folder, strategy={name: value})


def test_a_wrong_value_is_refused_even_when_overruled(folder: Path) -> None:
    with pytest.raises(ConfigError, match="environment"):
        resolve(folder, environ={"GENSYN_SOLVERS": "many"}, flags={"solvers": 1})


def test_a_broken_file_is_named(folder: Path) -> None:
    (folder / "project/pyproject.toml").write_text("[tool.gensyn")
    with pytest.raises(ConfigError, match=r"pyproject\.toml"):
        resolve(folder)


def test_other_variables_with_the_prefix_are_left_alone(folder: Path) -> None:
    assert resolve(folder, environ={"GENSYN_SOMETHING": "1"}).solvers == 2


def test_settings_are_shown_with_their_sources(folder: Path) -> None:
    rows = config.as_settings(resolve(folder, flags={"audit": "full"}))
    assert rows["audit"] == (1.0, "flag")
    assert rows["home"] == (str(folder / "data/gensyn"), "default")
    assert set(rows) == set(config.SETTINGS)
