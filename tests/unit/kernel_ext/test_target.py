from __future__ import annotations

from typing import Any

import lightning.pytorch as new
import pytest
import pytorch_lightning as old
import torch

from gensyn_lightning.errors import ConfigError
from kernel_ext.target import find, flavour_of, left_by_cell


def model_of(package: Any) -> Any:
    return type("Model", (package.LightningModule,), {})()


@pytest.mark.parametrize("package", [new, old], ids=["lightning", "pytorch_lightning"])
def test_a_tuple_gives_trainer_model_and_data(package: Any) -> None:
    trainer, model = package.Trainer(max_epochs=1, logger=False), model_of(package)
    data = torch.utils.data.DataLoader([1, 2])
    found = find({"job": (trainer, model, data)}, "job")
    assert (found.trainer, found.model, found.data) == (trainer, model, data)
    assert flavour_of(model) == package.__name__


@pytest.mark.parametrize("package", [new, old], ids=["lightning", "pytorch_lightning"])
def test_a_model_alone_gets_a_trainer_of_its_package(package: Any) -> None:
    found = find({"net": model_of(package)}, "net", epochs=3)
    assert isinstance(found.trainer, package.Trainer)
    assert found.trainer.max_epochs == 3


def test_names_of_trainer_and_data_are_looked_up() -> None:
    trainer, model = new.Trainer(max_epochs=1, logger=False), model_of(new)
    space = {"net": model, "t": trainer, "d": [1]}
    found = find(space, "net", trainer="t", data="d")
    assert (found.trainer, found.data) == (trainer, [1])


def test_a_cell_leaves_its_parts_under_the_usual_names() -> None:
    model, module = model_of(new), new.LightningDataModule()
    found = left_by_cell({"model": model, "datamodule": module, "train_loader": None})
    assert (found.model, found.data) == (model, module)


@pytest.mark.parametrize("value", [1, (1, 2), (), "text"])
def test_what_cannot_be_fitted_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="not something to fit"):
        find({"x": value}, "x")


def test_epochs_do_not_override_a_trainer() -> None:
    space = {"pair": (new.Trainer(max_epochs=1, logger=False), model_of(new))}
    with pytest.raises(ConfigError, match="without a trainer"):
        find(space, "pair", epochs=2)
