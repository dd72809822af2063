"""The records of a torch checkpoint, found in its zip where torch finds them.

Readers of zips disagree about files made to mislead: which directory counts, which of two entries
of one name, whether it is a zip at all. A file that could be read in two ways is refused.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
from pathlib import Path

from gensyn_lightning.errors import ArtifactError, LimitExceeded

ENTRIES_MAX = 1 << 20

_ENTRY, _LOCAL = b"PK\3\4", 30
_END = struct.Struct("<4s4xHHLLH")
_END_64 = struct.Struct("<4s20xQQQQ")
_LOCATOR = struct.Struct("<4s4xQ4x")


def read(path: Path) -> dict[str, memoryview]:
    """Return the raw bytes of every record by its name inside of the zip's one folder."""
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            start, count = _directory(data)
            if count > ENTRIES_MAX:
                raise LimitExceeded(f"{path.name} has {count} entries")
            with zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                _must(archive.start_dir == start and len(entries) == count, "two directories")
        return _records(data[:start], entries)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, struct.error) as error:
        raise ArtifactError(f"{path.name} is no checkpoint of torch's: {error}") from None


def _directory(data: memoryview) -> tuple[int, int]:
    """Return where the end of the zip says its directory starts, and of how many entries it is."""
    _must(data[: len(_ENTRY)] == _ENTRY, "it does not start as a zip")
    end = len(data) - _END.size
    mark, _, count, _, start, comment = _END.unpack(data[max(end, 0) :])
    _must(mark == b"PK\5\6" and not comment, "it does not end as a zip")
    place = end - _LOCATOR.size
    if place > 0 and bytes(data[place : place + 4]) == b"PK\6\7":
        _, said = _LOCATOR.unpack(data[place:end])
        mark, _, count, _, start = _END_64.unpack(data[place - _END_64.size : place])
        _must(mark == b"PK\6\6" and said == place - _END_64.size, "it has two ends")
    return start, count


def _records(data: memoryview, entries: list[zipfile.ZipInfo]) -> dict[str, memoryview]:
    folder, found, seen = "", {}, set[str]()
    for each in entries:
        name, extra = each.filename, each.extra
        _must(name == each.orig_filename and name.isascii(), "a name in it is not plain")
        # Of several extra fields, readers differ in which one moves an entry.
        _must(not extra or len(extra) == 4 + int.from_bytes(extra[2:4], "little"), "extra fields")
        folder = folder or name.partition("/")[0] + "/"
        _must(name.startswith(folder), f"{name} is in another folder")
        # torch tells no capital letters from small ones where it looks for a name.
        _must(name.lower() not in seen, f"it has two entries called {name}")
        seen.add(name.lower())
        found[name.removeprefix(folder)] = _bytes(data, each)
    _must(sum(map(len, found.values())) <= len(data), "its entries overlap")
    return found


def _bytes(data: memoryview, entry: zipfile.ZipInfo) -> memoryview:
    plain = entry.compress_type == zipfile.ZIP_STORED and entry.compress_size == entry.file_size
    _must(plain, "it is compressed")
    head = data[entry.header_offset : entry.header_offset + _LOCAL]
    _must(len(head) == _LOCAL and head[:4] == _ENTRY, f"{entry.filename} is not where it should be")
    lengths = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    start = entry.header_offset + _LOCAL + lengths
    _must(start + entry.file_size <= len(data), f"{entry.filename} is cut short")
    return data[start : start + entry.file_size]


def _must(holds: bool, message: str) -> None:
    if not holds:
        raise zipfile.BadZipFile(message)
