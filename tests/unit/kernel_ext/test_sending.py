from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as new
import pytest
import pytorch_lightning as old

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.strategy import GensynStrategy
from kernel_ext.sending import adopt, every_fit


def trainer_of(package: Any, **options: Any) -> Any:
    return package.Trainer(
        max_epochs=1, logger=False, enable_checkpointing=False, accelerator="cpu", **options
    )


@pytest.mark.parametrize("package", [new, old], ids=["lightning", "pytorch_lightning"])
def test_a_trainer_takes_the_strategy_and_keeps_its_plugins(package: Any) -> None:
    trainer = trainer_of(package, precision="bf16-mixed")
    precision = trainer.precision_plugin
    strategy = adopt(trainer)
    assert isinstance(trainer.strategy, GensynStrategy)
    assert trainer.strategy is strategy
    assert trainer.precision_plugin is precision
    assert strategy.accelerator is not None
    assert strategy.launcher is not None


def test_a_trainer_that_has_the_strategy_keeps_it() -> None:
    strategy = GensynStrategy(flavour="lightning.pytorch")
    trainer = new.Trainer(strategy=strategy, logger=False)
    assert adopt(trainer) is strategy


def test_a_trainer_on_many_devices_is_refused() -> None:
    trainer = trainer_of(new, strategy="ddp", devices=2)
    with pytest.raises(ConfigError, match="DDPStrategy"):
        adopt(trainer)


@pytest.mark.parametrize("package", [new, old], ids=["lightning", "pytorch_lightning"])
def test_fits_are_sent_inside_the_block_only(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[Any] = []
    monkeypatch.setattr(package.Trainer, "fit", lambda trainer, model: fitted.append(trainer))
    original, trainer = package.Trainer.fit, trainer_of(package)

    def around(given: Any, fit: Callable[[], Any]) -> str:
        assert (given, fitted) == (trainer, [])
        fit()
        return "done"

    with every_fit(around):
        assert trainer.fit(None) == "done"
    assert fitted == [trainer]
    assert package.Trainer.fit is original


LATE = """
import sys
from kernel_ext.sending import every_fit

sent = []
with every_fit(lambda trainer, fit: sent.append(trainer)):
    assert not {"lightning", "pytorch_lightning"} & sys.modules.keys()
    import theirs
assert sent == [theirs.trainer], sent
assert theirs.Trainer.fit.__module__ == theirs.Trainer.__module__
"""
THEIRS = """
from {package} import Trainer

trainer = Trainer(logger=False, enable_checkpointing=False)
trainer.fit("a model")
"""


@pytest.mark.parametrize("package", ["lightning.pytorch", "lightning", "pytorch_lightning"])
def test_a_package_that_is_first_imported_in_the_block_sends_too(
    package: str, tmp_path: Path
) -> None:
    (tmp_path / "theirs.py").write_text(THEIRS.format(package=package))
    (tmp_path / "late.py").write_text(LATE)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", tmp_path / "late.py"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
