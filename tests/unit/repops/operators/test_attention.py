"""Attention: kernels against their stages bit for bit, layers made of it against binary64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops import library
from gensyn_lightning.repops.arguments import Reader, arguments_of
from gensyn_lightning.repops.coverage import plan_for
from gensyn_lightning.repops.executor import Ready
from gensyn_lightning.repops.operators import load_all
from gensyn_lightning.repops.registry import reproducible

FORWARD = "_scaled_dot_product_flash_attention_for_cpu"
BACKWARD = f"{FORWARD}_backward"
# Relative and absolute: sums of up to a few hundred terms of ordinary size, or one rounding.
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 0.03, torch.float16: 0.004}
KERNELS = library.load()
SPECIAL = [math.inf, -math.inf, math.nan, 0.0, -0.0, 1e-40, -1e-40, 1e38, -1e38]


def runs(name: str, values: list[Any]) -> list[list[Tensor]]:
    """Return what the kernels make of an operator's arguments, and what the stages say."""
    covered = load_all()[name]
    arguments = arguments_of(getattr(torch.ops.aten, name).default._schema, covered.static)
    reader = Reader()
    given = reader.read(arguments, values)
    plan_for(covered, reader.plan, given, [False] * len(given))
    return [list(Ready(reader.plan, each).run(values)) for each in (KERNELS, None)]


def assert_same_bits(name: str, *values: Any) -> list[Tensor]:
    ours, defined = runs(name, list(values))
    for one, other in zip(ours, defined, strict=True):
        kind = torch.int32 if one.dtype is torch.float32 else torch.int16
        assert torch.equal(one.view(kind), other.view(kind))
    return ours


@st.composite
def tensors(draw: st.DrawFn, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Draw numbers of ordinary size, some of them special, with any order of strides."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    order = draw(st.permutations(range(len(shape))))
    made = torch.randn([shape[each] for each in order], generator=generator)
    for at in draw(st.lists(st.integers(0, max(made.numel() - 1, 0)), max_size=2)):
        if made.numel():
            made.view(-1)[at] = draw(st.sampled_from(SPECIAL))
    return made.to(dtype).permute([order.index(each) for each in range(len(shape))])


@st.composite
def masks(draw: st.DrawFn, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor | None:
    """Draw a mask of any form that attention takes, or none."""
    if draw(st.booleans()):
        return None
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    sizes = [each if draw(st.booleans()) else 1 for each in shape]
    visible = torch.rand(sizes, generator=generator) > draw(st.sampled_from([0.0, 0.4, 0.9]))
    form = draw(st.sampled_from(["bool", "float", "numbers"]))
    if form == "bool":
        return visible
    numbers = torch.randn(sizes, generator=generator) if form == "numbers" else torch.zeros(sizes)
    return numbers.masked_fill(~visible, -math.inf).to(dtype)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_kernels_compute_what_the_stages_say(data: st.DataObject) -> None:
    batch, heads = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 2))
    rows, keys = data.draw(st.integers(0, 34)), data.draw(st.integers(0, 34))
    depth, width = data.draw(st.integers(0, 35)), data.draw(st.integers(0, 35))
    dtype = data.draw(st.sampled_from(list(TOLERANCES)))
    sizes = ((rows, depth), (keys, depth), (keys, width), (rows, width))
    query, key, value, grad = (data.draw(tensors((batch, heads, *each), dtype)) for each in sizes)
    mask = data.draw(masks((batch, heads, rows, keys), dtype))
    causal = mask is None and data.draw(st.booleans())
    scale = data.draw(st.sampled_from([None, 0.3, -2.0]))
    rest = (0.0, causal, mask, scale)
    out, log = assert_same_bits(FORWARD, query, key, value, *rest)
    assert_same_bits(BACKWARD, grad, query, key, value, out, log, *rest)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("rows", "keys", "depth", "width"),
    [(5, 270, 3, 4), (270, 5, 4, 3), (262, 260, 1, 1), (3, 4, 300, 270), (20, 520, 1, 1)],
)
def test_chunks_are_as_the_stages_say(
    rows: int, keys: int, depth: int, width: int, causal: bool
) -> None:
    generator = torch.Generator().manual_seed(rows)
    sizes = ((rows, depth), (keys, depth), (keys, width), (rows, width))
    query, key, value, grad = (torch.randn(1, 1, *each, generator=generator) for each in sizes)
    out, log = assert_same_bits(FORWARD, query, key, value, 0.0, causal, None, None)
    assert_same_bits(BACKWARD, grad, query, key, value, out, log, 0.0, causal, None, None)


