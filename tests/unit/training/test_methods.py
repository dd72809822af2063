"""What a program logs reaches the user's loggers as data, and as nothing else."""

import argparse
import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.training.methods import EXPERIMENT_METHODS, METHODS, check, is_known

IMAGE = np.zeros((2, 2, 3), dtype=np.uint8)
UP = "/../../.."
CYCLE: list[Any] = []
CYCLE.append(CYCLE)


@dataclass
class Called:
    """What a hyperparameter could be: data that runs code when it is called."""

    said: str = "x"

    def __call__(self) -> str:
        raise AssertionError("called")


class Kind(enum.StrEnum):
    WIDE = "wide"


class Pairs:
    """No dict, and yet it has items."""

    def items(self) -> list[Any]:
        return [("x", {UP: 1.0})]


def arguments(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


PATHS = [
    ("experiment.add_scalars", arguments("x", {UP: 1.0})),
    ("experiment.add_scalars", arguments("x", {"a/../../b": 1.0}, 1)),
    ("experiment.add_scalars", arguments("x", {"a\\..\\b": 1.0})),
    ("experiment.add_scalars", arguments("x", tag_scalar_dict={UP: 1.0})),
    ("experiment.add_scalars", arguments(main_tag="..", tag_scalar_dict={"a": 1.0})),
    ("experiment.add_scalars", arguments("x", {"/etc/a": 1.0})),
    ("experiment.add_scalars", arguments("x", {"a\0b": 1.0})),
    ("experiment.add_scalars", arguments("x", {"s3://bucket": 1.0})),
    ("experiment.add_scalars", arguments("x", Pairs())),
    ("experiment.add_embedding", arguments(torch.eye(2), global_step="../..")),
    ("experiment.add_embedding", arguments(torch.eye(2), None, None, "../..")),
    ("experiment.add_embedding", arguments(torch.eye(2), None, None, np.str_("../.."))),
    ("experiment.add_embedding", arguments(torch.eye(2), None, None, np.array("../.."))),
    ("experiment.add_embedding", arguments(torch.eye(2), None, None, 1, "..")),
    ("experiment.add_embedding", arguments(torch.eye(2), tag="..")),
    ("experiment.add_hparams", arguments({}, {}, run_name="../..")),
    ("experiment.add_hparams", arguments({}, {}, None, "/tmp/x")),
    ("experiment.add_hparams", arguments({}, {}, None, Path("/tmp/x"))),
    ("experiment.add_hparams", arguments({}, {}, "../..")),
    ("experiment.add_hparams", arguments({}, {}, name="../..")),
    ("experiment.add_scalar", arguments("x", 1.0, "../..")),
    ("experiment.add_pr_curve", arguments("x", [1], [1.0], "../..")),
    ("experiment.log", arguments({"x": 1.0}, step="../..")),
    ("log_metrics", arguments({"x": {UP: 1.0}}, 1)),
    ("log_metrics", arguments(metrics={"x": {UP: 1.0}})),
    ("log_metrics", arguments({"..": {"a": 1.0}})),
    ("log_metrics", arguments({"x": 1.0}, "../..")),
    ("log_metrics", arguments(Pairs())),
    ("log_hyperparams", arguments({"a": 1}, {"x": {UP: 1.0}})),
    ("log_hyperparams", arguments({"a": 1}, metrics={"x": {UP: 1.0}})),
    ("log_image", arguments("/../../x", [IMAGE])),
    ("log_image", arguments(key="/x", images=[IMAGE])),
    ("log_image", arguments("x", [IMAGE], "../..")),
    ("log_table", arguments("../x", ["a"], [[1]])),
    ("log_text", arguments(key="../x", columns=["a"], data=[["b"]])),
    ("log_video", arguments("x", [IMAGE], format=["gif/../../x"])),
]
FILES = [
    ("save", arguments("secret.txt")),
    ("save", arguments(glob_str="secret.txt")),
    ("experiment.save", arguments("secret.txt")),
    ("log_image", arguments("x", ["secret.png"])),
    ("log_image", arguments("x", images=["secret.png"])),
    ("log_image", arguments("x", "secret.png")),
    ("log_image", arguments("x", [Path("secret.png")])),
    ("log_image", arguments("x", [b"secret.png"])),
    ("log_image", arguments("x", [[IMAGE, ["secret.png"]]])),
    ("log_image", arguments("x", [np.array("secret.png")])),
    ("log_image", arguments("x", [IMAGE], masks=[{"truth": {"path": "secret.png"}}])),
    ("log_image", arguments("x", [IMAGE], masks=[{"truth": {"mask_data": Path("secret")}}])),
    ("log_image", arguments("x", [IMAGE], data=["secret.png"])),
    ("log_audio", arguments("x", ["secret.wav"], sample_rate=[8000])),
    ("log_audio", arguments("x", audios=["https://example.com/a.wav"])),
    ("log_video", arguments("x", ["secret.mp4"])),
    ("log_video", arguments("x", videos=("secret.mp4",))),
]
CODE = [
    ("log_hyperparams", arguments({"a": Called()})),
    ("log_hyperparams", arguments(params={"a": [{"b": Called()}]})),
    ("log_hyperparams", arguments(argparse.Namespace(a=Called()))),
    ("log_hyperparams", arguments({"a": "wandb-artifact://https://example.com/e/p/a:v0"})),
    ("log_hyperparams", arguments({"a": {"_type": "artifactVersion", "id": "x"}})),
]
HARMLESS = [
    ("log_metrics", arguments({"train/loss": 1.0, "/odd": 2, "..": 3}, 7)),
    ("log_metrics", arguments(metrics={"x": {"train": 1.0, "a/b": torch.tensor(1.0), 3: 1}})),
    ("log_metrics", arguments({"x": np.float32(1)}, step=torch.tensor(4))),
    ("log_metrics", arguments({"x": 1.0}, None, "of a logger of their own")),
    ("log_hyperparams", arguments({"path": "/data/../x", "deep": {"a": (1, None, Kind.WIDE)}})),
    ("log_hyperparams", arguments(argparse.Namespace(rate=0.1, more=CYCLE), {"hp": 0.5})),
    ("log_hyperparams", arguments({"a": 1}, 0.5)),
    ("log_hyperparams", arguments()),
    ("log_image", arguments("a/b", [IMAGE, torch.zeros(3, 2, 2)], 3, caption=["../a", "b"])),
    ("log_image", arguments("x", [IMAGE], masks=[{"a": {"mask_data": IMAGE}}], caption=["/a"])),
    (
        "log_image",
        arguments("x", [IMAGE], boxes=[{"a": {"box_data": [{"class_id": 1}]}}], file_type=["png"]),
    ),
    ("log_audio", arguments("x", [np.zeros(8)], sample_rate=[8000], caption=["a"])),
    ("log_video", arguments("x", [np.zeros((2, 3, 4, 4))], fps=[4], format=["gif"])),
    ("log_image", arguments("x", CYCLE)),
    ("log_text", arguments("x", ["a"], [["see /etc/passwd, ../.. and https://example.com"]])),
    ("log_table", arguments("x", columns=["a"], data=[[1, "b", None]], step=2)),
    ("save", arguments()),
    ("finalize", arguments("success")),
    ("experiment.save", arguments()),
    ("experiment.flush", arguments()),
    ("experiment.add_text", arguments("a/b", "../.. /etc/passwd https://example.com", 3)),
    ("experiment.add_scalar", arguments("/a/../b", 1.0, torch.tensor(3))),
    ("experiment.add_scalars", arguments("a/b", {"c/d": 1.0, Kind.WIDE: 2.0, "e..f": 1.0}, 4)),
    ("experiment.add_embedding", arguments(torch.eye(2), ["../a", "/b"], None, np.int64(1))),
    ("experiment.add_embedding", arguments(torch.eye(2), global_step=1.5, tag="a/b")),
    ("experiment.add_hparams", arguments({"path": "../x"}, {"a/b": 1.0}, {"a": [1]}, "run", 3)),
    ("experiment.add_histogram", arguments("x", torch.ones(3), None, "auto")),
    ("experiment.add_custom_scalars", arguments({"a": {"b": ["Multiline", ["c/../d"]]}})),
    ("experiment.log", arguments({"x": "../free"}, 3)),
    ("experiment.log_metrics", arguments({"x": 1.0}, "prefix")),
    ("experiment.log_hparams", arguments({"path": "../x"})),
]


@pytest.mark.parametrize(("method", "given"), PATHS)
def test_no_name_leads_out_of_a_loggers_folder(method: str, given: Any) -> None:
    refused(method, given)


@pytest.mark.parametrize(("method", "given"), FILES)
def test_no_file_is_named_to_a_logger(method: str, given: Any) -> None:
    refused(method, given)


@pytest.mark.parametrize(("method", "given"), CODE)
def test_no_hyperparameter_is_called_or_looked_up(method: str, given: Any) -> None:
    refused(method, given)


def refused(method: str, given: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    assert is_known(method)
    with pytest.raises(StateError, match=method) as caught:
        check(method, *given)
    assert caught.value.hint


@pytest.mark.parametrize(("method", "given"), HARMLESS)
def test_what_is_only_logged_is_free(method: str, given: Any) -> None:
    assert is_known(method)
    check(method, *given)


def test_no_other_method_is_known() -> None:
    assert all(map(is_known, METHODS))
    assert all(is_known(f"experiment.{each}") for each in EXPERIMENT_METHODS)
    for method in (
        "add_scalar",
        "experiment.experiment.save",
        "__init__",
        ".save",
        "log_model",
        "",
    ):
        assert not is_known(method)
