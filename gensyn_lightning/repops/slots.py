"""Finds the slots through which loaded libraries call functions of one another, and refills them.

A library calls what another one defines through an address that the loader puts into a table of
the caller's. The loader's own records say which slot is for which function. ELF on Linux only.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

_PT_DYNAMIC, _PT_GNU_RELRO = 2, 0x6474E552
_DT_PLTRELSZ, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ, _DT_JMPREL = 2, 5, 6, 7, 8, 23
# A slot for calls, a slot for an address, an address in data: x86-64, then aarch64.
_KINDS = (7, 6, 1, 1026, 1025, 257)
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PROT_READ, _PROT_WRITE = 1, 2
_RELOCATION = np.dtype([("offset", "<u8"), ("kind", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])
_SYMBOL = np.dtype(
    [
        ("name", "<u4"),
        ("info", "u1"),
        ("other", "u1"),
        ("section", "<u2"),
        ("value", "<u8"),
        ("size", "<u8"),
    ]
)


_seen: dict[tuple[int, bytes], Loaded | None] = {}


class _Segment(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("physical", ctypes.c_uint64),
        ("bytes_in_file", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("alignment", ctypes.c_uint64),
    )


class _Info(ctypes.Structure):
    _fields_ = (
        ("address", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("segments", ctypes.POINTER(_Segment)),
        ("segment_count", ctypes.c_uint16),
        ("loads", ctypes.c_ulonglong),
    )


class _Tag(ctypes.Structure):
    _fields_ = (("tag", ctypes.c_int64), ("value", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class Loaded:
    """A library, or the program itself, where it lies in memory."""

    address: int
    name: str
    dynamic: int = field(compare=False)
    read_only: range = field(compare=False)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a library keeps the address of a function that it does not define."""

    address: int
    function: str
    read_only: bool

    def read(self) -> int:
        """Return the address of the function."""
        return ctypes.c_uint64.from_address(self.address).value


def libraries() -> list[Loaded]:
    """Return all that is loaded."""
    found: list[Loaded] = []

    def note(info: Any, size: int, data: int) -> int:
        library = _loaded(info.contents)
        if library is not None:
            found.append(library)
        return 0

    kind = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Info), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.PyDLL(None).dl_iterate_phdr(kind(note), None)
    return found


def slots_of(library: Loaded, functions: Collection[str]) -> list[Slot]:
    """Return a library's slots for some functions."""
    tags = _tags(library)
    names, symbols = tags.get(_DT_STRTAB), tags.get(_DT_SYMTAB)
    if names is None or symbols is None:
        return []
    found: list[Slot] = []
    for table, size in ((_DT_RELA, _DT_RELASZ), (_DT_JMPREL, _DT_PLTRELSZ)):
        if not tags.get(size):
            continue
        relocations = _memory(tags[table], tags[size] // _RELOCATION.itemsize, _RELOCATION)
        wanted = relocations[np.isin(relocations["kind"], _KINDS) & (relocations["symbol"] > 0)]
        if not len(wanted):
            continue
        defined = _memory(symbols, int(wanted["symbol"].max()) + 1, _SYMBOL)
        foreign = wanted[defined["section"][wanted["symbol"]] == 0]
        for each in foreign:
            at = names + int(defined["name"][each["symbol"]])
            name = ctypes.string_at(at).decode(errors="replace")
            if name in functions:
                address = library.address + int(each["offset"])
                found.append(Slot(address, name, address in library.read_only))
    return found


def fill(slots: Mapping[Slot, int]) -> None:
    """Put addresses into slots; raise `OSError` where memory cannot be made writable."""
    pages = {page for each in slots if each.read_only for page in _pages(each)}
    for page in pages:
        _protect(page, _PROT_READ | _PROT_WRITE)
    try:
        for slot, address in slots.items():
            ctypes.c_uint64.from_address(slot.address).value = address
    finally:
        for page in pages:
            _protect(page, _PROT_READ)


def _loaded(info: _Info) -> Loaded | None:
    """Return one library, or None where it has no slots; each is looked at in detail once."""
    key = (info.address, info.name or b"")
    if key not in _seen:
        _seen[key] = _look_at(info)
    return _seen[key]


def _look_at(info: _Info) -> Loaded | None:
    name = os.fsdecode(info.name or b"")
    dynamic, read_only = 0, range(0)
    for each in info.segments[: info.segment_count]:
        start = info.address + each.address
        if each.type == _PT_DYNAMIC:
            dynamic = start
        elif each.type == _PT_GNU_RELRO:
            # What the loader protects: whole pages, but for the last if it is shared.
            read_only = range(start // _PAGE * _PAGE, (start + each.bytes) // _PAGE * _PAGE)
    if not dynamic or PurePath(name).name.startswith("linux-vdso"):
        return None
    return Loaded(info.address, name, dynamic, read_only)


def _tags(library: Loaded) -> dict[int, int]:
    """Return the dynamic section; addresses in it are absolute already, but not everywhere."""
    tags: dict[int, int] = {}
    at = library.dynamic
    while (entry := _Tag.from_address(at)).tag:
        tags[entry.tag] = entry.value
        at += ctypes.sizeof(_Tag)
    for each in (_DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_JMPREL):
        if each in tags and tags[each] < library.address:
            tags[each] += library.address
    return tags


def _memory(address: int, count: int, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    memory = (ctypes.c_char * (count * kind.itemsize)).from_address(address)
    return np.frombuffer(memoryview(memory), kind)


def _pages(slot: Slot) -> tuple[int, int]:
    return slot.address // _PAGE * _PAGE, (slot.address + 7) // _PAGE * _PAGE


def _protect(page: int, access: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), access):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "a table of a library's addresses")
