"""What a network says reaches loggers, terminal and folders only as far as it may."""

import importlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from gensyn_lightning.errors import GensynError, Malformed, StateError
from gensyn_lightning.protocol.digest import Digest, digest_of
from gensyn_lightning.training import recorder, snapshot, state
from gensyn_lightning.training.capture import capture
from gensyn_lightning.training.outputs import Call, File, Line, Outputs, Removed
from gensyn_lightning.training.returning import Return, net_files, show, tell

pytestmark = pytest.mark.filterwarnings("ignore")
NAMED = Digest(bytes(32))


def outputs(*files: File, removed: tuple[Removed, ...] = ()) -> Outputs:
    return Outputs(files, removed, (), ())


def file(path: str, digest: Digest = NAMED, **options: Any) -> File:
    settings = {"folder": "root", "length": 4, "form": "bytes"} | options
    return File(path=path, digest=digest, **settings)


def test_only_what_is_left_of_several_segments_files_is_wanted() -> None:
    files, removed = net_files(
        [
            outputs(file("a"), file("b", length=1)),
            outputs(file("b", length=2), removed=(Removed("root", "a"),)),
            outputs(file("c"), removed=(Removed("root", "before"),)),
            outputs(file("before"), removed=(Removed("root", "c"),)),
        ]
    )
    assert [(each.path, each.length) for each in files] == [("b", 2), ("before", 4)]
    assert [each.path for each in removed] == ["a", "c"]


