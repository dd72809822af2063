"""A numerics version names a class of machines, and changes with what changes bits."""

import re
from typing import Any

import pytest

from gensyn_lightning.training import numerics


def test_a_version_is_sixteen_digits() -> None:
    assert re.fullmatch("native:[0-9a-f]{16}", numerics.native_version())


@pytest.mark.parametrize("name", ["ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "MKL_CBWR"])
def test_a_setting_that_changes_bits_changes_the_class(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: Any = numerics.machine()
    monkeypatch.setenv(name, "something else")
    assert numerics.machine() != before
