import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from gensyn_lightning.errors import ConfigError
from gensyn_lightning.repops import registry
from gensyn_lightning.repops.arguments import key_of, overlaps
from gensyn_lightning.repops.executor import draw_key
from gensyn_lightning.repops.registry import reproducible
from gensyn_lightning.repops.shim import build, loader

pytestmark = pytest.mark.filterwarnings("ignore:no compiled kernels")


def needs_shim():
    if loader.load() is None or registry.loaded() is None:
        pytest.skip("no shim here")


def dispatched_from_python(monkeypatch):
    monkeypatch.setattr(loader, "load", lambda: None)


def test_both_paths_draw_the_same_keys(monkeypatch):
    needs_shim()

    def draws():
        torch.manual_seed(5)
        generator = torch.Generator().manual_seed(7)
        made = [torch.empty(9).normal_() for _ in range(3)]
        made += [torch.empty(9).normal_(generator=generator) for _ in range(3)]
        return torch.stack(made), torch.get_rng_state(), generator.get_state()

    if "normal_" not in registry.load_all():
        pytest.skip("nothing draws here")
    with reproducible():
        by_shim = draws()
    dispatched_from_python(monkeypatch)
    with reproducible():
        by_python = draws()
    for one, other in zip(by_shim, by_python, strict=True):
        assert torch.equal(one, other)


def test_a_key_is_two_words_of_the_generator():
    torch.manual_seed(123)
    twister = np.random.RandomState(123)
    for _ in range(700):
        words = twister.randint(0, 2**32, size=2, dtype=np.uint64)
        assert draw_key(None) == int(words[0]) << 32 | int(words[1])


def test_a_known_call_never_comes_to_python(monkeypatch):
    needs_shim()
    a = torch.ones(3, 5)
    with reproducible():
        a + a
        with monkeypatch.context() as patched:
            patched.setattr(registry.Operator, "_run", None)
            made = a + a
        assert torch.equal(made, torch.full((3, 5), 2.0))


def test_an_exact_call_is_left_to_stock_without_python(monkeypatch):
    needs_shim()
    a = torch.arange(3)
    with reproducible():
        a + a
        with monkeypatch.context() as patched:
            patched.setattr(registry.Operator, "_run", None)
            made = a + a
        assert made.tolist() == [0, 2, 4]


def test_errors_of_lowering_travel_through_the_dispatcher():
    needs_shim()
    with reproducible():
        for _ in range(2):
            with pytest.raises((ValueError, RuntimeError)):
                torch.ones(2, 3) + torch.ones(4)


def test_the_argument_returned_in_place_is_the_tensor_itself():
    needs_shim()
    a = torch.ones(3)
    with reproducible():
        a.mul_(2.0)
        assert a.mul_(2.0) is a
        out = torch.empty(3)
        torch.mul(a, a, out=out)
        assert torch.mul(a, a, out=out) is out


def test_an_operator_the_dispatcher_lacks_is_an_error():
    needs_shim()
    shim = loader.load()
    with pytest.raises(ConfigError, match="no operator aten::nothing"):
        shim.operator("nothing.at_all", [], [], elementwise=False)
    with pytest.raises(ConfigError, match="do not fit"):
        shim.operator("add.Tensor", [True], [False], elementwise=False)


def test_forgetting_while_calls_run_loses_no_result():
    needs_shim()
    shim = loader.load()
    with reproducible():
        handle = registry._operators["add.Tensor"].handle
        for n in range(1, 50):
            assert (torch.ones(n) + torch.ones(n))[-1] == 2
            shim.forget(handle)


def test_the_name_tells_sources_and_torch_apart(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "another")
    build.name.cache_clear()
    other = build.name()
    monkeypatch.undo()
    build.name.cache_clear()
    assert build.name() != other


def test_the_shim_is_not_taken_from_another_user(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(loader, "LIBRARIES", tmp_path / "none")
    assert loader.find() is None
    path = tmp_path / "gensyn" / build.name()
    path.parent.mkdir()
    path.write_bytes(b"")
    assert loader.find() == path
    monkeypatch.setattr(os, "getuid", lambda: os.stat(path).st_uid + 1)
    assert loader.find() is None


def test_a_compiler_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        build.build(tmp_path, ["false"])
    assert list(tmp_path.iterdir()) == []


def test_without_a_compiler_operators_are_dispatched_from_python(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(loader, "LIBRARIES", tmp_path / "none")
    monkeypatch.setattr(build, "compiler", lambda: None)
    loader.load.cache_clear()
    try:
        assert loader.load() is None
        with reproducible():
            assert (torch.ones(3) + torch.ones(3))[0] == 2
    finally:
        loader.load.cache_clear()


def test_the_command_names_no_header_of_python():
    command = build.line(["c++"], "x.so")
    assert not any("python3" in Path(each).name for each in command if each.startswith("-I"))
    assert "Python.h" not in "".join(each.read_text() for each in build.sources())


def test_keys_tell_a_number_from_an_equal_one_of_another_type():
    keys = {key_of([False], [each]) for each in (1, 1.0, True, 0.0, -0.0, "1", None, [1], [True])}
    assert len(keys) == 9


def test_numbers_that_are_words_do_not_count():
    assert key_of([True], [1.5]) == key_of([True], [2.5])
    assert key_of([True], [1]) != key_of([True], [1.5])


def test_spans_meet_only_where_one_is_written():
    [add_, *_] = [registry.arguments_of(torch.ops.aten.add_.Tensor._schema)]
    a = torch.zeros(10)
    assert not overlaps(add_, [a[:5], a[5:], 1])
    assert overlaps(add_, [a[:5], a[4:], 1])
    assert overlaps(add_, [a[:5], a[:5], 1])
    assert not overlaps(add_, [a[:5], a[:5], 1], elementwise=True)
    assert overlaps(add_, [a[1:5], a[:4], 1], elementwise=True)
    assert not overlaps(add_, [a[:0], a, 1])
    assert overlaps(add_, [a[::2], a[1::2], 1])  # by their spans; a copy is made in vain


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
def test_both_paths_train_to_the_same_bits(kind, fused, monkeypatch):
    needs_shim()

    generator = torch.Generator().manual_seed(1)
    first, x = torch.rand(3, 6, 6, generator=generator) - 0.5, torch.rand(4, 6, generator=generator)

    def trained():
        weights = [each.clone().requires_grad_() for each in first]
        optimizer = getattr(torch.optim, kind)(weights, lr=0.01, fused=fused)
        for _ in range(4):
            optimizer.zero_grad()
            made = x
            for each in weights:
                made = torch.relu(torch.mm(made, each)) * 1.5 + made
            made.sum().backward()
            optimizer.step()
        return torch.stack([each.detach() for each in weights])

    with reproducible():
        by_shim = trained()
    stock = trained()
    dispatched_from_python(monkeypatch)
    with reproducible():
        by_python = trained()
    assert torch.equal(by_shim, by_python)
    assert torch.allclose(by_shim, stock, rtol=1e-4, atol=1e-5)
