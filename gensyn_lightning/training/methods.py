"""Which methods of a logger a program may call from afar, and with what.

Whoever trained a segment chose the arguments, and the user's own loggers are told them. Of some,
Lightning's loggers, TensorBoard's writer and wandb's media make a path, a file to upload, a host
to ask or a call; those are checked here, and everything else stays free text and data. It does not
follow that a logger of another class is safe with what it is told.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from gensyn_lightning.errors import StateError
from gensyn_lightning.training import named

METHODS = frozenset(
    {
        "log_metrics",
        "log_hyperparams",
        "log_image",
        "log_text",
        "log_table",
        "log_audio",
        "log_video",
        "save",
        "finalize",
    }
)
EXPERIMENT_METHODS = frozenset(
    {
        "add_audio",
        "add_custom_scalars",
        "add_embedding",
        "add_histogram",
        "add_hparams",
        "add_image",
        "add_images",
        "add_pr_curve",
        "add_scalar",
        "add_scalars",
        "add_tensor",
        "add_text",
        "flush",
        "log",
        "log_hparams",
        "log_metrics",
        "save",
    }
)
HINT = "give plain names, numbers and arrays, or log it after the fit"
_KNOWN = METHODS | {f"experiment.{each}" for each in EXPERIMENT_METHODS}
_ARTIFACT = "wandb-artifact"  # wandb asks the host that such a text names, with the user's key

Rule = Callable[[Any], str]
"""Says what is wrong with an argument, or nothing."""


def is_known(method: str) -> bool:
    """Whether `method`, of a logger or of its `experiment`, is one that travels."""
    return method in _KNOWN


def check(method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise `StateError` where an argument of a known `method` could do more than be logged."""
    owner, _, name = method.rpartition(".")
    if name == "save" and (args or kwargs):
        raise StateError(f"{method} takes no arguments", hint=HINT)
    rules = (_EXPERIMENT_RULES if owner else _RULES).get(name, {})
    for parameter, value in [*zip(rules, args, strict=False), *kwargs.items()]:
        wrong = _rule(name, rules, parameter)(value)
        if wrong:
            raise StateError(f"the {parameter[:80]} of {method} {wrong}", hint=HINT)


def _rule(name: str, rules: Mapping[str, Rule], parameter: str) -> Rule:
    if parameter in rules:
        return rules[parameter]
    if name in _MEDIA:
        return _BESIDE_MEDIA.get(parameter, _media)
    return _number if parameter in ("step", "global_step") else _free


def _free(_: Any) -> str:
    return ""


def _number(value: Any) -> str:
    return "" if value is None or _is_data(value) else "is no number"


def _name(value: Any) -> str:
    """Check what is joined to a folder; a number is joined as a text or not at all."""
    if value is None or _is_data(value):
        return ""
    if not isinstance(value, str):
        return "is no text"
    text = str.__str__(value)
    if ".." in re.split(r"[/\\]", text) or text.startswith(("/", "\\")):
        return "may become a path and has '..' in it or begins with '/'"
    return "may become a path and is none" if "\0" in text or "://" in text else ""


def _names(value: Any) -> str:
    if not isinstance(value, dict):
        return "is no dict"
    return next((wrong for each in value if (wrong := _name(each))), "")


def _domain(value: Any) -> str:
    """Check the third argument of `add_hparams`; tensorboardX has the name of the run there."""
    return "" if isinstance(value, dict) else _name(value)


def _metrics(value: Any) -> str:
    """Check metrics by name; TensorBoard's logger makes folders of a dict among them."""
    if not isinstance(value, dict):
        return "is no dict" if hasattr(value, "items") else ""
    groups = [(name, each) for name, each in value.items() if isinstance(each, dict)]
    return next((wrong for name, each in groups if (wrong := _name(name) or _names(each))), "")


