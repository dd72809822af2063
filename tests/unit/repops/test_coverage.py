"""Every class of `torch.nn`: its results and gradients agree with binary64, or it is refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch import distributions as D  # noqa: N812 - everybody's name for it
from torch.nn.utils import parametrizations

from gensyn_lightning.repops.registry import reproducible

# Torch warns of what it means to change.
pytestmark = pytest.mark.filterwarnings("ignore")
Made = tuple[nn.Module, list[Any]]
CASES: dict[str, Callable[[], Made]] = {}
REDUCTIONS = ("none", "mean", "sum")
# Classes that only hold others, that others are tested in place of, or that are drawn at random.
HOLDERS = {"Container", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList"}
PARENTS = {"RNNBase", "RNNCellBase", "LinearCrossEntropyOptions"}
DRAWN = {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"}
DRAWN |= {"FractionalMaxPool2d", "FractionalMaxPool3d", "RReLU"}
ON_ACCELERATORS = {"SyncBatchNorm"}


def case(name: str, make: Callable[[], nn.Module], *inputs: Any) -> None:
    """Add a case: shapes among the inputs stand for normal draws, functions for what they make."""

    def made() -> Made:
        torch.manual_seed(len(name))
        given = [
            torch.randn(each, dtype=torch.float64, requires_grad=True)
            if isinstance(each, tuple)
            else each()
            if callable(each)
            else each
            for each in inputs
        ]
        return make().double(), given

    if name in CASES:
        raise ValueError(f"{name} is there twice")
    CASES[name] = made


def classes(count: int, *shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(count, shape)


def shares(*shape: int) -> Callable[[], Tensor]:
    return lambda: (torch.rand(shape, dtype=torch.float64) * 0.9 + 0.05).requires_grad_()


def signs(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(2, shape).double() * 2 - 1


def fixed(make: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Return an input that has no gradient."""
    return lambda: make().detach()


class Only(nn.Module):
    """What another module returns, the first of several results, with settings of the call."""

    def __init__(self, inner: nn.Module, **settings: Any) -> None:
        super().__init__()
        self.inner, self.settings = inner, settings

    def forward(self, *inputs: Tensor) -> Any:
        return self.inner(*inputs, **self.settings)


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Any], *settings: Any, **more: Any) -> None:
        super().__init__()
        self.function, self.settings, self.more = function, settings, more
        self.modules_of = nn.ModuleList(each for each in settings if isinstance(each, nn.Module))

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs, *self.settings, **self.more)


class Pooled(nn.Module):
    """Pooling and its inverse."""

    def __init__(self, pool: nn.Module, back: nn.Module) -> None:
        super().__init__()
        self.pool, self.back = pool, back

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.back(*self.pool(x), output_size=x.shape)
        return found


def activations() -> None:
    plain = """CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh Identity LeakyReLU
        LogSigmoid Mish PReLU ReLU ReLU6 SELU SiLU Sigmoid Softplus Softshrink Softsign Tanh
        Tanhshrink"""
    for name in plain.split():
        case(name, getattr(nn, name), (3, 4, 6))
    for name in ("Softmax", "LogSoftmax", "Softmin"):
        case(name, lambda name=name: getattr(nn, name)(dim=1), (3, 4, 6))
    case("Softmax2d", nn.Softmax2d, (2, 3, 4, 5))
    case("Threshold", lambda: nn.Threshold(0.3, -2.0), (3, 4))
    case("GELU tanh", lambda: nn.GELU("tanh"), (3, 4))
    case("PReLU channels", lambda: nn.PReLU(4), (3, 4, 6))
    case("RReLU eval", lambda: nn.RReLU().eval(), (3, 4))
    for name in ("ReLU", "LeakyReLU", "ELU", "CELU", "SELU", "Hardswish", "SiLU", "Hardtanh"):
        more = Function(lambda x, act: act(x * 1.0), getattr(nn, name)(inplace=True))
        case(f"{name} in place", lambda more=more: more, (3, 4))


