"""Optimizers as plain values: parameter groups and state, with parameters by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from gensyn_lightning.errors import StateError

WIRING = frozenset(
    {
        "state",
        "param_groups",
        "defaults",
        "step",
        "_hook_for_profile",
        "_zero_grad_profile_name",
        "_patched_step",
        "_optimizer_step_pre_hooks",
        "_optimizer_step_post_hooks",
        "_optimizer_state_dict_pre_hooks",
        "_optimizer_state_dict_post_hooks",
        "_optimizer_load_state_dict_pre_hooks",
        "_optimizer_load_state_dict_post_hooks",
        "_warned_capturable_if_run_uncaptured",
    }
)


def optimizers(trainer: Any) -> Iterator[tuple[str, torch.optim.Optimizer]]:
    """Yield the trainer's optimizers and those wrapped inside them, by path."""
    for index, outer in enumerate(trainer.strategy.optimizers):
        path = f"optimizers/{index}"
        yield path, outer
        for name, inner in sorted(vars(outer).items()):
            if isinstance(inner, torch.optim.Optimizer):
                yield f"{path}/{name}", inner


def parameters(trainer: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a path for each tensor in each optimizer; the model's own are better known by name."""
    for path, each in optimizers(trainer):
        number = 0
        for group in each.param_groups:
            for tensor in group["params"]:
                yield f"{path}/parameter/{number}", tensor
                number += 1


def write(optimizer: torch.optim.Optimizer, known: Mapping[int, str]) -> dict[str, Any]:
    """Return groups and state, each parameter by its path."""
    groups = [
        {**group, "params": [known[id(each)] for each in group["params"]]}
        for group in optimizer.param_groups
    ]
    of_parameters: dict[str, Any] = {}
    others: dict[Any, Any] = {}
    entries: Mapping[Any, Any] = optimizer.state
    for key, state in entries.items():
        if isinstance(key, torch.Tensor):
            of_parameters[known[id(key)]] = state
        else:
            others[key] = state
    written = {"groups": groups, "state": of_parameters}
    return {**written, "others": others} if others else written


def read(
    optimizer: torch.optim.Optimizer, written: Mapping[str, Any], places: Mapping[str, Any]
) -> None:
    """Make the optimizer hold what `write` returned; its groups stay the dicts they are."""
    groups = [
        {**each, "params": [_place(places, path) for path in each["params"]]}
        for each in written["groups"]
    ]
    live = optimizer.param_groups
    del live[len(groups) :]
    for old, new in zip(live, groups, strict=False):
        old.clear()
        old.update(new)
    live.extend(groups[len(live) :])
    optimizer.state.clear()
    for path, state in written["state"].items():
        optimizer.state[_place(places, path)] = state
    optimizer.state.update(written.get("others", {}))


def _place(places: Mapping[str, Any], path: str) -> Any:
    if path not in places:
        raise StateError(f"an optimizer steps {path}, which this program does not have")
    return places[path]
