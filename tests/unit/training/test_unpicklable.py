"""The part that cannot travel is found."""

import threading
from types import SimpleNamespace
from typing import Any

from gensyn_lightning.training.unpicklable import path_to


def test_the_shortest_way_is_named() -> None:
    lock = threading.Lock()
    deep = SimpleNamespace(a=SimpleNamespace(b=[lock]))
    roots = {"trainer": deep, "model": {"callbacks": [SimpleNamespace(inner=(1, lock))], 3: lock}}
    assert path_to(lock, roots) == "model[3] (lock)"


def test_variables_a_function_closes_over_are_looked_into() -> None:
    lock = threading.Lock()

    def closing() -> Any:
        return lock

    assert path_to(lock, {"transform": closing}) == "transform.lock (lock)"


def test_a_loop_of_references_ends() -> None:
    value: dict[str, Any] = {}
    value["self"] = value
    assert path_to(threading.Lock(), {"value": value}) == "something inside the program (lock)"
