"""Zips of torch's taken apart and put together again, for tests."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def saved(value: Any, path: Path, protocol: int = 2) -> Path:
    import torch

    stream = io.BytesIO()
    torch.save(value, stream, pickle_protocol=protocol)
    path.write_bytes(stream.getvalue())
    return path


def records(path: Path) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        return [(each.filename, archive.read(each)) for each in archive.infolist()]


def zipped(path: Path, entries: Iterable[tuple[str, bytes]], how: int = 0) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", how) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, how)
    return path


def changed(path: Path, name: str, data: bytes) -> Path:
    """Replace a record, or add one."""
    entries = dict(records(path)) | {f"archive/{name}": data}
    return zipped(path, entries.items())
