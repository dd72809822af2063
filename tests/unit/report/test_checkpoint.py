from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from zips import changed, records, saved, zipped

from gensyn_lightning.errors import ArtifactError
from gensyn_lightning.report import checkpoint
from gensyn_lightning.report.finding import Findings, Result
from gensyn_lightning.report.model import check
from gensyn_lightning.report.pickled import Unreadable


def told(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes | None]]:
    return {
        name: (each.dtype, each.shape, None if each.data is None else bytes(each.data))
        for name, each in checkpoint.read(path).stored.items()
    }


def as_torch_has_it(state: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    import torch

    return {
        name: (
            str(each.dtype).removeprefix("torch."),
            tuple(each.shape),
            each.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes(),
        )
        for name, each in state.items()
    }


@pytest.mark.filterwarnings("ignore")  # of Lightning's, of many kinds
def test_a_checkpoint_of_lightnings_trainer_is_read(tmp_path: Path) -> None:
    import pytorch_lightning as pl
    import torch

    from gensyn_lightning.training import snapshot, state

    class Net(pl.LightningModule):
        def __init__(self, width: int, rate: float = 0.1) -> None:
            super().__init__()
            self.save_hyperparameters()
            self.body = torch.nn.Sequential(torch.nn.Linear(5, width), torch.nn.BatchNorm1d(width))
            self.tied = self.body[0]

        def training_step(self, batch: Any, _: int) -> Any:
            return self.body(batch).sum()

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), amsgrad=True)
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]

    trainer = pl.Trainer(max_steps=2, accelerator="cpu", logger=False, default_root_dir=tmp_path)
    model = Net(3)
    loader = torch.utils.data.DataLoader(torch.randn(8, 5), batch_size=4, num_workers=0)
    trainer.fit(model, loader)
    trainer.save_checkpoint(tmp_path / "m.ckpt", weights_only=False)
    assert told(tmp_path / "m.ckpt") == as_torch_has_it(model.state_dict())
    assert len(told(tmp_path / "m.ckpt")) == 9
    assert torch.load(tmp_path / "m.ckpt", weights_only=False)["optimizer_states"][0]["state"]
    assert not checkpoint.read(tmp_path / "m.ckpt").foreign
    findings = Findings()
    leaves = state.encode({"model": snapshot.take(trainer, final=True)["model"]}).leaves
    check(findings, leaves, tmp_path / "m.ckpt")
    assert findings.lines[0].result is Result.PASS, findings.lines[0].detail


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_views_parameters_and_rare_types_are_read(tmp_path: Path, protocol: int) -> None:
    import torch

    whole = torch.arange(24.0).reshape(2, 3, 4)
    state = {
        "whole": whole,
        "later": whole[1],
        "number": whole[1, 2, 3],
        "none": whole[:0],
        "odd strides": torch.rand(3, 4).as_strided((3, 1, 4), (4, 7, 1)),
        "parameter": torch.nn.Parameter(torch.rand(3)),
        "half": torch.rand(3).to(torch.bfloat16),
        "quarter": torch.rand(3).to(torch.float8_e4m3fn),
        "short": torch.tensor([1, 65535], dtype=torch.uint16),
        "truth": torch.tensor([True, False]),
        "complex": torch.rand(2, dtype=torch.complex64),
    }
    path = saved(state, tmp_path / "m.pt", protocol)
    assert told(path) == as_torch_has_it(state)


def test_what_is_not_in_one_piece_has_no_bytes(tmp_path: Path) -> None:
    import torch

    marked = torch.nn.Parameter(torch.rand(2))
    state = {
        "transposed": torch.rand(2, 3).T,
        "conjugate": torch.rand(2, dtype=torch.complex64).conj(),
        "_extra_state": {"a": 1},
    }
    path = saved({"state_dict": state}, tmp_path / "m.pt")
    assert told(path) == {
        "transposed": ("float32", (3, 2), None),
        "conjugate": ("", (), None),
        "_extra_state": ("", (), None),
    }
    marked.note = "attributes may be anything"  # type: ignore[attr-defined]
    path = saved({"state_dict": {"a": marked}}, tmp_path / "m.pt")
    assert checkpoint.read(path).foreign == "torch._utils._rebuild_parameter_with_state"


@pytest.mark.parametrize(
    "value", [[1], {"epoch": 1}, {}, {"state_dict": [1]}, {"state_dict": {1: 2}}]
)
def test_without_a_state_dict_nothing_is_told(tmp_path: Path, value: Any) -> None:
    with pytest.raises(Unreadable):
        checkpoint.read(saved(value, tmp_path / "m.pt"))


def test_a_state_dict_of_another_kind_names_that_kind(tmp_path: Path) -> None:
    import collections

    path = saved({"state_dict": collections.Counter()}, tmp_path / "m.pt")
    with pytest.raises(Unreadable, match=r"collections\.Counter"):
        checkpoint.read(path)


@pytest.mark.parametrize(
    ("record", "data", "error"),
    [
        ("byteorder", b"big", Unreadable),
        ("constants.pkl", b"", Unreadable),  # torch takes it for TorchScript
        ("data/0", bytes(11), ArtifactError),
        ("data/0", bytes(16), ArtifactError),
        ("data.pkl", b"", ArtifactError),
        ("data.pkl", b"\x80\x02}(X\1\0\0\0aNX\1\0\0\0aNu.", Unreadable),
    ],
)
def test_other_records_are_refused(
    tmp_path: Path, record: str, data: bytes, error: type[Exception]
) -> None:
    import torch

    path = saved({"a": torch.rand(3)}, tmp_path / "m.pt")
    assert len(told(path)) == 1
    with pytest.raises(error):
        checkpoint.read(changed(path, record, data))


def test_a_zip_without_a_pickle_or_a_storage_is_refused(tmp_path: Path) -> None:
    import torch

    path = saved({"a": torch.rand(3)}, tmp_path / "m.pt")
    for name in ("archive/data.pkl", "archive/data/0"):
        with pytest.raises(ArtifactError):
            checkpoint.read(
                zipped(tmp_path / "less.pt", [each for each in records(path) if each[0] != name])
            )
