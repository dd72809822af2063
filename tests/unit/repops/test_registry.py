import subprocess
import sys
import threading

import pytest
import torch

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import registry
from gensyn_lightning.repops.registry import reproducible
from gensyn_lightning.repops.shim import loader

pytestmark = pytest.mark.filterwarnings("ignore:no compiled kernels")


@pytest.fixture(params=["shim", "python"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Dispatch by the shim, then from Python; every call is made twice, known and unknown."""
    if request.param == "python":
        monkeypatch.setattr(loader, "load", lambda: None)
    elif loader.load() is None or registry.loaded() is None:
        pytest.skip("no shim here")
    return str(request.param)


def twice(call):
    """Return what a call returns, made so that its plan is known the second time."""
    with reproducible():
        first = call()
        second = call()
    assert torch.equal(first, second)
    return second


def test_stock_operators_are_back_after_the_block(path):
    a = torch.ones(4)
    kernel = torch._C._dispatch_dump_table("aten::add.Tensor")
    with reproducible():
        assert torch._C._dispatch_dump_table("aten::add.Tensor") != kernel
        assert torch.equal(a + a, torch.full((4,), 2.0))
    assert torch._C._dispatch_dump_table("aten::add.Tensor") == kernel


def test_blocks_nest(path):
    with reproducible():
        inside = torch._C._dispatch_dump_table("aten::add.Tensor")
        with reproducible():
            pass
        assert torch._C._dispatch_dump_table("aten::add.Tensor") == inside


def test_a_number_may_differ_from_call_to_call_of_one_plan(path):
    a = torch.arange(6.0)
    with reproducible():
        for number in (2.0, 3.0, 0.1, 7, True):
            expected = torch.arange(6) * torch.tensor(number, dtype=torch.float32)
            assert torch.equal(a * number, expected)


def test_a_number_is_rounded_to_binary32_once(path):
    number = 1 + 2**-24 + 2**-50  # above the middle: its binary32 is 1 + 2**-23
    assert twice(lambda: torch.ones(3) * number)[0] == 1 + 2**-23


def test_shapes_strides_and_types_tell_plans_apart(path):
    a, b = torch.randn(3, 4), torch.randn(4, 3)
    with reproducible():
        for _ in range(2):
            assert torch.equal(a + a, a * 2)
            assert torch.equal(a + b.t(), b.t() + a)
            assert torch.equal((a + a.double()), a.double() * 2)
            assert torch.equal(a[:2] + a[:2], a[:2] * 2)


def test_the_result_is_laid_out_like_stock(path):
    a, b = torch.randn(4, 3).t(), torch.randn(4, 3).t()
    assert twice(lambda: a + b).stride() == (a + b).stride()


def test_an_in_place_operator_returns_its_argument(path):
    a = torch.ones(5)
    with reproducible():
        for expected in (2.0, 3.0, 4.0):
            assert a.add_(1.0) is a
            assert torch.equal(a, torch.full((5,), expected))


def test_the_same_view_may_be_read_and_written(path):
    a = torch.arange(5.0)
    with reproducible():
        a.mul_(a)
        a.mul_(a)
    assert torch.equal(a, torch.arange(5.0) ** 4)


def test_a_written_tensor_with_gaps_that_overlaps_another_is_written_as_if_it_did_not(path):
    for _ in range(2):
        a = torch.arange(16.0).view(4, 4)
        expected = a.clone()
        expected[:, 1:] *= a[:, :-1]
        with reproducible():
            a[:, 1:].mul_(a[:, :-1])
            assert torch.equal(a, expected)
            b = torch.arange(16.0).view(4, 4)
            torch.mul(b[:, :-1], b[:, :-1], out=b[:, 1:])
        assert torch.equal(b[:, 1:], torch.arange(16.0).view(4, 4)[:, :-1] ** 2)


def test_overlap_is_seen_anew_in_every_call(path):
    columns = torch.arange(16.0).view(4, 4)
    with reproducible():
        apart, other = columns.clone(), columns.clone()
        apart[:, 1:].mul_(other[:, :-1])
        a = columns.clone()
        a[:, 1:].mul_(a[:, :-1])
        assert torch.equal(a, apart)
        with pytest.raises(RuntimeError, match="single memory location"):
            a.view(-1)[1:].mul_(a.view(-1)[:-1])


def test_a_tensor_that_overlaps_itself_is_not_written(path):
    with reproducible(), pytest.raises(RuntimeError, match="single memory location"):
        torch.ones(1).expand(3).add_(1.0)


def test_out_of_another_shape_is_resized(path):
    a = torch.randn(2, 3)
    with reproducible():
        for _ in range(2):
            out = torch.empty(0)
            assert torch.add(a, a, out=out) is out
            assert torch.equal(out, a * 2)


def test_out_of_the_right_shape_keeps_its_strides(path):
    a, out = torch.randn(2, 3), torch.empty(3, 2).t()
    with reproducible():
        for _ in range(2):
            torch.add(a, a, out=out)
    assert torch.equal(out, a * 2)
    assert out.stride() == (1, 2)


def test_in_place_results_that_do_not_fit_are_refused_as_stock_does(path):
    with reproducible():
        with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
            torch.ones(3).add_(torch.ones(2, 3))
        with pytest.raises(RuntimeError, match="can't be cast"):
            torch.ones(3, dtype=torch.int64).add_(torch.ones(3))


def test_integers_are_left_to_stock(path):
    a = torch.arange(4)
    assert torch.equal(twice(lambda: a + a), torch.tensor([0, 2, 4, 6]))
    assert torch.equal(twice(lambda: a + 1), torch.tensor([1, 2, 3, 4]))


def test_types_without_a_definition_are_refused_every_time(path):
    a = torch.ones(3, dtype=torch.complex64)
    with reproducible():
        for _ in range(2):
            with pytest.raises(NotReproducible, match="complex64"):
                a + a
    assert (a + a)[0] == 2


def test_a_meta_tensor_goes_where_it_went(path):
    a = torch.empty(3, device="meta")
    with reproducible():
        assert (a + a).device.type == "meta"


def test_gradients_flow(path):
    a = torch.randn(3, 3, requires_grad=True)
    with reproducible():
        for _ in range(2):
            a.grad = None
            ((a * a) + a).backward(torch.ones(3, 3))
            assert torch.allclose(a.grad, 2 * a.detach() + 1)


def test_threads_find_each_others_plans(path):
    shapes = [(n, m) for n in range(1, 6) for m in range(1, 6)]
    wrong = []

    def work():
        for _ in range(20):
            for shape in shapes:
                made = torch.ones(shape) + torch.ones(shape)
                if not torch.equal(made, torch.full(shape, 2.0)):
                    wrong.append(shape)

    with reproducible():
        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert not wrong


def test_more_shapes_than_plans_are_kept(path, monkeypatch):
    monkeypatch.setattr(registry, "_PLANS_MAX", 64)
    with reproducible():
        for n in range(1, 200):
            assert (torch.ones(n) + torch.ones(n))[-1] == 2


def test_a_forked_process_computes_with_what_was_installed_before():
    code = """
import os, warnings, torch
warnings.simplefilter("ignore")
from gensyn_lightning.repops import registry
registry.install()
a = torch.ones(2, 2)
assert torch.equal(a + a, a * 2)
if (child := os.fork()) == 0:
    done = torch.equal(a + a, a * 2) and torch.equal(a + torch.ones(2), a * 2)
    registry.uninstall()
    registry.install()
    done = done and torch.equal(a + a, a * 2)
    os._exit(0 if done else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_said_about_overriding():
    code = "from gensyn_lightning.repops import registry\nregistry.install()\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore:no compiled", "-c", code], capture_output=True, check=True
    )
    assert done.stderr == b""


INDEX = torch.arange(8)
SHARING = {
    "add_": lambda b: b[1:].add_(b[:-1]),
    "lerp_": lambda b: b[1:].lerp_(b[:-1], 0.5),
    "copy_": lambda b: b[1:].copy_(b[:-1]),
    "exp": lambda b: torch.exp(b[:-1], out=b[1:]),
    "clamp": lambda b: torch.clamp(b[:-1], min=0.5, out=b[1:]),
    "index_add_": lambda b: b[1:].index_add_(0, INDEX, b[:-1]),
    "index_copy_": lambda b: b[1:].index_copy_(0, INDEX, b[:-1]),
    "index_put_": lambda b: b[1:].index_put_((INDEX,), b[:-1]),
    "put_": lambda b: b[1:].put_(INDEX, b[:-1]),
    "scatter_": lambda b: b[1:].scatter_(0, INDEX, b[:-1]),
    "scatter_add_": lambda b: b[1:].scatter_add_(0, INDEX, b[:-1]),
    "scatter_reduce_": lambda b: b[1:].scatter_reduce_(0, INDEX, b[:-1], "sum"),
    "turned": lambda b: b.view(3, 3).add_(b.view(3, 3).t()),
}


@pytest.mark.parametrize("name", SHARING)
def test_to_write_partly_where_one_reads_is_the_error_it_is_in_torch(path, name):
    def outcome():
        with pytest.raises(RuntimeError) as caught:
            SHARING[name](torch.linspace(0.1, 0.9, 9))
        return str(caught.value)

    wanted = outcome()
    assert "single memory location" in wanted
    with reproducible():
        assert [outcome(), outcome()] == [wanted, wanted]


def test_torch_looks_for_no_shared_memory_where_there_are_gaps_or_the_same_view_is_meant(path):
    b = torch.arange(9.0)
    with reproducible():
        b[::2].add_(b[1:6])
        assert b[::2].tolist() == [1.0, 4.0, 7.0, 10.0, 13.0]
        b[1:].mul_(b[1:])
        assert b[1].item() == 1.0
        torch.ops.aten.threshold.out(b[:-1], 0.5, 0.0, out=b[1:])
