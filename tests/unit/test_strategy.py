"""One strategy for both Lightning packages; what it is told reaches the launcher."""

import copy
import importlib
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from gensyn_lightning import GensynStrategy
from gensyn_lightning.errors import ConfigError
from gensyn_lightning.strategy import flavoured

pytestmark = pytest.mark.filterwarnings("ignore")
FLAVOURS = ("pytorch_lightning", "lightning.pytorch")


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_trainer_of_that_package_accepts_it(flavour: str, accelerator: str) -> None:
    pl = importlib.import_module(flavour)
    strategy = GensynStrategy(flavour=flavour, audit="full", verifiers=2, timeout=5)
    trainer = pl.Trainer(strategy=strategy, logger=False, accelerator=accelerator)
    assert trainer.strategy is strategy
    assert isinstance(strategy, GensynStrategy)
    assert strategy.root_device.type == "cpu"
    options = trainer.strategy.launcher.options
    assert options.settings["audit"] == "full"
    assert options.settings["verifiers"] == 2
    assert options.settings["timeout_seconds"] == 5
    assert options.settings["coordinator"] is None
    assert options.verifiers == 2
    assert trainer.strategy.launcher.is_interactive_compatible


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_everything_but_fit_runs_here(flavour: str, tmp_path: Path) -> None:
    pl = importlib.import_module(flavour)
    model = importlib.import_module(f"{flavour}.demos.boring_classes").BoringModel()
    settings: dict[str, Any] = {
        "logger": False,
        "default_root_dir": tmp_path,
        "enable_progress_bar": False,
        "accelerator": "cpu",
        "limit_predict_batches": 2,
    }
    found = []
    for strategy in ("gensyn", "auto"):
        torch.manual_seed(1)  # its data are random
        trainer = pl.Trainer(strategy=strategy, **settings)
        measured = (trainer.validate(model, verbose=False), trainer.test(model, verbose=False))
        found.append((*measured, [each.tolist() for each in trainer.predict(model)]))
    assert found[0] == found[1]


def test_with_both_packages_loaded_the_user_says_which() -> None:
    for flavour in FLAVOURS:
        importlib.import_module(flavour)
    with pytest.raises(ConfigError, match="both Lightning packages"):
        GensynStrategy()
    with pytest.raises(ConfigError):
        GensynStrategy(flavour="tensorflow")


def test_an_option_nobody_knows_is_refused() -> None:
    with pytest.raises(TypeError):
        GensynStrategy(flavour=FLAVOURS[0], coordinater="typo")


def test_the_class_is_made_once_per_package() -> None:
    assert flavoured(FLAVOURS[0]) is flavoured(FLAVOURS[0])
    assert flavoured(FLAVOURS[0]) is not flavoured(FLAVOURS[1])


def test_it_travels_as_the_plain_strategy_and_is_copied_as_itself() -> None:
    strategy = GensynStrategy(flavour=FLAVOURS[0])
    strategy._configure_launcher()
    rebuild, arguments, state = strategy.__reduce_program__()
    travelled = rebuild(*arguments)
    travelled.__dict__.update(state)
    assert type(travelled).__name__ == "SingleDeviceStrategy"
    assert travelled.launcher is None
    assert pickle.loads(pickle.dumps(travelled)).root_device.type == "cpu"
    assert isinstance(copy.deepcopy(strategy), GensynStrategy)
