"""Special functions that few models need: Bessel's, derivatives of log gamma, log of the normal.

Composed of operators on binary64 where that makes them accurate, and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gensyn_lightning.errors import NotReproducible
from gensyn_lightning.repops.coverage import composed
from gensyn_lightning.repops.hints import COMPLEX

# Chebyshev series: of exp(-x) i0(x) and exp(-x) i1(x) / x in x / 4 - 1 up to 8, and of
# sqrt(x) exp(-x) i0(x), and i1, in 16 / x - 1 from there on.
_I0_BELOW = (
    0.33839763720473803, -0.3046826723431984, 0.17162090152220877, -0.09490109704804764,
    0.04930528423967071, -0.02373741480589947, 0.010546460394594998, -0.004324309995050576,
    0.0016394756169413357, -0.0005763755745385824, 0.00018850288509584165,
    -5.754195010082104e-05, 1.6448448070728896e-05, -4.4167383584587505e-06,
    1.1173875391201037e-06, -2.670793853940612e-07, 6.046995022541919e-08,
    -1.300025009986248e-08, 2.6598237246823866e-09, -5.189795601635263e-10,
)  # fmt: skip
_I0_ABOVE = (
    0.4022452055070544, 0.0033691164782556943, 6.889758346916825e-05, 2.8913705208347567e-06,
    2.0489185894690638e-07, 2.266668990498178e-08, 3.3962320257083865e-09, 4.94060238822497e-10,
)  # fmt: skip
_I1_BELOW = (
    0.12629359322181682, -0.17641651835783406, 0.1026436586898471, -0.05294598120809499,
    0.024726449030626516, -0.010564084894626197, 0.004156422944312888, -0.0015135724506312532,
    0.0005122859561685758, -0.00016176081582589674, 4.781565107550054e-05,
    -1.3273163656039436e-05, 3.4702513081376785e-06, -8.568720264695455e-07,
    2.0032947535521353e-07, -4.445059128796328e-08, 9.381537386495773e-09,
    -1.8872497517228294e-09, 3.625590281552117e-10,
)  # fmt: skip
_I1_ABOVE = (
    0.38928811750914005, -0.009761097491361469, -0.00011058893876262371, -3.882564808877691e-06,
    -2.512236237870209e-07, -2.6314688468895196e-08, -3.835380385964237e-09,
    -5.589743462196584e-10,
)  # fmt: skip
# B(2 j) / (2 j)!, the terms of Euler and Maclaurin's sum.
_BERNOULLI = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160, -691 / 1307674368000)
_SHIFT = 12


def _single(name: str, x: Tensor) -> Tensor:
    """Return binary64 copies of what is no wider than binary32."""
    if x.dtype is torch.float64 or x.is_complex():
        raise NotReproducible(f"{name} of {x.dtype} is not defined", hint="convert to float32")
    return x.double()


def _type_of(x: Tensor) -> torch.dtype:
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()


def _series(coefficients: Sequence[float], t: Tensor) -> Tensor:
    """Return a Chebyshev series, by Clenshaw's rule."""
    now, before, twice = torch.zeros_like(t), torch.zeros_like(t), 2.0 * t
    for each in reversed(coefficients[1:]):
        now, before = twice * now - before + each, now
    return t * now - before + coefficients[0]


def _scaled(size: Tensor, order: int) -> Tensor:
    """Return exp(-x) times Bessel's modified function of 0 or more."""
    near = size.clamp(max=8.0)
    below = _series(_I1_BELOW if order else _I0_BELOW, near / 4.0 - 1.0)
    far = size.clamp(min=8.0)
    above = _series(_I1_ABOVE if order else _I0_ABOVE, 16.0 / far - 1.0) / far.sqrt()
    return torch.where(size <= 8.0, below * near if order else below, above)


def _bessel(name: str, x: Tensor, order: int, *, scaled: bool) -> Tensor:
    given = _single(name, x)
    size = given.abs()
    found = _scaled(size, order)
    if not scaled:
        half = (size * 0.5).float().exp().double()
        found = found * half * half
        found = torch.where(size == math.inf, size, found)
    if order:
        found = torch.where(given < 0, -found, found)
    return torch.where(given.isnan(), given, found).to(_type_of(x))


@composed("i0", inplace="i0_", out="i0.out")
def i0(self: Tensor) -> Tensor:
    """Return Bessel's modified function of order 0, at most 4 units off."""
    return _bessel("i0", self, 0, scaled=False)


@composed("special_i0e", out="special_i0e.out")
def special_i0e(self: Tensor) -> Tensor:
    """Return exp(-|x|) i0(x)."""
    return _bessel("special.i0e", self, 0, scaled=True)