def losses() -> None:
    for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss"):
        _reduced(name, (5, 4), (5, 4))
    _reduced("BCELoss", shares(5, 4), fixed(shares(5, 4)))
    _reduced("BCEWithLogitsLoss", (5, 4), fixed(shares(5, 4)))
    _reduced("BCEWithLogitsLoss", (5, 4), fixed(shares(5, 4)), pos_weight=torch.rand(4).double())
    _reduced("CrossEntropyLoss", (5, 4), classes(4, 5))
    _reduced("CrossEntropyLoss", (5, 4), classes(4, 5), label_smoothing=0.1)
    _reduced("CrossEntropyLoss", (2, 4, 3, 3), classes(4, 2, 3, 3), ignore_index=1)
    _reduced("NLLLoss", (5, 4), classes(4, 5))
    _reduced("KLDivLoss", (5, 4), shares(5, 4))
    _reduced("KLDivLoss", (5, 4), (5, 4), log_target=True)
    _reduced("PoissonNLLLoss", (5, 4), shares(5, 4))
    _reduced("PoissonNLLLoss", (5, 4), fixed(lambda: shares(5, 4)() * 5), full=True)
    _reduced("PoissonNLLLoss", shares(5, 4), shares(5, 4), log_input=False)
    _reduced("GaussianNLLLoss", (5, 4), (5, 4), shares(5, 4))
    _reduced("GaussianNLLLoss", (5, 4), (5, 4), shares(5, 4), full=True)
    _reduced("HingeEmbeddingLoss", (5, 4), signs(5, 4))
    _reduced("SoftMarginLoss", (5, 4), signs(5, 4))
    _reduced("CosineEmbeddingLoss", (5, 4), (5, 4), signs(5))
    _reduced("MarginRankingLoss", (5,), (5,), signs(5))
    _reduced("MultiLabelSoftMarginLoss", (5, 4), fixed(shares(5, 4)))
    named = torch.tensor([[2, 0, -1, 1], [3, -1, 0, 0], [0, 1, 2, 3]])
    _reduced("MultiLabelMarginLoss", (3, 4), named)
    _reduced("MultiMarginLoss", (5, 4), classes(4, 5))
    _reduced("MultiMarginLoss", (5, 4), classes(4, 5), p=2, margin=0.7)
    _reduced("MultiMarginLoss", (5, 4), classes(4, 5), weight=torch.rand(4).double())
    _reduced("TripletMarginLoss", (5, 4), (5, 4), (5, 4))
    _reduced("TripletMarginLoss", (5, 4), (5, 4), (5, 4), swap=True)
    _reduced("TripletMarginWithDistanceLoss", (5, 4), (5, 4), (5, 4))
    for zero, shortest in ((False, 8), (True, 2)):
        _reduced(
            "CTCLoss",
            lambda: torch.randn(9, 3, 5).double().log_softmax(-1),
            lambda: torch.randint(1, 5, (3, 4)),
            torch.tensor([9, 7, shortest]),
            lambda: torch.tensor([4, 2, 3]),
            zero_infinity=zero,
        )
    case(
        "CTCLoss targets in a row",
        nn.CTCLoss,
        lambda: torch.randn(9, 3, 5).double().log_softmax(-1),
        lambda: torch.randint(1, 5, (9,)),
        lambda: torch.tensor([9, 9, 9]),
        lambda: torch.tensor([4, 2, 3]),
    )
    case(
        "AdaptiveLogSoftmaxWithLoss",
        lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 10]),
        (6, 8),
        classes(20, 6),
    )
    if hasattr(nn, "LinearCrossEntropyLoss"):
        case(
            "LinearCrossEntropyLoss", lambda: nn.LinearCrossEntropyLoss(8, 5), (6, 8), classes(5, 6)
        )


def _reduced(name: str, *inputs: Any, **settings: Any) -> None:
    for reduction in REDUCTIONS:
        label = " ".join([name, *(f"{key}={settings[key]!s:.5}" for key in settings)])
        case(
            f"{label} {reduction}",
            lambda reduction=reduction: getattr(nn, name)(reduction=reduction, **settings),
            *inputs,
        )