Inputs = tuple[Tensor, ...]
Case = Callable[[torch.dtype], list[Tensor]]


def numbers(*shape: int, seed: int = 1) -> Tensor:
    """Return the same numbers whether torch's operators are in place or ours."""
    drawn = np.random.default_rng(seed + sum(shape)).standard_normal(shape, np.float32)
    return torch.from_numpy(drawn)


def gradients(function: Callable[..., Any], inputs: Inputs, *others: Tensor) -> list[Tensor]:
    """Return what a function makes, and the gradients of its inputs and of others."""
    leaves = [each.detach().requires_grad_() for each in inputs]
    made = function(*leaves)
    outs = [each for each in (made if isinstance(made, tuple) else (made,)) if each is not None]
    weights = [torch.linspace(-1, 2, each.numel()).view(each.shape).to(each) for each in outs]
    return [
        *(each.detach() for each in outs),
        *torch.autograd.grad(outs, [*leaves, *others], weights),
    ]


def attention(
    query: tuple[int, ...],
    key: tuple[int, ...] | None = None,
    value: tuple[int, ...] | None = None,
    *,
    swapped: bool = False,
    mask: Tensor | None = None,
    learned: bool = False,
    **options: Any,
) -> Case:
    """Return attention of numbers of these shapes; `swapped` has heads next to each other."""
    shapes = (query, key or query, value or key or query)

    def case(dtype: torch.dtype) -> list[Tensor]:
        inputs = tuple(numbers(*each, seed=at).to(dtype) for at, each in enumerate(shapes))
        if swapped:
            inputs = tuple(each.transpose(1, 2).contiguous().transpose(1, 2) for each in inputs)
        given = mask if mask is None or mask.dtype is torch.bool else mask.to(dtype)
        if learned and given is not None:
            return gradients(
                lambda *each: F.scaled_dot_product_attention(*each, **options), (*inputs, given)
            )
        return gradients(
            lambda *each: F.scaled_dot_product_attention(*each, attn_mask=given, **options), inputs
        )

    return case


def layer(make: Callable[[], nn.Module], *shapes: tuple[int, ...], **options: Any) -> Case:
    """Return a layer called with numbers of these shapes, and the gradients of its parameters."""

    def case(dtype: torch.dtype) -> list[Tensor]:
        torch.manual_seed(5)
        made = make()
        for each in made.parameters():
            each.data = numbers(*each.shape).to(dtype) / 4
        inputs = tuple(numbers(*each, seed=at).to(dtype) for at, each in enumerate(shapes))
        given = {
            name: each.to(dtype) if isinstance(each, Tensor) and each.is_floating_point() else each
            for name, each in options.items()
        }
        return gradients(lambda *each: made(*each, **given), inputs, *made.parameters())

    return case


VISIBLE = numbers(6, 9) > -0.5
BLIND = VISIBLE.clone().index_fill_(0, torch.tensor([2]), False)
PADDED = torch.arange(9) >= torch.tensor([[7], [9]])
HIDDEN = torch.ones(6, 6, dtype=torch.bool).triu(1)
LATER = torch.zeros(6, 6).masked_fill_(HIDDEN, -math.inf)


def multihead(**options: Any) -> Callable[[], nn.Module]:
    return lambda: nn.MultiheadAttention(8, 2, **options)


def encoder(**options: Any) -> nn.Module:
    made = nn.TransformerEncoderLayer(8, 2, 12, 0.0, **options)
    return nn.TransformerEncoder(made, 2, enable_nested_tensor=False)


def decoder() -> nn.Module:
    return nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 12, 0.0, batch_first=True), 2)


