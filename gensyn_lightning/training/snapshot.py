"""The state of a fit as one plain value, and a freshly built trainer put into such a state.

The sections of the value: `model` (parameters and buffers by name), `gradients`, `optimizers`,
`schedulers`, `precision`, `generators`, `loops`, `loaders`, `metrics` (what was logged),
`attributes` (of modules and datamodule), `callbacks`, `trainer` and, inside a run, `progress`.

A finished fit has no loaders, pending gradients or clock readings, and nothing of it depends on
where it ran: `take(trainer, final=True)` is the same after a plain local fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from gensyn_lightning.errors import Malformed, StateError
from gensyn_lightning.training import (
    finished,
    loops,
    objects,
    optimizing,
    randomness,
    results,
    surroundings,
)
from gensyn_lightning.training.objects import Entries
from gensyn_lightning.training.refit import refit

if TYPE_CHECKING:
    from gensyn_lightning.training.run import Run

_SECTIONS = {
    "model": "attributes",
    "datamodule": "attributes",
    "callbacks": "callbacks",
    "precision": "precision",
    "optimizers": "optimizers",
    "schedulers": "schedulers",
    "loops": "loops",
    "trainer": "trainer",
    "logs": "metrics",
}


def take(trainer: Any, *, final: bool = False) -> dict[str, Any]:
    """Return the state of a fit that a `Run` is in, or with `final` of one that is over.

    Tensors in the value are the live ones. Raises `StateError` naming what cannot be expressed.
    """
    found = surroundings.places(trainer)
    known = surroundings.by_identity(found)
    nodes = objects.walk(surroundings.roots(trainer), known)
    value: dict[str, Any] = {section: {} for section in sorted(set(_SECTIONS.values()))}
    value["model"] = _model(trainer)
    value["generators"] = randomness.read()
    for path, optimizer in optimizing.optimizers(trainer):
        value["optimizers"][path] = optimizing.write(optimizer, known)
    if final:
        entries, _ = objects.everything(nodes, known)
        entries = finished.without_circumstances(trainer, entries)
    else:
        run: Run = vars(trainer.fit_loop)[loops.ATTRIBUTE]
        _must_have_kept(run.names, value["model"])
        entries = objects.capture(objects.without_iterators(nodes), run.baseline, known)
        _write_run(trainer, run, value, known)
    for path, entry in entries.items():
        value[_SECTIONS[path.partition("/")[0]]][path] = entry
    return value


def restore(trainer: Any, value: Mapping[str, Any]) -> None:
    """Put a trainer that was set up for the same program into the state that `take` returned.

    Optimizers must exist. What the state does not name stays as it is.
    """
    run: Run | None = vars(trainer.fit_loop).get(loops.ATTRIBUTE)
    _restore_model(trainer, value["model"])
    found = surroundings.places(trainer)
    known = surroundings.by_identity(found)
    for path, optimizer in optimizing.optimizers(trainer):
        if path in value["optimizers"]:
            optimizing.read(optimizer, value["optimizers"][path], found)
    baseline = None if run is None else run.baseline
    roots = list(surroundings.roots(trainer))
    entries = entries_of(value)
    before = {} if run is None else run.loaders.before(value["loaders"])
    refit(roots, entries | before, known, found, baseline)
    if run is not None:
        _restore_run(trainer, run, value)
        refit(roots, entries, known, found, baseline)
    randomness.write(value["generators"])


def entries_of(value: Mapping[str, Any]) -> Entries:
    """Return what a state says of the program's objects; raise `Malformed` if it is none."""
    found: Entries = {}
    for section in sorted(set(_SECTIONS.values())):
        if not isinstance(value.get(section), Mapping):
            raise Malformed(f"the state has no {section}")
        for path, entry in value[section].items():
            if "/" not in path or (isinstance(entry, Mapping) and "groups" in entry):
                continue
            if _SECTIONS.get(path.partition("/")[0]) != section or not isinstance(entry, Mapping):
                raise Malformed(f"{path[:80]} does not belong into the state's {section}")
            found[path] = dict(entry)
    return found


