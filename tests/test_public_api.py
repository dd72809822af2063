"""What users may rely on, pinned."""

import torch

import gensyn_lightning
from gensyn_lightning import errors, repops


def test_the_package_exports_a_handful_of_names() -> None:
    assert gensyn_lightning.__all__ == ["GensynStrategy", "__version__"]


def test_the_operators_export_their_version_and_a_context() -> None:
    assert repops.__all__ == ["VERSION", "reproducible"]
    with repops.reproducible():
        assert torch.ones(2).sum().item() == 2


def test_every_exported_name_exists() -> None:
    for name in gensyn_lightning.__all__:
        assert getattr(gensyn_lightning, name) is not None


def test_every_error_is_drawn_in_the_tree() -> None:
    drawn = errors.__doc__ or ""
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert name in drawn
