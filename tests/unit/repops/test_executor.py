import pytest
import torch

from gensyn_lightning.repops import executor, registry
from gensyn_lightning.repops.arguments import Reader, arguments_of
from gensyn_lightning.repops.dtype import Dtype
from gensyn_lightning.repops.executor import Ready, draw_key, word
from gensyn_lightning.repops.mapping import map_elements
from gensyn_lightning.repops.plan import Key, Plan, Scalar, WordSource
from gensyn_lightning.repops.programs import arithmetic

pytestmark = pytest.mark.filterwarnings("ignore:no compiled kernels")


def doubled(a):
    """Return the plan that adds a tensor to itself, and the tensor in a list of arguments."""
    plan = Plan()
    reader = Reader(plan)
    [operand, *_] = reader.read(arguments_of(torch.ops.aten.relu.default._schema), [a])
    out = plan.like(operand)
    map_elements(plan, arithmetic.add["ff"], out, [operand, operand])
    plan.returns(out)
    return plan, [a]


def test_kernels_and_reference_run_a_plan_to_the_same_bits():
    kernels = registry.loaded()
    if kernels is None:
        pytest.skip("no kernels here")
    plan, values = doubled(torch.randn(5, 7))
    assert torch.equal(Ready(plan, kernels).run(values), Ready(plan, None).run(values))


def test_the_reference_runs_on_views_of_any_strides():
    a = torch.randn(6, 8).t()[::2]
    plan, values = doubled(a)
    assert torch.equal(Ready(plan, None).run(values), a * 2)


def test_a_plan_without_results_returns_none():
    plan = Plan()
    plan.returns()
    assert Ready(plan, None).run([]) is None


def test_results_keep_their_lists_and_nones():
    plan = Plan()
    a, b = plan.new((2,), Dtype.F32), plan.new((3,), Dtype.F64)
    plan.returns([a, b], None)
    [first, second], none = Ready(plan, None).run([])
    assert (first.shape, second.dtype, none) == ((2,), torch.float64, None)


def test_words_are_numbers_in_the_form_the_kernel_takes():
    assert word(WordSource(Scalar(0, "d"), "f"), [0.1]) == 0x3DCCCCCD
    assert word(WordSource(Scalar(0, "d"), "d"), [-2.0]) == 0xC000000000000000
    assert word(WordSource(Scalar(0, "i"), "i"), [-1]) == 2**64 - 1
    assert word(WordSource(7, "i"), []) == 7


def test_a_key_comes_from_the_generator_given():
    one, other = (torch.Generator().manual_seed(3) for _ in range(2))
    torch.manual_seed(9)
    before = torch.get_rng_state()
    assert word(WordSource(Key(0), "i"), [one]) == draw_key(other)
    assert torch.equal(torch.get_rng_state(), before)
    assert word(WordSource(Key(), "i"), []) != draw_key(None)
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("status", executor._ERRORS)
def test_a_kernel_that_fails_raises(status):
    kind, message = executor._ERRORS[status]

    class Failing:
        def compile(self, plan):
            return None

        def run(self, plan, base, words):
            return status

    ready = Ready(doubled(torch.ones(2))[0], None)
    ready.kernels, ready.address = Failing(), 1
    with pytest.raises(kind, match=message):
        ready.run([torch.ones(2)])