SELF, CROSS = ((2, 6, 8),) * 3, ((6, 2, 8), (9, 2, 8), (9, 2, 8))
FOUR, FAR = (2, 3, 6, 8), (2, 3, 9, 8)
CASES: dict[str, Case] = {
    "plain": attention(FOUR),
    "causal": attention(FOUR, is_causal=True),
    "causal, more keys": attention(FOUR, FAR, is_causal=True),
    "causal, more queries": attention(FAR, FOUR, is_causal=True),
    "scaled": attention(FOUR, scale=0.7),
    "lengths differ": attention(FOUR, FAR),
    "values are longer": attention(FOUR, FAR, (2, 3, 9, 11)),
    "longer than a block": attention((1, 2, 90, 8), (1, 2, 70, 8)),
    "heads side by side": attention(FOUR, FAR, swapped=True),
    "truth values": attention(FOUR, FAR, mask=VISIBLE),
    "numbers": attention(FOUR, FAR, mask=numbers(2, 1, 6, 9)),
    "a mask of keys": attention(FOUR, FAR, mask=~PADDED[:, None, None]),
    "a row sees nothing": attention(FOUR, FAR, mask=BLIND),
    "a learned mask": attention(FOUR, FAR, mask=numbers(3, 6, 9), learned=True),
    "no batch": attention((6, 8), (9, 8)),
    "one dimension of batch": attention((3, 6, 8), (3, 9, 8), mask=VISIBLE),
    "three dimensions of batch": attention((2, 1, 3, 6, 8), (2, 1, 3, 9, 8), mask=VISIBLE),
    "keys for all": attention(FOUR, (1, 3, 9, 8)),
    "heads in groups": attention((2, 6, 6, 8), (2, 2, 9, 8), enable_gqa=True),
    "no queries": attention((2, 3, 0, 8), FAR),
    "no keys": attention(FOUR, (2, 3, 0, 8)),
    "no batch at all": attention((0, 3, 6, 8)),
    "no depth": attention((2, 3, 6, 0), (2, 3, 9, 0), FAR),
    "multihead": layer(multihead(), *CROSS),
    "multihead without weights": layer(multihead(), *CROSS, need_weights=False),
    "multihead, weights of each head": layer(multihead(), *CROSS, average_attn_weights=False),
    "multihead, padded": layer(multihead(), *CROSS, key_padding_mask=PADDED, need_weights=False),
    "multihead, padded, with weights": layer(multihead(), *CROSS, key_padding_mask=PADDED),
    "multihead, truth values": layer(multihead(), *CROSS, attn_mask=~VISIBLE, need_weights=False),
    "multihead, numbers": layer(
        multihead(batch_first=True), *SELF, attn_mask=numbers(4, 6, 6), need_weights=False
    ),
    "multihead, causal": layer(
        multihead(batch_first=True), *SELF, attn_mask=LATER, is_causal=True, need_weights=False
    ),
    "multihead, more keys": layer(
        multihead(add_bias_kv=True, add_zero_attn=True), *CROSS, need_weights=False
    ),
    "multihead, other sizes": layer(
        multihead(kdim=5, vdim=7), (6, 2, 8), (9, 2, 5), (9, 2, 7), need_weights=False
    ),
    "multihead, no batch": layer(multihead(), (6, 8), (9, 8), (9, 8), need_weights=False),
    "encoder": layer(lambda: encoder(batch_first=True), (2, 6, 8)),
    "encoder, padded": layer(
        lambda: encoder(batch_first=True, norm_first=True, activation="gelu"),
        (2, 9, 8),
        src_key_padding_mask=PADDED,
    ),
    "encoder, causal": layer(encoder, (6, 2, 8), mask=LATER, is_causal=True),
    "decoder": layer(decoder, (2, 6, 8), (2, 9, 8), tgt_mask=LATER, tgt_is_causal=True),
    "transformer": layer(
        lambda: nn.Transformer(8, 2, 1, 1, 12, 0.0, batch_first=True),
        (2, 9, 8),
        (2, 6, 8),
        tgt_mask=LATER,
    ),
}
HALVES = ["plain", "causal", "a mask of keys", "truth values", "numbers", "a learned mask"]


@pytest.fixture(scope="module")
def made() -> dict[tuple[str, torch.dtype], list[Tensor]]:
    """Return the results of all cases: reproducible operators are put in place once."""
    wanted = [(name, torch.float32) for name in CASES]
    wanted += [(name, each) for name in HALVES for each in (torch.bfloat16, torch.float16)]
    with reproducible():
        return {(name, dtype): CASES[name](dtype) for name, dtype in wanted}