SPACE = {1: (7,), 2: (7, 6), 3: (5, 6, 7)}


def spatial() -> None:
    for n, space in SPACE.items():
        x = (2, 4, *space)
        case(f"Conv{n}d", lambda n=n: getattr(nn, f"Conv{n}d")(4, 6, 3, 2, 1), x)
        case(
            f"Conv{n}d dilated groups",
            lambda n=n: getattr(nn, f"Conv{n}d")(4, 6, 3, padding=2, dilation=2, groups=2),
            x,
        )
        case(
            f"Conv{n}d circular same",
            lambda n=n: getattr(nn, f"Conv{n}d")(4, 3, 3, padding="same", padding_mode="circular"),
            x,
        )
        case(
            f"ConvTranspose{n}d",
            lambda n=n: getattr(nn, f"ConvTranspose{n}d")(4, 6, 3, 2, 1, output_padding=1),
            x,
        )
        case(
            f"ConvTranspose{n}d groups",
            lambda n=n: getattr(nn, f"ConvTranspose{n}d")(4, 6, 3, 1, 1, groups=2, dilation=2),
            x,
        )
        case(f"BatchNorm{n}d", lambda n=n: getattr(nn, f"BatchNorm{n}d")(4), x)
        case(f"BatchNorm{n}d eval", lambda n=n: getattr(nn, f"BatchNorm{n}d")(4).eval(), x)
        case(f"InstanceNorm{n}d", lambda n=n: getattr(nn, f"InstanceNorm{n}d")(4), x)
        case(
            f"InstanceNorm{n}d affine",
            lambda n=n: getattr(nn, f"InstanceNorm{n}d")(4, affine=True, track_running_stats=True),
            x,
        )
        case(f"MaxPool{n}d", lambda n=n: getattr(nn, f"MaxPool{n}d")(3, 2, 1), x)
        case(f"MaxPool{n}d ceil", lambda n=n: getattr(nn, f"MaxPool{n}d")(2, ceil_mode=True), x)
        case(f"AvgPool{n}d", lambda n=n: getattr(nn, f"AvgPool{n}d")(3, 2, 1), x)
        case(
            f"AvgPool{n}d ceil",
            lambda n=n: getattr(nn, f"AvgPool{n}d")(2, 2, 1, True, False),
            x,
        )
        case(f"LPPool{n}d", lambda n=n: getattr(nn, f"LPPool{n}d")(2, 2), shares(*x))
        case(f"LPPool{n}d 3", lambda n=n: getattr(nn, f"LPPool{n}d")(3.0, 2), shares(*x))
        case(f"AdaptiveAvgPool{n}d", lambda n=n: getattr(nn, f"AdaptiveAvgPool{n}d")(3), x)
        case(f"AdaptiveAvgPool{n}d 1", lambda n=n: getattr(nn, f"AdaptiveAvgPool{n}d")(1), x)
        case(f"AdaptiveMaxPool{n}d", lambda n=n: getattr(nn, f"AdaptiveMaxPool{n}d")(3), x)
        case(
            f"MaxUnpool{n}d",
            lambda n=n: Pooled(
                getattr(nn, f"MaxPool{n}d")(2, return_indices=True),
                getattr(nn, f"MaxUnpool{n}d")(2),
            ),
            x,
        )
        for pad in ("ReflectionPad", "ReplicationPad", "CircularPad", "ZeroPad"):
            case(f"{pad}{n}d", lambda n=n, pad=pad: getattr(nn, f"{pad}{n}d")(2), x)
        case(f"ConstantPad{n}d", lambda n=n: getattr(nn, f"ConstantPad{n}d")(1, 0.5), x)
    for mode, n in [("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3)]:
        for aligned in (False, True):
            case(
                f"Upsample {mode} {aligned}",
                lambda mode=mode, aligned=aligned: nn.Upsample(
                    scale_factor=1.6, mode=mode, align_corners=aligned
                ),
                (2, 3, *SPACE[n]),
            )
    for mode in ("nearest", "nearest-exact"):
        for n, space in SPACE.items():
            case(f"Upsample {mode} {n}", lambda mode=mode: nn.Upsample(scale_factor=2, mode=mode), (2, 3, *space))  # fmt: skip  # noqa: E501
    case("UpsamplingBilinear2d", lambda: nn.UpsamplingBilinear2d(scale_factor=2), (2, 3, 4, 5))
    case("UpsamplingNearest2d", lambda: nn.UpsamplingNearest2d(scale_factor=2), (2, 3, 4, 5))
    case("PixelShuffle", lambda: nn.PixelShuffle(2), (2, 8, 3, 4))
    case("PixelUnshuffle", lambda: nn.PixelUnshuffle(2), (2, 2, 4, 6))
    case("ChannelShuffle", lambda: nn.ChannelShuffle(2), (2, 4, 3, 3))
    case("Fold", lambda: nn.Fold((5, 6), 3, padding=1, stride=2), (2, 18, 9))
    case("Unfold", lambda: nn.Unfold(3, padding=1, stride=2), (2, 3, 5, 6))
    case("LocalResponseNorm", lambda: nn.LocalResponseNorm(3), (2, 5, 4, 4))
    case("CrossMapLRN2d", lambda: nn.CrossMapLRN2d(3), (2, 5, 4, 4))


def dense() -> None:
    case("Linear", lambda: nn.Linear(6, 5), (3, 4, 6))
    case("Linear no bias", lambda: nn.Linear(6, 5, bias=False), (6,))
    case("Bilinear", lambda: nn.Bilinear(3, 4, 5), (6, 3), (6, 4))
    case("CosineSimilarity", lambda: nn.CosineSimilarity(dim=1), (5, 4), (5, 4))
    for p in (1.0, 2.0, 3.0):
        case(f"PairwiseDistance {p}", lambda p=p: nn.PairwiseDistance(p), (5, 4), (5, 4))
    case("Flatten", nn.Flatten, (2, 3, 4))
    case("Unflatten", lambda: nn.Unflatten(1, (2, 3)), (2, 6))
    case("LayerNorm", lambda: nn.LayerNorm((4, 6)), (3, 4, 6))
    case("GroupNorm", lambda: nn.GroupNorm(2, 4), (3, 4, 6))
    case("RMSNorm", lambda: nn.RMSNorm(6), (3, 4, 6))
    case("Embedding", lambda: nn.Embedding(7, 4, padding_idx=0), classes(7, 5))
    case("Embedding by use", lambda: nn.Embedding(7, 4, scale_grad_by_freq=True), classes(7, 9))
    case("Embedding of norm", lambda: nn.Embedding(7, 4, max_norm=1.0), classes(7, 9))
    for mode in ("sum", "mean", "max"):
        case(f"EmbeddingBag {mode}", lambda mode=mode: nn.EmbeddingBag(7, 4, mode=mode), classes(7, 3, 4))  # fmt: skip  # noqa: E501
    case("Sequential", lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)), (3, 6))


