"""One digest for every class of `torch.nn`: of its weights, its results and its gradients.

    python modules.py

prints one line of JSON. Classes, settings and inputs are those that are compared with binary64.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import reproducible

SWEEP = Path(__file__).parents[1] / "unit/repops"


def digest_of(sweep: Any, name: str) -> str:
    """Return the digest for one class, whose weights and inputs are drawn by our operators."""
    module, inputs = sweep.CASES[name]()
    found = hashlib.blake2b(digest_size=16)
    for each in sweep.results_of(module.float(), inputs, torch.float32):
        found.update(each.contiguous().numpy().tobytes())
    return found.hexdigest()


def digests() -> dict[str, str]:
    """Return the digests, by class; those are left out whose inputs only stock torch can make."""
    found = {}
    with reproducible():
        torch.manual_seed(0)
        sys.path.insert(0, str(SWEEP))
        sweep = importlib.import_module("test_coverage")
        for name in sweep.CASES:
            try:
                found[name] = digest_of(sweep, name)
            except NotReproducible as refusal:
                print(f"{name}: {refusal}", file=sys.stderr)
    return found


def main() -> None:
    """Print the digests."""
    warnings.simplefilter("ignore")  # torch warns of what it means to change
    print(json.dumps(digests()))


if __name__ == "__main__":
    main()
