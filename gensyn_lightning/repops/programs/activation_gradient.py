"""What activation functions do to a gradient: it is multiplied by their derivatives."""

from __future__ import annotations

from gensyn_lightning.repops.programs.activation import (
    GELU_BEND,
    GELU_SLOPE,
    gelu_angle,
    mish_odds,
    odds,
)
from gensyn_lightning.repops.programs.error_function import normal_tail
from gensyn_lightning.repops.programs.exponential import exp
from gensyn_lightning.repops.word import (
    Word,
    absolute,
    family,
    fma,
    is_nan,
    program,
    where,
)

BELL_AT_0 = 0.3989422804014327  # 1 / sqrt(2 pi)


@program("ff")
def gelu_backward(gradient: Word, x: Word) -> Word:
    """Return the gradient through gelu."""
    tail, bell = normal_tail(absolute(x))
    below = where(x < 0.0, tail, 1.0 - tail)
    return gradient * fma(x * BELL_AT_0, bell, below)


@program("ff")
def gelu_tanh_backward(gradient: Word, x: Word) -> Word:
    """Return the gradient through gelu_tanh."""
    above, whole = odds(gelu_angle(x))
    share = above / whole
    slope = GELU_SLOPE * fma(x * x, 3.0 * GELU_BEND, 1.0)
    return gradient * fma(x * slope, share * (1.0 - share), share)


@program("ff")
def silu_backward(gradient: Word, x: Word) -> Word:
    """Return the gradient through silu."""
    above, whole = odds(x)
    share = above / whole
    return gradient * (share * fma(x, 1.0 - share, 1.0))


@program("ff")
def mish_backward(gradient: Word, x: Word) -> Word:
    """Return the gradient through mish."""
    above, whole = mish_odds(x)
    tanh, share = above / whole, odds(x)
    sigmoid = share[0] / share[1]
    return gradient * fma(x * sigmoid, 1.0 - tanh * tanh, tanh)


@program("ff")
def sigmoid_backward(gradient: Word, value: Word) -> Word:
    """Return the gradient through sigmoid, by its value."""
    return gradient * ((1.0 - value) * value)


@program("ff")
def tanh_backward(gradient: Word, value: Word) -> Word:
    """Return the gradient through tanh, by its value."""
    return gradient * fma(-value, value, 1.0)


@program("fff")
def log_sigmoid_backward(gradient: Word, x: Word, shrunk: Word) -> Word:
    """Return the gradient through log_sigmoid; `shrunk` is e**-|x|."""
    return gradient * (where(x < 0.0, 1.0, shrunk) / (shrunk + 1.0))


@program("ffFF")
def softplus_backward(gradient: Word, x: Word, beta: Word, threshold: Word) -> Word:
    """Return the gradient through softplus."""
    scaled = x * beta
    above, whole = odds(scaled)
    return where(scaled > threshold, gradient, gradient * (above / whole))


@program("ffFFF")
def elu_backward(gradient: Word, x: Word, alpha: Word, scale: Word, input_scale: Word) -> Word:
    """Return the gradient through elu, by its input."""
    below = exp(x * input_scale) * (alpha * scale * input_scale)
    return gradient * where(x > 0.0, scale, below)


@program("ffFFF")
def elu_backward_of_value(
    gradient: Word, value: Word, alpha: Word, scale: Word, input_scale: Word
) -> Word:
    """Return the gradient through elu, by its value."""
    below = (value + alpha * scale) * input_scale
    return gradient * where(value > 0.0, scale, below)


@family("ffF", "ddD")
def threshold_backward(gradient: Word, x: Word, limit: Word) -> Word:
    """Return the gradient where x is above the limit or NaN, else 0."""
    return where(x <= limit, 0.0, gradient)


@family("ffFF", "ddDD")
def hardtanh_backward(gradient: Word, x: Word, low: Word, high: Word) -> Word:
    """Return the gradient where x is between the bounds, else 0."""
    return where((x <= low) | (x >= high), 0.0, gradient)


@family("ffF", "fff", "ddD", "ddd")
def leaky_relu_backward(gradient: Word, x: Word, slope: Word) -> Word:
    """Return the gradient where x is above 0, else slope times it."""
    return where(x > 0.0, gradient, gradient * slope)


@family("fff", "ddd")
def prelu_backward(gradient: Word, x: Word, slope: Word) -> tuple[Word, Word]:
    """Return the gradients of x and of each element's slope."""
    above = x > 0.0
    return where(above, gradient, gradient * slope), where(above, 0.0, x * gradient)


@family("ff", "dd")
def hardsigmoid_backward(gradient: Word, x: Word) -> Word:
    """Return a sixth of the gradient where x is between -3 and 3, else 0."""
    return where((x > -3.0) & (x < 3.0), gradient * (1.0 / 6.0), 0.0)


@family("ff", "dd")
def hardswish_backward(gradient: Word, x: Word) -> Word:
    """Return the gradient through hardswish."""
    middle = gradient * (x / 3.0 + 0.5)
    return where(x <= -3.0, 0.0, where(x < 3.0, middle, where(is_nan(x), middle, gradient)))


@family("ffF", "ddD")
def shrink_backward(gradient: Word, x: Word, limit: Word) -> Word:
    """Return 0 where |x| is within the limit, else the gradient."""
    return where(absolute(x) <= limit, 0.0, gradient)


@program("fff")
def glu_backward(gradient: Word, a: Word, gate: Word) -> tuple[Word, Word]:
    """Return the gradients of both halves of glu."""
    above, whole = odds(gate)
    share = above / whole
    through = gradient * share
    return through, (1.0 - share) * through * a


@program("ff")
def logit_backward(gradient: Word, x: Word) -> Word:
    """Return the gradient through logit; NaN outside of [0, 1]."""
    value = gradient / (x * (1.0 - x))
    return where((x < 0.0) | (x > 1.0), float("nan"), value)


@program("ffF")
def logit_inside_backward(gradient: Word, x: Word, bound: Word) -> Word:
    """Return the gradient through logit_inside: 0 where x was brought to a bound."""
    value = gradient / (x * (1.0 - x))
    return where((x < bound) | (x > 1.0 - bound), 0.0, value)