def recurrent() -> None:
    for name in ("RNN", "GRU", "LSTM"):
        kind = getattr(nn, name)
        case(name, lambda kind=kind: kind(5, 6), (4, 3, 5))
        case(
            f"{name} deep",
            lambda kind=kind: kind(5, 6, 2, bidirectional=True, batch_first=True),
            (3, 4, 5),
        )
        case(
            f"{name} packed",
            lambda kind=kind: Function(
                lambda x, inner: inner(nn.utils.rnn.pack_padded_sequence(x, [4, 3, 1]))[0].data,
                kind(5, 6),
            ),
            (4, 3, 5),
        )
        case(f"{name}Cell", lambda name=name: getattr(nn, f"{name}Cell")(5, 6), (3, 5))
    case("RNN relu", lambda: nn.RNN(5, 6, nonlinearity="relu"), (4, 3, 5))
    case("LSTM projected", lambda: nn.LSTM(5, 6, proj_size=3), (4, 3, 5))


def attention() -> None:
    settings = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}
    layer = {**settings, "batch_first": True}
    case("MultiheadAttention", lambda: nn.MultiheadAttention(8, 2), (5, 3, 8), (5, 3, 8), (5, 3, 8))
    case(
        "MultiheadAttention weightless",
        lambda: Only(nn.MultiheadAttention(8, 2, add_bias_kv=True), need_weights=False),
        (5, 3, 8),
        (5, 3, 8),
        (5, 3, 8),
    )
    for first in (False, True):
        case(
            f"TransformerEncoderLayer {first}",
            lambda first=first: nn.TransformerEncoderLayer(
                **layer, norm_first=first, activation="gelu"
            ),
            (3, 5, 8),
        )
    case("TransformerEncoderLayer eval", lambda: nn.TransformerEncoderLayer(**layer).eval(), (3, 5, 8))  # fmt: skip  # noqa: E501
    case("TransformerDecoderLayer", lambda: nn.TransformerDecoderLayer(**layer), (3, 5, 8), (3, 4, 8))  # fmt: skip  # noqa: E501
    case(
        "TransformerEncoder",
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(**layer), 2),
        (3, 5, 8),
    )
    case(
        "TransformerDecoder",
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(**layer), 2),
        (3, 5, 8),
        (3, 4, 8),
    )
    case(
        "Transformer",
        lambda: nn.Transformer(**settings, num_encoder_layers=1, num_decoder_layers=1),
        (5, 3, 8),
        (4, 3, 8),
    )