def must_match(trainer: Any, value: Mapping[str, Any]) -> None:
    """Raise `StateError` unless a state is one of the trainer's own model, by names and shapes.

    This is for a state that another program may have left; buffers may grow while one trains.
    """
    written = value["model"]
    _must_have_names(_model(trainer), written)
    for name, tensor in trainer.strategy._lightning_module.named_parameters():
        there = written[name]
        if (there.shape, there.dtype) != (tensor.shape, tensor.dtype):
            raise StateError(
                f"another model was trained: {name} is {_form(there)} there, {_form(tensor)} here",
                hint="take it back with the program that was sent",
            )


def names(trainer: Any) -> list[str]:
    """Return what the model's parameters and buffers are called, in order."""
    return list(_model(trainer))


def _must_have_kept(before: list[str], model: Mapping[str, Any]) -> None:
    if list(model) != before:
        odd = sorted(set(model) ^ set(before))[:4]
        raise StateError(
            f"training gave the model other parameters or buffers: {odd}",
            hint="make every module in setup() or configure_model(); what adds some while it "
            "trains, as pruning with masks does, cannot be cut into segments",
        )


def _must_have_names(live: Mapping[str, Any], written: Mapping[str, Any]) -> None:
    if list(live) != list(written):
        odd = sorted(set(live) ^ set(written))[:4]
        raise StateError(
            f"the model has other parameters than the state: {odd}",
            hint="make every module in setup() or configure_model()",
        )


def _form(tensor: torch.Tensor) -> str:
    return f"{list(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"


def stays_out(trainer: Any) -> list[str]:
    """Return what a fit that is over made during training and no state can carry, by path."""
    run: Run = vars(trainer.fit_loop)[loops.ATTRIBUTE]
    if not run.running:
        return []
    present = run.baseline.present
    found: list[str] = []
    known = surroundings.by_identity(surroundings.places(trainer))
    for node in objects.walk(surroundings.roots(trainer), known):
        new = node.kind == "opaque" and present.get(node.path) is not node.value
        new |= node.kind == "object" and type(present.get(node.path)) is not type(node.value)
        inside = any(node.path.startswith(f"{each}/") for each in found)
        if new and not inside and node.path.startswith(("model/", "datamodule/", "callbacks/")):
            found.append(node.path)
    return found


def _model(trainer: Any) -> dict[str, Any]:
    model = trainer.strategy._lightning_module
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


def _restore_model(trainer: Any, written: Mapping[str, torch.Tensor]) -> None:
    live = _model(trainer)
    _must_have_names(live, written)
    for name, tensor in live.items():
        tensor.data = written[name].detach()
        if tensor.requires_grad != written[name].requires_grad and tensor.is_leaf:
            tensor.requires_grad_(written[name].requires_grad)


def _write_run(trainer: Any, run: Run, value: dict[str, Any], known: Mapping[int, str]) -> None:
    model = trainer.strategy._lightning_module
    epoch_loop = trainer.fit_loop.epoch_loop
    value["gradients"] = {
        known[id(each)]: each.grad
        for each in (*model.parameters(), *(each for _, each in optimizing.parameters(trainer)))
        if each.grad is not None
    }
    value["metrics"]["training"] = results.write(epoch_loop._results, known)
    value["metrics"]["validation"] = results.write(epoch_loop.val_loop._results, known)
    value["loaders"] = run.loaders.written(mid_epoch=run.mid_epoch)
    value["progress"] = run.written()


def _restore_run(trainer: Any, run: Run, value: Mapping[str, Any]) -> None:
    found = surroundings.places(trainer)
    flavour = surroundings.flavour_of(trainer)
    for each in trainer.strategy._lightning_module.parameters():
        each.grad = None
    for path, gradient in value["gradients"].items():
        found[path].grad = gradient
    run.read(value["progress"])
    run.loaders.sleep(False)
    run.loaders.rebuild(value["loaders"])
    run.loaders.rewind(value["loaders"])
    epoch_loop = trainer.fit_loop.epoch_loop
    metrics = value["metrics"]
    for collection, name in (
        (epoch_loop._results, "training"),
        (epoch_loop.val_loop._results, "validation"),
    ):
        results.read(collection, metrics[name], found, trainer, flavour)