@pytest.mark.parametrize("name", CASES)
def test_it_agrees_with_binary64(
    name: str, made: dict[tuple[str, torch.dtype], list[Tensor]]
) -> None:
    exact, stock = CASES[name](torch.float64), CASES[name](torch.float32)
    for dtype, tolerance in TOLERANCES.items():
        if (name, dtype) not in made:
            continue
        for ours, right, theirs in zip(made[name, dtype], exact, stock, strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, dtype)
            torch.testing.assert_close(
                ours.double(), right, rtol=tolerance, atol=tolerance * max(1, _size(right))
            )


def _size(tensor: Tensor) -> float:
    return float(tensor.abs().max()) if tensor.numel() else 0.0


def test_dropout_takes_weights_out_and_makes_up_for_it() -> None:
    query, key = numbers(2, 3, 20, 8), numbers(2, 3, 30, 8, seed=2)
    value = torch.eye(30).expand(2, 3, 30, 30)
    torch.manual_seed(1)
    with reproducible():
        whole = F.scaled_dot_product_attention(query, key, value)
        dropped, *_, grad = gradients(
            lambda *each: F.scaled_dot_product_attention(*each, dropout_p=0.25),
            (query, key, value.contiguous()),
        )
        other = F.scaled_dot_product_attention(query, key, value, dropout_p=0.25)
        torch.manual_seed(1)
        again = F.scaled_dot_product_attention(query, key, value, dropout_p=0.25)
    kept = dropped != 0
    assert 0.2 < 1 - kept.double().mean() < 0.3
    torch.testing.assert_close(dropped, torch.where(kept, whole / 0.75, 0.0), rtol=1e-6, atol=0)
    weights = torch.linspace(-1, 2, dropped.numel()).view(dropped.shape)
    torch.testing.assert_close(grad, dropped.transpose(2, 3) @ weights)
    assert torch.equal(dropped, again)
    assert not torch.equal(dropped, other)


def test_layers_with_dropout_train() -> None:
    torch.manual_seed(2)
    model = nn.Transformer(8, 2, 1, 1, 12, 0.3, batch_first=True)
    target, memory = numbers(2, 6, 8), numbers(2, 9, 8)
    with reproducible():
        torch.manual_seed(3)
        first = gradients(model, (memory, target), *model.parameters())
        torch.manual_seed(3)
        second = gradients(model, (memory, target), *model.parameters())
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
        assert bool(one.isfinite().all())


def test_what_torch_refuses_is_refused() -> None:
    x, mask = numbers(2, 3, 6, 8), torch.zeros(6, 6)
    with reproducible():
        with pytest.raises(RuntimeError, match="same dtype"):
            F.scaled_dot_product_attention(x, x.bfloat16(), x)
        with pytest.raises(RuntimeError, match="2 dimensional"):
            F.scaled_dot_product_attention(x[0, 0, 0], x, x)
        with pytest.raises(RuntimeError, match="is_causal"):
            F.scaled_dot_product_attention(x, x, x, attn_mask=mask, is_causal=True)
        with pytest.raises(RuntimeError, match="attn_mask dtype"):
            F.scaled_dot_product_attention(x, x, x, attn_mask=mask.long())
        with pytest.raises(RuntimeError, match="heads"):
            F.scaled_dot_product_attention(x, x[:, :2], x[:, :2], enable_gqa=True)
        with pytest.raises(RuntimeError, match="shapes"):
            F.scaled_dot_product_attention(x, x[..., :4], x)
        with pytest.raises(NotReproducible, match="float64"):
            F.scaled_dot_product_attention(x.double(), x.double(), x.double())
        with pytest.raises(NotReproducible, match="float64"):
            F.scaled_dot_product_attention(x.double(), x.double(), x.double(), dropout_p=0.1)
        fused = getattr(torch.ops.aten, FORWARD)
        with pytest.raises(NotReproducible, match="dropout"):
            fused(x, x, x, 0.5)


@pytest.mark.skipif(KERNELS is None, reason="there are no kernels to share out")
@pytest.mark.parametrize("causal", [False, True])
def test_threads_change_no_bit(causal: bool) -> None:
    inputs = tuple(numbers(1, 3, 300, 40, seed=each) for each in range(3))
    threads, found = torch.get_num_threads(), []
    try:
        with reproducible():
            for each in (1, 3):
                torch.set_num_threads(each)
                found.append(
                    gradients(
                        lambda *each: F.scaled_dot_product_attention(*each, is_causal=causal),
                        inputs,
                    )
                )
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