def lazy() -> None:
    for n, space in SPACE.items():
        x = (2, 4, *space)
        for name in (f"LazyConv{n}d", f"LazyConvTranspose{n}d"):
            case(name, lambda name=name, x=x: _seen(getattr(nn, name)(3, 2), x), x)
        for name in (f"LazyBatchNorm{n}d", f"LazyInstanceNorm{n}d"):
            case(name, lambda name=name, x=x: _seen(getattr(nn, name)(), x), x)
    case("LazyLinear", lambda: _seen(nn.LazyLinear(3), (2, 4)), (2, 4))


def _seen(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    module(torch.randn(shape))
    return module


def parametrized() -> None:
    case("weight_norm", lambda: parametrizations.weight_norm(nn.Linear(6, 5)), (3, 6))
    case("weight_norm old", lambda: nn.utils.weight_norm(nn.Linear(6, 5)), (3, 6))
    case("spectral_norm", lambda: parametrizations.spectral_norm(nn.Linear(6, 5)), (3, 6))
    case("spectral_norm old", lambda: nn.utils.spectral_norm(nn.Linear(6, 5)), (3, 6))
    for map_of in ("householder", "cayley", "matrix_exp"):
        for sizes in ((5, 5), (6, 4)):
            case(
                f"orthogonal {map_of} {sizes}",
                lambda map_of=map_of, sizes=sizes: parametrizations.orthogonal(
                    nn.Linear(*sizes).double(), orthogonal_map=map_of
                ),
                (3, sizes[0]),
            )


for _add in (activations, losses, spatial, dense, recurrent, attention, lazy, parametrized):
    _add()


def results_of(module: nn.Module, inputs: list[Any], dtype: torch.dtype) -> list[Tensor]:
    """Return what a module makes of inputs, and the gradients of inputs and parameters."""
    given = [
        each.detach().to(dtype).requires_grad_(each.requires_grad)
        if isinstance(each, Tensor) and each.is_floating_point()
        else each
        for each in inputs
    ]
    outs = [each for each in flat(module(*given)) if each.is_floating_point()]
    wanted = [each for each in outs if each.requires_grad]
    torch.autograd.backward(wanted, [spread(each) for each in wanted])
    grads = [each.grad for each in [*flat(given), *module.parameters()] if each.grad is not None]
    buffers = [each for each in module.buffers() if each.is_floating_point()]
    return [each.detach().clone() for each in [*outs, *grads, *buffers]]


def second_gradients_of(module: nn.Module, inputs: list[Any], dtype: torch.dtype) -> list[Tensor]:
    """Return the gradients of the sum of squares of gradients, as penalties on gradients take."""
    given = [
        each.detach().to(dtype).requires_grad_(each.requires_grad)
        if isinstance(each, Tensor) and each.is_floating_point()
        else each
        for each in inputs
    ]
    outs = [each for each in flat(module(*given)) if each.requires_grad]
    leaves = [each for each in [*flat(given), *module.parameters()] if each.requires_grad]
    weights = [spread(each) for each in outs]
    first = torch.autograd.grad(outs, leaves, weights, create_graph=True, allow_unused=True)
    kept = [each for each in first if each is not None and each.requires_grad]
    if not kept:
        return []
    second = torch.autograd.grad(
        sum((each * each).sum() for each in kept), leaves, allow_unused=True
    )
    return [each for each in second if each is not None]


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [one for each in value for one in flat(each)]
    return []


def spread(like: Tensor) -> Tensor:
    """Return weights between -1 and 1 that are exact in either type."""
    places = torch.arange(like.numel()) * 37 % 64
    return ((places.to(like.dtype) - 31) / 32).reshape(like.shape)


# One class in seven, the others being of the same families; torch has no formula for these.
ONCE = ("CTCLoss", "MultiMarginLoss", "TransformerDecoder")
TWICE = [name for name in list(CASES)[::7] if not name.startswith(ONCE)]


@pytest.fixture(scope="module")
def twice() -> dict[str, tuple[nn.Module, list[Any], list[Tensor]]]:
    """Return modules, inputs and second gradients in binary64."""
    found = {}
    for name in TWICE:
        (exact, inputs), single = CASES[name](), CASES[name]()[0].float()
        exact.load_state_dict(single.state_dict())
        found[name] = (single, inputs, second_gradients_of(exact, inputs, torch.float64))
    return found


@pytest.fixture(scope="module")
def expected(
    trained_in_binary64: Any, twice: Any
) -> Iterator[dict[str, tuple[nn.Module, list[Any], list[Tensor]]]]:
    """Return modules, inputs and what binary64 makes of them, and compute reproducibly."""
    found = {}
    for name, make in CASES.items():
        (exact, inputs), single = make(), make()[0].float()
        exact.load_state_dict(single.state_dict())
        inputs = [
            each.detach().float().double().requires_grad_(each.requires_grad)
            if isinstance(each, Tensor) and each.is_floating_point()
            else each
            for each in inputs
        ]
        found[name] = (single, inputs, results_of(exact, inputs, torch.float64))
    with reproducible():
        yield found


@pytest.mark.parametrize("name", CASES)
def test_a_class_agrees_with_binary64(name: str, expected: dict[str, Any]) -> None:
    module, inputs, right = expected[name]
    found = results_of(module, inputs, torch.float32)
    assert [each.shape for each in found] == [each.shape for each in right]
    for ours, exact in zip(found, right, strict=True):
        assert ours.dtype is torch.float32
        torch.testing.assert_close(ours.double(), exact, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", TWICE)
def test_gradients_have_gradients(name: str, twice: Any, expected: dict[str, Any]) -> None:
    module, inputs, right = twice[name]
    found = second_gradients_of(module, inputs, torch.float32)
    for ours, exact in zip(found, right, strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=1e-3, atol=1e-3)


def test_every_class_has_a_case() -> None:
    others = HOLDERS | PARENTS | DRAWN | ON_ACCELERATORS
    tested = {each.partition(" ")[0] for each in CASES}
    assert set(nn.modules.__all__) - others - tested == {"NLLLoss2d"}


def optimizers() -> dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]]:
    """Return every optimizer with each setting that makes it call other operators."""
    settings: list[dict[str, Any]] = [
        {},
        {"foreach": True},
        {"foreach": False},
        {"fused": True},
        {"maximize": True},
        {"weight_decay": 0.1},
        {"amsgrad": True},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"centered": True},
        {"lr": torch.tensor(0.01)},
        {"line_search_fn": "strong_wolfe"},
        {"decoupled_weight_decay": True},
    ]
    found = {}
    for name, kind in vars(torch.optim).items():
        if not isinstance(kind, type) or name in {"Optimizer", "SparseAdam"}:
            continue
        taken = inspect.signature(kind).parameters
        for each in settings:
            if set(each) <= set(taken):
                found[f"{name} {' '.join(map(str, each))}".strip()] = (kind, each)
    return found


