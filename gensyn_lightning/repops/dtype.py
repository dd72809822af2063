"""The element types operators know, by the codes torch and the kernels use for them."""

from __future__ import annotations

from enum import IntEnum


class Dtype(IntEnum):
    """An element type; the value is torch's own code."""

    U8 = 0
    I8 = 1
    I16 = 2
    I32 = 3
    I64 = 4
    F16 = 5
    F32 = 6
    F64 = 7
    BOOL = 11
    BF16 = 15

    @property
    def kind(self) -> str:
        """What an element is as a word: `f` widened to binary32, `d` binary64, `i` an integer."""
        if self in (Dtype.F16, Dtype.F32, Dtype.BF16):
            return "f"
        return "d" if self is Dtype.F64 else "i"

    @property
    def is_floating(self) -> bool:
        """Whether elements are binary floating point."""
        return self.kind != "i"

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return _ITEM_BYTES[self]


_ITEM_BYTES = {
    Dtype.U8: 1,
    Dtype.I8: 1,
    Dtype.I16: 2,
    Dtype.I32: 4,
    Dtype.I64: 8,
    Dtype.F16: 2,
    Dtype.F32: 4,
    Dtype.F64: 8,
    Dtype.BOOL: 1,
    Dtype.BF16: 2,
}
