"""What a fit through segments leaves behind when it does not simply finish."""

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gensyn_lightning.errors import Malformed, ProgramRaised
from gensyn_lightning.node.runner import Runner
from gensyn_lightning.training import returning, state
from gensyn_lightning.training.named import resolve_loaded

pytestmark = pytest.mark.filterwarnings("ignore")
sys.path.insert(0, str(Path(__file__).parent))
pipe = importlib.import_module("pipe")
FLAVOURS = ("pytorch_lightning", "lightning.pytorch")


class Broken(RuntimeError):
    """A user's own exception."""

    def __init__(self, code: int) -> None:
        super().__init__(f"broken with {code}")
        self.code = code


class Made:
    """An object a program makes while it trains."""

    def __init__(self) -> None:
        self.content = [3]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    with pipe.zygote(tmp_path_factory.mktemp("zygote")) as found:
        yield found


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def build(flavour: str, runner: Runner, **options: Any) -> tuple[Any, Any]:
    pl = importlib.import_module(flavour)
    boring = importlib.import_module(f"{flavour}.demos.boring_classes").BoringModel

    class Model(boring):  # type: ignore[misc, valid-type]
        fails_at = -1

        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def on_fit_start(self) -> None:
            self.made_late = torch.nn.Identity()

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if self.count == self.fails_at:
                raise Broken(17)
            self.count += 1
            self.log("loss_now", float(self.count))
            return super().training_step(batch, batch_idx)

    class Watching(pl.Callback):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.exceptions: list[str] = []
            self.where: Path | None = None

        def on_exception(self, trainer: Any, module: Any, exception: BaseException) -> None:
            self.exceptions.append(f"{type(exception).__name__} at {module.count}")

        def on_train_end(self, trainer: Any, module: Any) -> None:
            self.where = Path(trainer.default_root_dir) / "notes" / "said.txt"
            self.where.parent.mkdir(parents=True)
            self.where.write_text("said on the network")
            print("a line from there")

    torch.manual_seed(1)
    settings = {
        "strategy": pipe.strategy(flavour, runner, 5),
        "accelerator": "cpu",
        "default_root_dir": Path.cwd() / "runs",
        "max_epochs": 1,
        "limit_train_batches": 8,
        "limit_val_batches": 2,
        "callbacks": [Watching()],
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "logger": False,
    }
    return pl.Trainer(**(settings | options)), Model()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_users_exception_comes_back_as_itself_with_the_state_until_then(
    flavour: str, runner: Runner
) -> None:
    trainer, model = build(flavour, runner)
    model.fails_at = 6
    with pytest.raises(Broken, match="broken with 17") as caught:
        trainer.fit(model)
    assert caught.value.code == 17
    assert isinstance(caught.value.__cause__, ProgramRaised)
    assert "training_step" in str(caught.value.__cause__)
    assert model.count == 6
    assert trainer.global_step == 6
    assert trainer.state.status.name == "INTERRUPTED"
    assert trainer.callbacks[0].exceptions == ["Broken at 6"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_files_prints_and_late_objects_are_here_afterwards(
    flavour: str, runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer, model = build(flavour, runner)
    trainer.fit(model)
    assert trainer.callbacks[0].where == Path.cwd() / "runs/notes/said.txt"
    assert trainer.callbacks[0].where.read_text() == "said on the network"
    assert capsys.readouterr().out.count("a line from there") == 1
    assert isinstance(model.made_late, torch.nn.Identity)
    assert model.count == 8


def test_what_no_state_can_carry_is_named_and_stays_out(
    runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer, model = build("pytorch_lightning", runner)

    class Hoarding(importlib.import_module("pytorch_lightning").Callback):  # type: ignore[misc]
        def on_train_end(self, trainer: Any, module: Any) -> None:
            self.plain = [1, 2]
            self.lock = threading.Lock()
            self.made = Made()

    trainer.callbacks.append(Hoarding())
    trainer.fit(model)
    hoarding = trainer.callbacks[-1]
    assert hoarding.plain == [1, 2]
    assert not hasattr(hoarding, "lock")
    assert not hasattr(hoarding, "made")
    said = capsys.readouterr().err
    assert "lock" in said
    assert "made" in said


def test_a_link_to_the_last_checkpoint_is_a_link(runner: Runner) -> None:
    checkpoint = importlib.import_module("pytorch_lightning.callbacks").ModelCheckpoint
    callback = checkpoint(dirpath="kept", save_last="link")
    trainer, model = build("pytorch_lightning", runner, callbacks=[callback])
    trainer.fit(model)
    last = Path(callback.last_model_path)
    assert last.is_symlink()
    assert not os.path.isabs(os.readlink(last))
    assert torch.load(last, weights_only=False)["global_step"] == 8


def test_a_tensorboard_style_call_reaches_the_users_own_logger(runner: Runner) -> None:
    loggers = importlib.import_module("pytorch_lightning.loggers")
    logger = loggers.CSVLogger("logs", name="mine")
    trainer, model = build("pytorch_lightning", runner, logger=logger, log_every_n_steps=2)
    trainer.fit(model)
    rows = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    assert rows[0] == "epoch,loss_now,step"
    assert len(rows) == 5


@pytest.mark.parametrize("path", ["trainer/_default_root_dir", "callbacks/0/dirpath"])
def test_a_state_cannot_move_the_folders_of_the_next_fit(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    honest = returning.Return.apply

    def hostile(self: Any, result: Any, **options: Any) -> None:
        value = state.decode(result.state, folders=self.places, resolve=resolve_loaded)
        value[path.partition("/")[0]][path] = {"value": str(tmp_path / "elsewhere")}
        forged = state.encode(value, folders=self.places)
        honest(self, replace(result, state=forged), **options)

    monkeypatch.setattr(returning.Return, "apply", hostile)
    pl = importlib.import_module(FLAVOURS[0])
    saver = pl.callbacks.ModelCheckpoint(dirpath=tmp_path / "kept")
    trainer, model = build(FLAVOURS[0], runner, callbacks=[saver], max_steps=2)
    with pytest.raises(Malformed, match="nothing was declared"):
        trainer.fit(model)
    assert saver.dirpath == str(tmp_path / "kept")