OPTIMIZERS = optimizers()


def trained(name: str, dtype: torch.dtype) -> list[Tensor]:
    """Return the weights of a small model after three steps."""
    kind, settings = OPTIMIZERS[name]
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)).to(dtype)
    with torch.no_grad():
        for each in model.parameters():
            each.copy_(spread(each) * 0.5)
    of = [each for each in model.parameters() if each.dim() == 2 or kind.__name__ != "Muon"]
    optimizer = kind(of, **settings)
    inputs = spread(torch.empty(7, 6, dtype=dtype))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (model(inputs) - 1.0).square().mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    return [each.detach() for each in model.parameters()]


@pytest.fixture(scope="module")
def trained_in_binary64() -> dict[str, list[Tensor]]:
    return {name: trained(name, torch.float64) for name in OPTIMIZERS}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_agrees_with_binary64(
    name: str, trained_in_binary64: dict[str, list[Tensor]], expected: dict[str, Any]
) -> None:
    # Muon computes in bfloat16, wherever it runs.
    tolerance = 0.02 if name.startswith("Muon") else 2e-4
    for ours, right in zip(trained(name, torch.float32), trained_in_binary64[name], strict=True):
        torch.testing.assert_close(ours.double(), right, rtol=tolerance, atol=tolerance)


INITIAL: dict[str, Callable[[Tensor], Any]] = {
    name: getattr(nn.init, name)
    for name in [
        "uniform_",
        "normal_",
        "trunc_normal_",
        "ones_",
        "zeros_",
        "eye_",
        "xavier_uniform_",
        "xavier_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "orthogonal_",
    ]
} | {
    "constant_": lambda x: nn.init.constant_(x, 0.5),
    "sparse_": lambda x: nn.init.sparse_(x, 0.25),
    "dirac_": lambda x: nn.init.dirac_(x.reshape(8, 3, 4)),
}