def _settings(value: Any) -> str:
    """Check hyperparameters; wandb's logger calls what can be called and looks artifacts up."""
    for each in _inside(value):
        if callable(each):
            return "can be called"
        if isinstance(each, str) and each.startswith(_ARTIFACT):
            return "names an artifact of wandb"
        if isinstance(each, dict) and each.get("_type") == "artifactVersion":
            return "names an artifact of wandb"
    return ""


def _media(value: Any) -> str:
    """Check pictures, sounds and films; a text in place of one is a file or an address."""
    for each in _inside(value):
        if not (each is None or isinstance(each, list | tuple) or _is_data(each)):
            return f"has a {type(each).__name__} in it where only tensors and arrays may be"
    return ""


def _labels(value: Any) -> str:
    """Check what is said of media; a mask may be given as the path of a file."""
    for each in _inside(value):
        if isinstance(each, dict) and "path" in each:
            return "names a file"
        if not (each is None or isinstance(each, str | list | tuple | dict) or _is_data(each)):
            return f"has a {type(each).__name__} in it"
    return ""


def _endings(value: Any) -> str:
    """Check formats, which end the names of files."""
    texts = (each for each in _inside(value) if not isinstance(each, list | tuple))
    return next((wrong for each in texts if (wrong := _name(each))), "")


def _is_data(value: Any) -> bool:
    """Whether a value is numbers and nothing else."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "biufc"
    return isinstance(value, torch.Tensor) or type(value) in (bool, int, float, complex)


def _inside(value: Any) -> Iterator[Any]:
    """Yield a value and all that is in it, each once, however it is nested; keys are left out."""
    seen: set[int] = set()
    left = [value]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, Mapping):
            left.extend(each.values())
        elif named.is_record(each):
            left.extend(named.attributes(each).values())
        elif isinstance(each, list | tuple | set | frozenset | collections.deque):
            left.extend(each)


_TAGGED: dict[str, Rule] = {"tag": _free, "value": _free, "global_step": _number}
_KEYED: dict[str, Rule] = {
    "key": _name,
    "columns": _free,
    "data": _free,
    "dataframe": _free,
    "step": _number,
}
_MEDIA = frozenset({"log_image", "log_audio", "log_video"})
_BESIDE_MEDIA: dict[str, Rule] = {
    **dict.fromkeys(("caption", "mode", "grouping", "normalize", "sample_rate", "fps"), _labels),
    **dict.fromkeys(("boxes", "classes", "masks"), _labels),
    **dict.fromkeys(("file_type", "format"), _endings),
}
# By method the parameters in their order, up to the last that matters. Joined to a folder are the
# keys of `add_scalars`, step and tag of `add_embedding`, the run of `add_hparams`, wandb's keys.
_RULES: dict[str, dict[str, Rule]] = {
    "log_metrics": {"metrics": _metrics, "step": _number},
    "log_hyperparams": {"params": _settings, "metrics": _metrics, "step": _number},
    "log_image": {"key": _name, "images": _media, "step": _number},
    "log_audio": {"key": _name, "audios": _media, "step": _number},
    "log_video": {"key": _name, "videos": _media, "step": _number},
    "log_text": _KEYED,
    "log_table": _KEYED,
}
_EXPERIMENT_RULES: dict[str, dict[str, Rule]] = {
    "add_audio": _TAGGED,
    "add_embedding": {
        "mat": _free,
        "metadata": _free,
        "label_img": _free,
        "global_step": _number,
        "tag": _name,
    },
    "add_histogram": _TAGGED,
    "add_hparams": {
        "hparam_dict": _free,
        "metric_dict": _free,
        "hparam_domain_discrete": _domain,
        "run_name": _name,
        "global_step": _number,
        "name": _name,
    },
    "add_image": _TAGGED,
    "add_images": _TAGGED,
    "add_pr_curve": {"tag": _free, "labels": _free, "predictions": _free, "global_step": _number},
    "add_scalar": _TAGGED,
    "add_scalars": {"main_tag": _name, "tag_scalar_dict": _names, "global_step": _number},
    "add_tensor": _TAGGED,
    "add_text": _TAGGED,
}
