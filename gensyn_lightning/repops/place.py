"""Where in the user's program an operator was called: its line, its module, its backward node."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch

_OWN = str(Path(__file__).parents[1])
_LIBRARIES = ("torch", "lightning", "pytorch_lightning", "lightning_fabric", "torchmetrics")


def where() -> str:
    """Return a phrase that says where the running operator was called; empty if nowhere."""
    frames = list(_frames(sys._getframe(1)))
    parts = [_module(frames), _backward(), _line(frames)]
    return ", ".join(each for each in parts if each)


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _line(frames: list[FrameType]) -> str:
    """Return the innermost line outside of torch, Lightning and ourselves."""
    folders = _folders()
    for each in frames:
        name = each.f_code.co_filename
        if not name.startswith(folders) and not _is_standard(name):
            return f"at {name}:{each.f_lineno}"
    return ""


def _is_standard(name: str) -> bool:
    standard = sysconfig.get_path("stdlib")
    return name.startswith("<frozen") or (name.startswith(standard) and "site-packages" not in name)


def _folders() -> tuple[str, ...]:
    found = [_OWN]
    for each in _LIBRARIES:
        file = getattr(sys.modules.get(each), "__file__", None)
        if file:
            found.append(str(Path(file).parent))
    return tuple(f"{each}/" for each in found)


def _module(frames: list[FrameType]) -> str:
    """Return the innermost running module by its name within the outermost one."""
    running: list[torch.nn.Module] = []
    for each in frames:
        own = _own_module(each)
        if own is not None and (not running or running[-1] is not own):
            running.append(own)
    if not running:
        return ""
    innermost = running[0]
    for outer in reversed(running):
        for name, each in outer.named_modules():
            if each is innermost:
                path = f"{type(outer).__name__}.{name}" if name else type(outer).__name__
                kind = f" ({type(innermost).__name__})" if name else ""
                return f"in module {path}{kind}"
    return f"in module {type(innermost).__name__}"


def _own_module(frame: FrameType) -> torch.nn.Module | None:
    """Return the module that a frame is a method of."""
    code = frame.f_code
    if not code.co_argcount:
        return None
    first = frame.f_locals.get(code.co_varnames[0])
    return first if isinstance(first, torch.nn.Module) else None


def _backward() -> str:
    """Return the backward node that is running, and its forward call where anomaly mode kept it."""
    node: Any = torch._C._current_autograd_node()
    if node is None:
        return ""
    lines = node.metadata.get("traceback_") or []
    own = [each.strip() for each in lines if not any(one in each for one in _folders())]
    forward = f" of the forward call {own[-1]}" if own else ""
    return f"in the backward pass ({node.name()}){forward}"