@pytest.mark.parametrize("name", INITIAL)
def test_weights_are_initialised_by_their_seed(name: str, expected: dict[str, Any]) -> None:
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(torch.full((8, 12), float("nan")))
        INITIAL[name](made[-1])
    assert made[0].isfinite().all()
    assert torch.equal(*made)


def test_orthogonal_rows_are(expected: dict[str, Any]) -> None:
    for shape in ((8, 12), (12, 8), (7, 7)):
        made = nn.init.orthogonal_(torch.empty(shape))
        short = made if shape[0] <= shape[1] else made.T
        torch.testing.assert_close(short @ short.T, torch.eye(min(shape)), rtol=0, atol=1e-6)


def test_gradients_are_clipped(expected: dict[str, Any]) -> None:
    for norm in (1.0, 2.0, 3.0, float("inf")):
        model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2))
        model(torch.ones(3, 6)).sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1, norm)
        total = nn.utils.get_total_norm([each.grad for each in model.parameters()], norm)
        torch.testing.assert_close(total, torch.tensor(0.1))
        nn.utils.clip_grad_value_(model.parameters(), 0.01)
        assert all(float(each.grad.abs().max()) <= 0.01 for each in model.parameters())


def positive(*shape: int) -> Tensor:
    return (spread(torch.empty(shape)) * 0.5 + 0.8).requires_grad_()


