"""What of torch goes around its own operators, and is switched off under `reproducible()`.

oneDNN and NNPACK answer for whole layers, the fast path of `nn.TransformerEncoderLayer` for whole
blocks, the TorchScript fuser and `torch.compile` for whole programs. Compiled functions run
uncompiled instead. Which attention torch itself would choose depends on strides: it may only take
it apart into operators. Flushing of subnormal numbers is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from gensyn_lightning.errors import NotReproducible

# How each is read and set.
_FLAGS: tuple[tuple[Callable[[], bool], Callable[[bool], object]], ...] = (
    (torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled),
    (torch._C._get_nnpack_enabled, torch._C._set_nnpack_enabled),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
    (torch._C._jit_texpr_fuser_enabled, torch._C._jit_set_texpr_fuser_enabled),
    (torch._C._jit_can_fuse_on_cpu, torch._C._jit_override_can_fuse_on_cpu),
    (torch._C._get_flash_sdp_enabled, torch._C._set_sdp_use_flash),
    (
        torch._C._get_math_sdp_allow_fp16_bf16_reduction,
        torch._C._set_math_sdp_allow_fp16_bf16_reduction,
    ),
)
# What takes attention apart must be there, whatever is chosen outside.
_NEEDED: tuple[tuple[Callable[[], bool], Callable[[bool], object]], ...] = (
    (torch._C._get_math_sdp_enabled, torch._C._set_sdp_use_math),
)


@contextmanager
def switched_off() -> Iterator[None]:
    """Have all of it off meanwhile; raise `NotReproducible` if subnormals are flushed."""
    check_subnormals()
    with ExitStack() as stack:
        for read, write in (*_FLAGS, *_NEEDED):
            stack.callback(write, read())
            write((read, write) in _NEEDED)
        stack.enter_context(_eager())
        stack.enter_context(_replaced(torch, "set_flush_denormal", _set_flush_denormal))
        yield


def check_subnormals() -> None:
    """Raise `NotReproducible` if this thread turns subnormal numbers into zeros."""
    smallest_normal = sys.float_info.min
    if smallest_normal / 2 == 0:
        raise NotReproducible(
            "subnormal numbers are flushed to zero", hint="call torch.set_flush_denormal(False)"
        )


def _set_flush_denormal(mode: bool) -> bool:
    if mode:
        raise NotReproducible(
            "torch.set_flush_denormal(True) changes what every operator computes",
            hint="leave it out: reproducible kernels are not slowed down much by subnormals",
        )
    return _stock_flush(mode)


_stock_flush: Callable[[bool], bool] = torch.set_flush_denormal


@contextmanager
def _eager() -> Iterator[None]:
    """Have compiled functions run uncompiled, also those compiled meanwhile.

    Dynamo takes seconds to import: where nobody has, it is told when `torch.compile` is called.
    """
    before: list[Any] = []

    def hold() -> None:
        if not before:
            from torch._dynamo import eval_frame

            before.append(eval_frame._set_stance(eval_frame.DynamoStance("force_eager")))

    def compile_later(*args: Any, **kwargs: Any) -> Any:
        made = stock(*args, **kwargs)
        hold()
        return made

    stock = torch.compile
    if "torch._dynamo" in sys.modules:
        hold()
    try:
        with _replaced(torch, "compile", compile_later):
            yield
    finally:
        if before:
            from torch._dynamo import eval_frame

            eval_frame._set_stance(before[0])


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
