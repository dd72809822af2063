from __future__ import annotations

import pytest
import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.switches import check_subnormals, switched_off


def flags() -> tuple[bool, ...]:
    return (
        torch.backends.mkldnn.enabled,
        torch.backends.mha.get_fastpath_enabled(),
        torch._C._jit_texpr_fuser_enabled(),
    )


def test_what_goes_around_the_operators_is_off_inside_and_as_before_after() -> None:
    before = flags()
    with switched_off():
        assert flags() == (False, False, False)
    assert flags() == before


def test_an_error_restores_them_too() -> None:
    before = flags()
    with pytest.raises(ZeroDivisionError), switched_off():
        raise ZeroDivisionError
    assert flags() == before


def test_flushing_subnormals_is_refused() -> None:
    with switched_off():
        with pytest.raises(NotReproducible, match="set_flush_denormal"):
            torch.set_flush_denormal(True)
        torch.set_flush_denormal(False)
    check_subnormals()


def test_a_thread_that_flushes_subnormals_cannot_enter() -> None:
    if not torch.set_flush_denormal(True):
        pytest.skip("this machine does not flush")
    try:
        with pytest.raises(NotReproducible, match="subnormal"), switched_off():
            pass
    finally:
        torch.set_flush_denormal(False)


def test_compiled_functions_run_uncompiled() -> None:
    compiled: list[object] = []

    def backend(module: torch.fx.GraphModule, inputs: object) -> object:
        compiled.append(module)
        return module.forward

    def twice(x: torch.Tensor) -> torch.Tensor:
        return x + x

    with switched_off():
        inside = torch.compile(twice, backend=backend)
        assert inside(torch.ones(2)).tolist() == [2, 2]
        assert not compiled
    before = torch.compile(twice, backend=backend)
    with switched_off():
        before(torch.ones(2))
        assert not compiled
    before(torch.ones(2))
    assert compiled
