"""A recorder answers as the user's logger would, and writes down what it is told."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gensyn_lightning.errors import LimitExceeded, StateError
from gensyn_lightning.training import recorder
from gensyn_lightning.training.manifest import LoggerMeta, Place, PlaceKind
from gensyn_lightning.training.recorder import Calls, arguments, recorders

INSIDE = Place(PlaceKind.INSIDE, "logs", "run")
NOWHERE = Place(PlaceKind.NONE, "", "")
pytestmark = pytest.mark.filterwarnings("ignore")


def meta(kind: str, **changes: Any) -> LoggerMeta:
    given = {
        "name": "run",
        "anonymous": False,
        "version": "3",
        "numbered": True,
        "versionless": False,
        "save_dir": INSIDE,
        "root_dir": NOWHERE,
        "log_dir": INSIDE,
        **changes,
    }
    return LoggerMeta(kind=kind, **given)


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    return Calls({"logs": tmp_path})


def made(calls: Calls, tmp_path: Path, flavour: str, kind: str, **changes: Any) -> Any:
    [found] = recorders((meta(kind, **changes),), flavour, {"logs": tmp_path}, calls)
    return found


@pytest.mark.parametrize("flavour", ["lightning.pytorch", "pytorch_lightning"])
def test_a_recorder_is_a_logger_of_the_users_class(
    flavour: str, calls: Calls, tmp_path: Path
) -> None:
    loggers = importlib.import_module(f"{flavour}.loggers")
    found = made(calls, tmp_path, flavour, f"{flavour}.loggers.csv_logs:CSVLogger")
    assert isinstance(found, loggers.CSVLogger)
    assert (found.name, found.version) == ("run", 3)
    assert found.save_dir == found.log_dir == str(tmp_path / "run")
    assert found.root_dir is None
    other = made(calls, tmp_path, flavour, "mine:MyLogger", anonymous=True, versionless=True)
    assert isinstance(other, loggers.Logger)
    assert (other.name, other.version) == (None, None)
    assert made(calls, tmp_path, flavour, "mine:MyLogger", numbered=False).version == "3"


def test_calls_are_written_down_in_order_and_read_back(calls: Calls, tmp_path: Path) -> None:
    logger = made(calls, tmp_path, "lightning.pytorch", "x:Y")
    calls.event = 4
    logger.log_hyperparams({"rate": 0.1, "path": str(tmp_path / "a")})
    logger.log_metrics(metrics={"loss": float("nan"), "n": np.float32(2)}, step=7)
    logger.experiment.add_histogram("weights", torch.arange(3.0), 7)
    logger.log_graph(object())
    logger.save()
    logger.finalize("success")
    assert [(each.event, each.logger, each.method) for each in calls.made] == [
        (4, 0, "log_hyperparams"),
        (4, 0, "log_metrics"),
        (4, 0, "experiment.add_histogram"),
        (4, 0, "save"),
        (4, 0, "finalize"),
    ]
    elsewhere = {"logs": Path("/elsewhere")}
    args, kwargs = arguments(calls.made[0], elsewhere)
    assert args == [{"rate": 0.1, "path": "/elsewhere/a"}]
    args, kwargs = arguments(calls.made[1], elsewhere)
    assert (args, kwargs["step"], kwargs["metrics"]["n"]) == ([], 7, 2)
    args, kwargs = arguments(calls.made[2], elsewhere)
    assert torch.equal(args[1], torch.arange(3.0))


def test_nothing_is_written_while_muted(calls: Calls, tmp_path: Path) -> None:
    calls.muted = True
    made(calls, tmp_path, "lightning.pytorch", "x:Y").log_metrics({"a": 1.0}, 1)
    assert calls.made == []


def test_what_cannot_travel_is_refused(calls: Calls, tmp_path: Path) -> None:
    logger = made(calls, tmp_path, "lightning.pytorch", "x:Y")
    with pytest.raises(StateError, match="log_hyperparams"):
        logger.log_hyperparams({"f": lambda: 1})
    with pytest.raises(StateError, match="add_figure"):
        logger.experiment.add_figure("a", object())
    with pytest.raises(LimitExceeded):
        logger.experiment.add_image("a", torch.zeros(1200, 1200))


def test_a_name_that_could_leave_the_loggers_folder_is_refused_early(
    calls: Calls, tmp_path: Path
) -> None:
    logger = made(calls, tmp_path, "lightning.pytorch", "x:Y")
    with pytest.raises(StateError, match=r"tag_scalar_dict of experiment.add_scalars .*'\.\.'"):
        logger.experiment.add_scalars("x", {"a/../../b": 1.0})
    with pytest.raises(StateError, match="after the fit"):
        logger.log_image("x", ["picture.png"])
    with pytest.raises(StateError, match="save takes no arguments"):
        logger.save("everything")
    assert calls.made == []


def test_calls_are_bounded(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "CALLS_MAX", 1)
    calls.add(0, "save", [], {})
    with pytest.raises(LimitExceeded):
        calls.add(0, "save", [], {})


@pytest.mark.parametrize(
    "given", [{"tree": 5}, {"tree": [[], {"$dict": [[1, 2]]}]}, {"container": "zz"}]
)
def test_arguments_that_are_none_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(StateError):
        arguments(recorder.Call(0, 0, "save", given), {})
