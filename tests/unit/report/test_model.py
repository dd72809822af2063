from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from zips import records, saved, zipped

from gensyn_lightning.protocol.digest import digest_of
from gensyn_lightning.report.finding import Findings, Result
from gensyn_lightning.report.model import check
from gensyn_lightning.training.leaf import Leaf

BYTES = {"net.weight": bytes(range(24)), "net.bias": bytes(12)}
DEEP = (1 << 16).to_bytes(8, "little") + b"[" * (1 << 16)
SHAPES = {"net.weight": (2, 3), "net.bias": (3,)}


def leaves() -> list[Leaf]:
    return [
        Leaf(f"model/{name}", "parameter", digest_of(BYTES[name]), "float32", SHAPES[name])
        for name in sorted(BYTES)
    ] + [Leaf("optimizers/0/net.weight", "tensor", digest_of(b"x"), "float32", (1,))]


def safetensors(path: Path, data: Mapping[str, bytes] = BYTES, **changes: Any) -> Path:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, each in data.items():
        row = {"dtype": "F32", "shape": list(SHAPES.get(name, (len(each) // 4,)))}
        header[name] = row | {"data_offsets": [len(body), len(body) + len(each)]} | changes
        body += each
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def tensors(data: Mapping[str, bytes] = BYTES) -> dict[str, Any]:
    import torch

    return {
        name: torch.frombuffer(bytearray(each), dtype=torch.float32).reshape(
            SHAPES.get(name, (len(each) // 4,))
        )
        for name, each in data.items()
    }


def checkpoint(path: Path, data: Mapping[str, bytes] = BYTES, **more: Any) -> Path:
    return saved({"epoch": 3, "state_dict": tensors(data), **more}, path)


def result_of(path: Path, of: list[Leaf] | None = None) -> tuple[Result, str]:
    findings = Findings()
    check(findings, leaves() if of is None else of, path)
    [line] = findings.lines
    return line.result, line.detail


def test_a_safetensors_file_is_compared_by_name_and_bits(tmp_path: Path) -> None:
    assert result_of(safetensors(tmp_path / "m.safetensors"))[0] is Result.PASS


def test_shards_in_a_folder_are_compared_together(tmp_path: Path) -> None:
    for name, data in BYTES.items():
        safetensors(tmp_path / f"{name}.safetensors", {name: data})
    assert result_of(tmp_path)[0] is Result.PASS


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({**BYTES, "net.bias": bytes(11) + b"\1"}, "other bits"),
        ({"net.weight": BYTES["net.weight"]}, "not in the file"),
        ({**BYTES, "net.extra": bytes(4)}, "not part of the model"),
        ({"net.weight": BYTES["net.weight"], "bias": BYTES["net.bias"]}, "not in the file"),
    ],
)
def test_another_model_is_found(tmp_path: Path, data: dict[str, bytes], said: str) -> None:
    for path in (
        safetensors(tmp_path / "m.safetensors", data),
        checkpoint(tmp_path / "m.ckpt", data),
    ):
        result, detail = result_of(path)
        assert result is Result.FAIL
        assert said in detail


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dtype": "I32"}, "another type"),
        ({"shape": [6]}, "another shape"),
        ({"data_offsets": [0, 10**9]}, "outside"),
        ({"data_offsets": [-1, 2]}, "outside"),
        ({"data_offsets": None}, "no safetensors file"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, changes: Any, said: str) -> None:
    result, detail = result_of(safetensors(tmp_path / "m.safetensors", **changes))
    assert result is Result.FAIL
    assert said in detail


def test_a_checkpoint_is_compared_by_name_and_bits(tmp_path: Path) -> None:
    result, detail = result_of(checkpoint(tmp_path / "m.ckpt"))
    assert result is Result.PASS
    assert detail == "2 tensors, by name, type, shape and bits"


def test_a_state_dict_alone_is_compared_too(tmp_path: Path) -> None:
    assert result_of(saved(tensors(), tmp_path / "m.pt"))[0] is Result.PASS


def test_the_models_tensors_elsewhere_in_a_checkpoint_count_for_nothing(tmp_path: Path) -> None:
    poisoned = {name: bytes([7]) * len(each) for name, each in BYTES.items()}
    path = checkpoint(tmp_path / "m.ckpt", poisoned, unused=list(tensors().values()))
    assert result_of(path)[0] is Result.FAIL


def test_swapped_weights_are_found(tmp_path: Path) -> None:
    data = {"a": bytes(range(12)), "b": bytes(range(12, 24))}
    of = [
        Leaf(f"model/{name}", "parameter", digest_of(each), "float32", (3,))
        for name, each in data.items()
    ]
    assert result_of(checkpoint(tmp_path / "m.ckpt", data), of)[0] is Result.PASS
    swapped = {"a": data["b"], "b": data["a"]}
    assert result_of(checkpoint(tmp_path / "m.ckpt", swapped), of)[0] is Result.FAIL


def test_a_compressed_checkpoint_is_not_inflated(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "m.ckpt")
    zipped(path, records(path), zipfile.ZIP_DEFLATED)
    assert result_of(path)[0] is Result.FAIL


def test_a_record_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "m.ckpt")
    zipped(path, [*records(path), ("archive/data/0", bytes(24))])
    result, detail = result_of(path)
    assert result is Result.FAIL
    assert "two entries" in detail


def test_tensors_that_share_memory_are_compared_in_a_checkpoint(tmp_path: Path) -> None:
    import torch

    from gensyn_lightning.training import state

    whole = torch.arange(12.0).reshape(3, 4)
    held = {"whole": whole, "row": whole[1], "tied": whole, "turned": torch.rand(2, 3)}
    of = list(state.encode({"model": held}).leaves)
    path = saved({"state_dict": held}, tmp_path / "m.ckpt")
    assert [each.path for each in of if each.alias] == ["model/row"]
    assert result_of(path, of)[0] is Result.PASS
    for other in ({"row": whole[2]}, {"tied": whole + 1}):
        path = saved({"state_dict": held | other}, tmp_path / "m.ckpt")
        assert result_of(path, of)[0] is Result.FAIL
    turned = held["turned"].T.contiguous().T
    result, detail = result_of(saved({"state_dict": held | {"turned": turned}}, path), of)
    assert result is Result.OPEN
    assert "turned" in detail


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def test_what_loading_would_run_leaves_a_checkpoint_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for more in ({"callbacks": Evil()}, {"state_dict": Evil()}):
        result, detail = result_of(checkpoint(tmp_path / "m.ckpt", **more))
        assert result is Result.OPEN
        assert "system, and loading the file would run that" in detail
    path = checkpoint(tmp_path / "m.ckpt", {**BYTES, "net.bias": bytes(11) + b"\1"}, more=Evil())
    assert result_of(path)[0] is Result.FAIL
    assert not (tmp_path / "ran").exists()


def test_what_is_no_tensor_in_a_state_dict_stays_open(tmp_path: Path) -> None:
    state = {**tensors(), "net._extra_state": 1}
    assert result_of(checkpoint(tmp_path / "m.ckpt", state_dict=state))[0] is Result.OPEN


@pytest.mark.parametrize(("dtype", "shape"), [("int32", (3,)), ("float32", (3, 1))])
def test_a_tensor_of_another_type_or_shape_is_found_in_a_checkpoint(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    import torch

    state = {**tensors(), "net.bias": torch.zeros(shape, dtype=getattr(torch, dtype))}
    result, detail = result_of(checkpoint(tmp_path / "m.ckpt", state_dict=state))
    assert result is Result.FAIL
    assert "net.bias" in detail


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"\xff" * 8, bytes(8), DEEP])
@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_rubbish_is_refused(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(data)
    assert result_of(path)[0] is Result.FAIL


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert result_of(tmp_path / "m.ckpt")[0] is Result.FAIL


def test_a_file_the_fit_wrote_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"loss\n1\n")
    row = {"digest": digest_of(b"loss\n1\n").hex(), "form": "bytes", "path": "m", "segment": 2}
    findings = Findings()
    check(findings, leaves(), path, [row])
    assert findings.lines[0].result is Result.PASS
    assert "segment 2" in findings.lines[0].detail


def test_without_leaves_nothing_is_compared(tmp_path: Path) -> None:
    assert result_of(checkpoint(tmp_path / "m.ckpt"), [])[0] is Result.OPEN


def test_checkpoints_of_before_the_zip_are_refused(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "m.ckpt"
    torch.save({"state_dict": tensors()}, path, _use_new_zipfile_serialization=False)
    assert result_of(path)[0] is Result.FAIL