class Heard:
    """A user's logger that remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.experiment = self

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        self.said.append(("metrics", args, kwargs))

    def add_scalar(self, *args: Any, **kwargs: Any) -> None:
        self.said.append(("scalar", args, kwargs))

    def delete_everything(self) -> None:
        self.said.append("deleted")


def call(method: str, *args: Any, logger: int = 0, **kwargs: Any) -> Call:
    made = recorder.Calls({})
    made.add(logger, "log_metrics", args, kwargs)
    return Call(0, logger, method, made.made[0].given)


def test_loggers_are_told_in_order() -> None:
    heard = Heard()
    calls = [
        call("log_metrics", {"loss": 0.25}, step=3),
        call("experiment.add_scalar", "lr", torch.tensor(0.5), 4),
    ]
    tell([heard], calls, {})
    assert heard.said == [
        ("metrics", ({"loss": 0.25},), {"step": 3}),
        ("scalar", ("lr", torch.tensor(0.5), 4), {}),
    ]


@pytest.mark.parametrize(
    ("method", "logger"),
    [
        ("delete_everything", 0),
        ("experiment.delete_everything", 0),
        ("__init__", 0),
        ("add_scalar", 0),
        ("experiment.experiment.add_scalar", 0),
        ("os.system", 0),
        ("log_metrics", 1),
    ],
)
def test_no_other_method_of_a_logger_is_called(method: str, logger: int) -> None:
    heard = Heard()
    with pytest.raises(Malformed):
        tell([heard], [call(method, logger=logger)], {})
    assert heard.said == []


UP = "/../../../../../.."
OUT = [
    ("experiment.add_scalars", ("x", {f"{UP}/victim/a": 1.0}, 1), {}),
    (
        "experiment.add_embedding",
        (torch.eye(2), ["a", "b"]),
        {"global_step": f"..{UP}/victim/b"},
    ),
    ("experiment.add_hparams", ({"a": 1}, {"b": 1.0}), {"run_name": f"..{UP}/victim/c"}),
    ("log_metrics", ({"x": {f"{UP}/victim/d": 1.0}}, 1), {}),
    ("log_hyperparams", ({"a": 1}, {"x": {f"{UP}/victim/e": 1.0}}), {}),
]


@pytest.mark.parametrize(("method", "args", "kwargs"), OUT)
def test_nothing_told_to_tensorboard_lands_outside_of_its_folder(
    method: str, args: Any, kwargs: Any, tmp_path: Path
) -> None:
    (tmp_path / "victim").mkdir()
    logger = pl.loggers.TensorBoardLogger(tmp_path / "project" / "runs")
    given = recorder._given([list(args), kwargs], {}, method)
    with pytest.raises(Malformed, match=method):
        tell([logger], [Call(0, 0, method, given)], {})
    logger.finalize("success")
    assert list((tmp_path / "victim").iterdir()) == []
    assert {each.name for each in tmp_path.iterdir()} <= {"victim", "project"}


def test_tensorboard_is_told_what_it_would_have_heard_here(tmp_path: Path) -> None:
    logger = pl.loggers.TensorBoardLogger(tmp_path)
    made = recorder.Calls({})
    made.add(0, "log_hyperparams", [{"a": 1}, {"hp/metric": 0.5}], {})
    made.add(0, "experiment.add_scalars", ["losses", {"train": 1.0, "deep/val": 2.0}, 3], {})
    made.add(0, "experiment.add_embedding", [torch.eye(2)], {"metadata": ["../a", "b"]})
    made.add(0, "experiment.add_hparams", [{"a": 1}, {"b": 1.0}], {"run_name": "first"})
    made.add(0, "experiment.add_text", ["note", "see ../.. and https://example.com"], {})
    tell([logger], made.made, {})
    logger.finalize("success")
    found = {
        each.relative_to(logger.log_dir).as_posix() for each in Path(logger.log_dir).rglob("*")
    }
    assert {"losses_train", "losses_deep/val", "00000/default/metadata.tsv", "first"} <= found


def test_lines_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show([Line(0, "stdout", "a\x1b[2Jb\tc"), Line(0, "stderr", "x\ry"), Line(1, "warning", "w")])
    said = capsys.readouterr()
    assert said.out == "a[2Jb\tc\n"
    assert said.err == "xy\nw\n"


@pytest.fixture
def back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Return:
    monkeypatch.chdir(tmp_path)
    pl = importlib.import_module("pytorch_lightning")
    model = importlib.import_module("pytorch_lightning.demos.boring_classes").BoringModel()
    trainer = pl.Trainer(default_root_dir=tmp_path / "runs", logger=False, accelerator="cpu")
    trainer.state.fn = importlib.import_module("pytorch_lightning.trainer.states").TrainerFn.FITTING
    call = (trainer, trainer._fit_impl, (model,), {})
    return Return(*call, capture(*call))


def test_a_checkpoint_becomes_what_torch_reads(back: Return, tmp_path: Path) -> None:
    weights = OrderedDict(w=torch.randn(4, 3).T, b=torch.zeros(3))
    content = {
        "state_dict": weights,
        "epoch": 3,
        "where": str(tmp_path / "runs/checkpoints/last.ckpt"),
        "hyper_parameters": {"rate": 0.1, "sizes": (1, 2)},
    }
    stored = tmp_path / "files"
    stored.mkdir()
    state.write_container(content, stored / "x", folders=back.places)
    digest = digest_of((stored / "x").read_bytes())
    (stored / "x").rename(stored / digest.hex())
    back.deliver([outputs(file("a/last.ckpt", digest, form="checkpoint"))], stored)
    found = torch.load(tmp_path / "runs/a/last.ckpt", weights_only=False)
    assert found["where"] == content["where"]
    assert found["hyper_parameters"] == content["hyper_parameters"]
    assert type(found["state_dict"]) is OrderedDict
    assert torch.equal(found["state_dict"]["w"], weights["w"])
    assert found["state_dict"]["w"].stride() == weights["w"].stride()


@pytest.mark.parametrize("content", [b"", b"GSTATE1\n" + bytes(100), b"\x80\x02cos\nsystem\n."])
def test_a_checkpoint_that_is_no_state_is_refused(
    back: Return, tmp_path: Path, content: bytes
) -> None:
    stored = tmp_path / "files"
    stored.mkdir()
    digest = digest_of(content)
    (stored / digest.hex()).write_bytes(content)
    with pytest.raises(GensynError):
        back.deliver([outputs(file("last.ckpt", digest, form="checkpoint"))], stored)
    assert not (tmp_path / "runs/last.ckpt").exists()


@pytest.mark.parametrize(
    "bad",
    [
        file("../escape"),
        file("x", folder="cwd"),
        file("x", link="../../etc/passwd"),
        file("x", link="/etc/passwd"),
    ],
    ids=["path", "folder", "link up", "link away"],
)
def test_a_file_that_would_leave_its_folder_is_refused(
    back: Return, tmp_path: Path, bad: File
) -> None:
    stored = tmp_path / "files"
    stored.mkdir()
    (stored / NAMED.hex()).write_bytes(b"1234")
    with pytest.raises(GensynError):
        back.deliver([outputs(bad)], stored)
    assert {each.name for each in tmp_path.iterdir()} <= {"files", "runs"}


def written(module: torch.nn.Module) -> dict[str, Any]:
    return {"model": {**dict(module.named_parameters()), **dict(module.named_buffers())}}


class Two(pl.LightningModule):
    """A layer and a buffer that grows while it trains."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = torch.nn.Linear(2, width)
        self.register_buffer("seen", torch.zeros(width))


@pytest.mark.parametrize(
    ("other", "odd"),
    [
        (torch.nn.Linear(2, 3), r"other parameters than the state: .*net.weight"),
        (
            torch.nn.ModuleDict({"net": torch.nn.Linear(2, 3), "more": torch.nn.Linear(2, 3)}),
            "more",
        ),
        (Two(4), r"net.weight is \[4, 2\] of float32 there, \[3, 2\] of float32 here"),
        (Two(3).double(), "net.weight is .* of float64 there"),
    ],
)
def test_a_state_of_another_model_is_told_apart(other: torch.nn.Module, odd: str) -> None:
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(Two(3))
    with pytest.raises(StateError, match=odd):
        snapshot.must_match(trainer, written(other))


def test_a_state_whose_buffers_grew_is_of_the_same_model() -> None:
    trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(Two(3))
    other = Two(3)
    other.seen = torch.zeros(9)
    snapshot.must_match(trainer, written(other))