@composed("special_i1", out="special_i1.out")
def special_i1(self: Tensor) -> Tensor:
    """Return Bessel's modified function of order 1, at most 4 units off."""
    return _bessel("special.i1", self, 1, scaled=False)


@composed("special_i1e", out="special_i1e.out")
def special_i1e(self: Tensor) -> Tensor:
    """Return exp(-|x|) i1(x)."""
    return _bessel("special.i1e", self, 1, scaled=True)


@composed("polygamma", out="polygamma.out")
def polygamma(n: int, self: Tensor) -> Tensor:
    """Return the derivative of order n + 1 of log gamma; from n = 2 on, of positive numbers."""
    if n < 0:
        raise RuntimeError("polygamma(n, x) does not support negative n.")
    if n == 0:
        return self.digamma()
    x = _single("polygamma", self)
    if n == 1:
        return _trigamma(x).to(_type_of(self))
    if bool((x <= 0).any()):
        raise NotReproducible(
            f"polygamma({n}, x) of numbers that are not positive is not defined",
            hint="clamp x to positive numbers",
        )
    found = _zeta(n + 1, x) * float(math.factorial(n))
    return (found if n % 2 else -found).to(_type_of(self))


def _trigamma(x: Tensor) -> Tensor:
    reflected = x < 0.5
    found = _zeta(2, torch.where(reflected, 1.0 - x, x))
    away = (x - x.round()).float() * math.pi
    sine = away.sin().double()
    return torch.where(reflected, math.pi**2 / (sine * sine) - found, found)


def _zeta(s: int, q: Tensor) -> Tensor:
    """Return the sum of (q + k)**-s for k = 0, 1, 2, ..., of positive q and whole s > 1."""
    total = torch.zeros_like(q)
    for each in range(_SHIFT):
        total = total + _power(1.0 / (q + float(each)), s)
    inverse = 1.0 / (q + float(_SHIFT))
    power = _power(inverse, s)
    total = total + power * 0.5 + _power(inverse, s - 1) / float(s - 1)
    factor = float(s)
    term = power * inverse
    for at, ratio in enumerate(_BERNOULLI):
        total = total + term * (ratio * factor)
        factor = factor * float((s + 2 * at + 1) * (s + 2 * at + 2))
        term = term * inverse * inverse
    return torch.where(q == math.inf, torch.zeros_like(total), total)


def _power(x: Tensor, exponent: int) -> Tensor:
    found = torch.ones_like(x)
    for _ in range(exponent):
        found = found * x
    return found


@composed("special_log_ndtr", out="special_log_ndtr.out")
def special_log_ndtr(self: Tensor) -> Tensor:
    """Return the logarithm of the normal distribution function."""
    x = _single("special.log_ndtr", self).float()
    scaled = x * -math.sqrt(0.5)
    right = (torch.special.erfc(scaled.abs()) * -0.5).log1p()
    middle = (torch.special.erfc(scaled.clamp(max=8.0)) * 0.5).log()
    tail = x.clamp(max=-1.0).double()
    square = 1.0 / (tail * tail)
    series = (((105.0 * square - 15.0) * square + 3.0) * square - 1.0) * square
    size = (-tail).float().log().double()
    left = series - tail * tail * 0.5 - size - 0.5 * math.log(2.0 * math.pi)
    found = torch.where(x < 0, torch.where(x < -10.0, left.float(), middle), right)
    return torch.where(x.isnan(), x, found).to(_type_of(self))


@composed("angle", out="angle.out")
def angle(self: Tensor) -> Tensor:
    """Return pi for negative numbers, else 0."""
    if self.is_complex():
        raise NotReproducible("the angle of complex numbers is not defined", hint=COMPLEX)
    x = self if self.is_floating_point() else self.to(torch.get_default_dtype())
    found = torch.where(x < 0, torch.full_like(x, math.pi), torch.zeros_like(x))
    return torch.where(x.isnan(), torch.full_like(x, math.nan), found)


@composed("kaiser_window", "kaiser_window.periodic", "kaiser_window.beta")
def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: torch.dtype | None = None,
    layout: torch.layout | None = None,
    device: torch.device | None = None,
    pin_memory: bool | None = None,
) -> Tensor:
    """Return i0(beta sqrt(1 - t**2)) / i0(beta) for t from -1 on to 1."""
    wanted = torch.get_default_dtype() if dtype is None else dtype
    if window_length <= 1:
        return torch.ones(window_length, dtype=wanted)
    count = window_length + 1 if periodic else window_length
    t = torch.arange(window_length, dtype=torch.float64) * (2.0 / (count - 1)) - 1.0
    inside = (1.0 - t * t).clamp(min=0.0).sqrt() * beta
    found = i0(inside.float()) / i0(torch.full((), beta, dtype=torch.float32))
    return found.to(wanted)
