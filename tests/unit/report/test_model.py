from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

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


def checkpoint(path: Path, data: Mapping[str, bytes] = BYTES, how: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("archive/data.pkl", b"never read")
        for place, each in enumerate(data.values()):
            archive.writestr(f"archive/data/{place}", each)
    return path


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
    result, detail = result_of(safetensors(tmp_path / "m.safetensors", data))
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


def test_a_checkpoint_holds_every_tensor_bit_for_bit(tmp_path: Path) -> None:
    result, detail = result_of(checkpoint(tmp_path / "m.ckpt"))
    assert result is Result.PASS
    assert "names are not compared" in detail


def test_a_checkpoint_with_one_other_bit_is_found(tmp_path: Path) -> None:
    data = {**BYTES, "net.bias": bytes(11) + b"\1"}
    assert result_of(checkpoint(tmp_path / "m.ckpt", data))[0] is Result.FAIL


def test_a_compressed_checkpoint_is_not_inflated(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "m.ckpt", how=zipfile.ZIP_DEFLATED)
    assert result_of(path)[0] is Result.FAIL


def test_tensors_that_share_memory_stay_open_in_a_checkpoint(tmp_path: Path) -> None:
    of = [*leaves(), Leaf("model/view", "tensor", digest_of(b""), "float32", (2,), (2,))]
    assert result_of(checkpoint(tmp_path / "m.ckpt"), of)[0] is Result.OPEN


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


def test_torchs_own_checkpoint_is_read(tmp_path: Path) -> None:
    import torch

    weight = torch.frombuffer(bytearray(BYTES["net.weight"]), dtype=torch.float32).reshape(2, 3)
    stream = io.BytesIO()
    torch.save({"state_dict": {"net.weight": weight.clone(), "net.bias": torch.zeros(3)}}, stream)
    (tmp_path / "m.ckpt").write_bytes(stream.getvalue())
    assert result_of(tmp_path / "m.ckpt")[0] is Result.PASS
