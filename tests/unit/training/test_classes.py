"""Classes are found where they are loaded already, or where a program's functions look."""

import sys
import types
from types import SimpleNamespace
from typing import Any

import torch

from gensyn_lightning.training.classes import Classes, find_loaded


def by_value() -> Any:
    """Return an object whose class travelled as code: its module exists nowhere."""
    module = types.ModuleType("elsewhere")
    code = """
class Inner:
    pass

class Model:
    class Part:
        pass

    def step(self):
        return Inner()
"""
    exec(code, vars(module))
    return vars(module)["Model"]()


def test_a_class_that_travelled_as_code_is_found() -> None:
    model = by_value()
    program = SimpleNamespace(
        args=(model,), kwargs={}, trainer=SimpleNamespace(callbacks=[], datamodule=None)
    )
    classes = Classes(program)  # type: ignore[arg-type]
    assert classes.resolve("elsewhere:Inner") is type(model.step())
    assert classes.resolve("elsewhere:Model.Part") is type(model).Part
    assert classes.resolve("elsewhere:step") is None
    assert classes.resolve("other:Inner") is None


def test_what_is_loaded_is_found_and_nothing_is_imported() -> None:
    assert find_loaded("torch.nn:Linear") is torch.nn.Linear
    assert find_loaded("torch.nn.functional:mse_loss") is torch.nn.functional.mse_loss
    assert find_loaded("torch.nn:nothing.at.all") is None
    sys.modules.pop("this", None)
    assert find_loaded("this:s") is None
    assert "this" not in sys.modules
