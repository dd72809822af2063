"""How draws of gamma and Dirichlet distributions move with the distributions' parameters.

A draw x of shape a moves by -(dF / da) / (dF / dx), F being the chance to draw less. F is a power
series times a factor that both derivatives share; its terms are added up in binary64 until they no
longer count.
"""

from __future__ import annotations

import torch
from torch import Tensor, log

from gensyn_lightning.repops.coverage import composed
from gensyn_lightning.repops.operators.transcendental import digamma

LARGE = 2000.0  # from this shape on gamma draws are taken to be cubes of normal ones
_TERMS_MAX = 20_000


@composed("_standard_gamma_grad", out="_standard_gamma_grad.out")
def standard_gamma_grad(self: Tensor, output: Tensor) -> Tensor:
    """Return by how much each draw moves with its shape."""
    shape, x = self.double(), output.double()
    small = torch.where(shape < LARGE, shape, 1.0)
    at = torch.where(shape < LARGE, x, 1.0)
    term = 1.0 / small
    slope, total, total_slope = -term * term, term, -term * term
    for k in range(1, _TERMS_MAX):
        inverse = 1.0 / (small + float(k))
        slope = (slope - term * inverse) * (at * inverse)
        term = term * (at * inverse)
        total, total_slope = total + term, total_slope + slope
        if bool((slope.abs() <= total_slope.abs() * 2.0**-56).all()):
            break
    found = -at * ((log(at) - digamma(small)) * total + total_slope)
    # x = a (1 - 1 / (9 a) + z / (3 sqrt(a)))**3 for a normal z (Wilson and Hilferty, 1931)
    root = _cube_root((x / shape).clamp(min=1e-300))
    z = (root - 1.0 + 1.0 / (9.0 * shape)) * 3.0 * shape.sqrt()
    inner = 1.0 / (9.0 * shape * shape) - z / (6.0 * shape * shape.sqrt())
    large = x / shape + 3.0 * shape * root * root * inner
    found = torch.where(shape < LARGE, found, large)
    return torch.where(x > 0, found, 0.0).to(self.dtype)


def _cube_root(x: Tensor) -> Tensor:
    """Return the cube root of numbers near 1, by Newton's method."""
    found = x.clamp(0.5, 2.0)
    for _ in range(8):
        found = found - (found - x / (found * found)) / 3.0
    return found


@composed("_dirichlet_grad", out="_dirichlet_grad.out")
def dirichlet_grad(x: Tensor, alpha: Tensor, total: Tensor) -> Tensor:
    """Return by how much a draw x of beta(alpha, total - alpha) moves with alpha, by 1 - x."""
    a, at = alpha.double(), x.double().clamp(1e-30, 1.0 - 2.0**-53)
    b = total.double() - a
    above = at * (a + b) > a
    first, second = torch.where(above, b, a), torch.where(above, a, b)
    place = torch.where(above, 1.0 - at, at)
    both, own, other = digamma(a + b), digamma(first + 1.0), digamma(second)
    term = torch.ones_like(a)
    slope, sums, slopes = torch.zeros_like(a), term, torch.zeros_like(a)
    for k in range(_TERMS_MAX):
        up, down = a + b + float(k), first + 1.0 + float(k)
        turn = torch.where(above, 1.0 / up, 1.0 / up - 1.0 / down)
        ratio = place * up / down
        slope = (slope + term * turn) * ratio
        term = term * ratio
        sums, slopes = sums + term, slopes + slope
        if bool(((term <= sums * 2.0**-56) & (slope.abs() <= sums * 2.0**-56)).all()):
            break
    factor = torch.where(above, log(1.0 - place) + both - other, log(place) + both - own)
    moved = place * (1.0 - place) / first * (factor * sums + slopes)
    return (torch.where(above, moved, -moved) / (1.0 - at)).to(x.dtype)
