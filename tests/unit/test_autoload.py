"""The strategy's name is known without importing us, and `import torch` never breaks."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""
MODULES = {
    "safe-pysha3": "sha3",
    "grpcio": "grpc",
    "protobuf": "google",
    "eth-account": "eth_account",
    "eth-tester": "eth_tester",
    "py-evm": "eth",
    "ipython": "IPython",
}
NEEDED_BY_LIGHTNING = {"torch", "pytorch-lightning", "torchmetrics", "numpy"}


def dependencies() -> list[str]:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    lines = config["options"]["install_requires"].split()
    names = [re.split(r"[^A-Za-z0-9-]", line, maxsplit=1)[0] for line in lines]
    return [name for name in names if name and name not in NEEDED_BY_LIGHTNING]


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def build(package: str) -> str:
    return (
        f"import {package} as pl; "
        'trainer = pl.Trainer(strategy="gensyn", logger=False, accelerator="cpu"); '
        "print(type(trainer.strategy).__name__, type(trainer.strategy.launcher).__name__)"
    )


@pytest.mark.parametrize(
    "code",
    [
        build("pytorch_lightning"),
        build("lightning.pytorch"),
        build("pytorch_lightning") + "; " + build("lightning.pytorch"),
        build("lightning"),
    ],
    ids=["pytorch_lightning", "lightning.pytorch", "both at once", "lightning"],
)
def test_the_name_is_known_without_importing_us(code: str) -> None:
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split("\n")) - {""} == {"GensynStrategy GensynLauncher"}


@pytest.mark.parametrize("order", ["before", "after"])
def test_importing_us_is_enough_where_torch_loads_no_plugins(order: str) -> None:
    ours = "import gensyn_lightning"
    lightning = "import pytorch_lightning"
    first, second = (ours, lightning) if order == "before" else (lightning, ours)
    done = run(
        f"{first}; {second}; " + build("pytorch_lightning"), TORCH_DEVICE_BACKEND_AUTOLOAD="0"
    )
    assert done.returncode == 0, done.stderr


def test_torch_loads_with_every_dependency_missing() -> None:
    names = sorted({MODULES.get(name, name.replace("-", "_")) for name in dependencies()})
    assert len(names) > 15
    everything = BLOCKER.format(missing=set(names)) + "import torch; torch.zeros(1)"
    done = run(everything)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", ["pytorch_lightning", "lightning.pytorch"])
def test_lightning_trains_as_ever_without_what_only_we_need(package: str) -> None:
    ours = {"cloudpickle", "blake3", "grpc", "web3", "coincurve", "Crypto", "safetensors"}
    code = BLOCKER.format(missing=ours) + (
        f"import {package} as pl; pl.Trainer(strategy='auto', logger=False, accelerator='cpu')"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_what_goes_wrong_inside_stays_inside() -> None:
    code = """
import sys
class Bad(dict):
    def __contains__(self, key):
        raise RuntimeError("a registry of another version")
import types
module = types.ModuleType("pytorch_lightning.strategies")
module.StrategyRegistry = Bad()
sys.modules[module.__name__] = module
from gensyn_lightning import _autoload
_autoload.install()
print(_autoload.failures)
"""
    done = run(code, TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    assert done.returncode == 0, done.stderr
    assert "a registry of another version" in done.stdout


def test_installing_loads_neither_torch_nor_lightning() -> None:
    code = (
        "import sys; from gensyn_lightning import _autoload; _autoload.install(); "
        'print({"torch", "lightning", "pytorch_lightning", "grpc"} & sys.modules.keys())'
    )
    assert run(code).stdout.strip() == "set()"