DISTRIBUTIONS: dict[str, Callable[[], D.Distribution]] = {
    "Bernoulli": lambda: D.Bernoulli(logits=positive(3)),
    "Beta": lambda: D.Beta(positive(3), positive(3)),
    "Binomial": lambda: D.Binomial(5, logits=positive(3)),
    "Categorical": lambda: D.Categorical(logits=positive(3, 4)),
    "Cauchy": lambda: D.Cauchy(positive(3), positive(3)),
    "Chi2": lambda: D.Chi2(positive(3)),
    "ContinuousBernoulli": lambda: D.ContinuousBernoulli(logits=positive(3)),
    "Dirichlet": lambda: D.Dirichlet(positive(2, 3)),
    "Exponential": lambda: D.Exponential(positive(3)),
    "FisherSnedecor": lambda: D.FisherSnedecor(positive(3), positive(3)),
    "Gamma": lambda: D.Gamma(positive(3), positive(3)),
    "Geometric": lambda: D.Geometric(logits=positive(3)),
    "Gumbel": lambda: D.Gumbel(positive(3), positive(3)),
    "HalfCauchy": lambda: D.HalfCauchy(positive(3)),
    "HalfNormal": lambda: D.HalfNormal(positive(3)),
    "Independent": lambda: D.Independent(D.Normal(positive(3), positive(3)), 1),
    "InverseGamma": lambda: D.InverseGamma(positive(3), positive(3)),
    "Kumaraswamy": lambda: D.Kumaraswamy(positive(3), positive(3)),
    "Laplace": lambda: D.Laplace(positive(3), positive(3)),
    "LKJCholesky": lambda: D.LKJCholesky(3, 1.5),
    "LogNormal": lambda: D.LogNormal(positive(3), positive(3)),
    "LogisticNormal": lambda: D.LogisticNormal(positive(3), positive(3)),
    "LowRankMultivariateNormal": lambda: D.LowRankMultivariateNormal(
        positive(3), positive(3, 1), positive(3)
    ),
    "MixtureSameFamily": lambda: D.MixtureSameFamily(
        D.Categorical(logits=positive(3)), D.Normal(positive(3), positive(3))
    ),
    "Multinomial": lambda: D.Multinomial(5, logits=positive(4)),
    "MultivariateNormal": lambda: D.MultivariateNormal(
        positive(3), covariance_matrix=torch.eye(3) + 0.1
    ),
    "NegativeBinomial": lambda: D.NegativeBinomial(5, logits=positive(3)),
    "Normal": lambda: D.Normal(positive(3), positive(3)),
    "OneHotCategorical": lambda: D.OneHotCategorical(logits=positive(3, 4)),
    "Pareto": lambda: D.Pareto(positive(3), positive(3)),
    "Poisson": lambda: D.Poisson(positive(3)),
    "RelaxedBernoulli": lambda: D.RelaxedBernoulli(torch.tensor(0.5), logits=positive(3)),
    "RelaxedOneHotCategorical": lambda: D.RelaxedOneHotCategorical(
        torch.tensor(0.5), logits=positive(3, 4)
    ),
    "StudentT": lambda: D.StudentT(positive(3) + 3),
    "TransformedDistribution": lambda: D.TransformedDistribution(
        D.Normal(positive(3), positive(3)), [D.TanhTransform()]
    ),
    "Uniform": lambda: D.Uniform(-positive(3), positive(3)),
    "Weibull": lambda: D.Weibull(positive(3), positive(3)),
    "Wishart": lambda: D.Wishart(torch.tensor(4.0), torch.eye(3)),
}
# Draws from it are computed in binary64.
NOT_DRAWN = {"VonMises"}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_distribution_draws_by_its_seed_and_knows_its_density(
    name: str, expected: dict[str, Any]
) -> None:
    made = []
    for _ in range(2):
        distribution = DISTRIBUTIONS[name]()
        torch.manual_seed(4)
        draw = distribution.rsample if distribution.has_rsample else distribution.sample
        made.append(draw((5,)))
    assert torch.equal(*made)
    density = distribution.log_prob(made[0].detach())
    assert density.isfinite().all()
    for each in (density, made[0]):
        if each.requires_grad:
            each.sum().backward(retain_graph=True)


def test_every_distribution_is_tested() -> None:
    kinds = {each.__name__ for each in vars(D).values() if is_distribution(each)}
    special = {"Distribution", "ExponentialFamily", "GeneralizedPareto"}
    straight = {"OneHotCategoricalStraightThrough"}
    assert kinds - special - straight - NOT_DRAWN - set(DISTRIBUTIONS) == set()


def is_distribution(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, D.Distribution)
