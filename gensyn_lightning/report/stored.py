"""A tensor as a file holds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stored:
    """Its raw bytes in row-major order are `data`, None when they cannot be told from the file.

    What is stored under a tensor's name without being known to be one has no dtype.
    """

    dtype: str
    shape: tuple[int, ...]
    data: memoryview | None
