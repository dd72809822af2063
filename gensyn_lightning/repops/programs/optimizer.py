"""One step of an optimizer for one parameter: what the fused optimizers compute.

What is the same for all elements of a parameter (rates, bias corrections) is a program of its own,
in binary64, on the step count; the elements then see it rounded to their own format.
"""

from __future__ import annotations

from gensyn_lightning.repops.word import (
    Word,
    double,
    equal,
    family,
    floating,
    fma,
    integer,
    maximum,
    minimum,
    program,
    sqrt,
    to_double,
    where,
)

STEP_BITS = 24  # a step counted in binary32 stops growing there
STEPS_MAX = (1 << STEP_BITS) - 1


@family("idDDD", "iDDDD")
def adam_rates(step: Word, rate: Word, beta1: Word, beta2: Word, decay: Word) -> tuple[Word, ...]:
    """Return the step size, 1 / sqrt of the second bias correction, shares, the decay factor.

    The shares are what a new gradient and its square have in their averages.
    """
    first = 1.0 - power(beta1, step)
    second = sqrt(1.0 - power(beta2, step))
    return rate / first, 1.0 / second, 1.0 - beta1, 1.0 - beta2, 1.0 - rate * decay


@family("idDD", "iDDD")
def adagrad_rates(step: Word, rate: Word, rate_decay: Word, decay: Word) -> tuple[Word, Word]:
    """Return the step size, and the weight decay as it is."""
    return rate / (1.0 + to_double(step - 1) * rate_decay), decay


@family("dDDD", "DDDD")
def sgd_rates(rate: Word, momentum: Word, dampening: Word, decay: Word) -> tuple[Word, ...]:
    """Return the rate, momentum, what a gradient adds to it, and the weight decay."""
    return rate, momentum, 1.0 - dampening, decay


def power(base: Word, exponent: Word) -> Word:
    """Return a binary64 to a whole power from 0 to `STEPS_MAX`, by squaring; others are cut."""
    n = minimum(maximum(exponent, 0), integer(STEPS_MAX))
    result, square = double(1.0), base
    for at in range(STEP_BITS):
        result = where(n & (1 << at), result * square, result)
        square = square * square
    return result


@family("ffffFFFFFFFF", "ddddDDDDDDDD")
def adam(
    param: Word,
    grad: Word,
    mean: Word,
    square: Word,
    size: Word,
    root: Word,
    share1: Word,
    share2: Word,
    beta2: Word,
    decay: Word,
    eps: Word,
    sign: Word,
) -> tuple[Word, ...]:
    """Return the parameter and both averages after a step of Adam; decay adds to the gradient."""
    grad = decayed(param, grad * sign, decay)
    mean, square = _averages(grad, mean, square, share1, share2, beta2)
    return _moved(param, mean, square, size, root, eps), mean, square


@family("ffffFFFFFFFF", "ddddDDDDDDDD")
def adamw(
    param: Word,
    grad: Word,
    mean: Word,
    square: Word,
    size: Word,
    root: Word,
    share1: Word,
    share2: Word,
    shrink: Word,
    beta2: Word,
    eps: Word,
    sign: Word,
) -> tuple[Word, ...]:
    """Return the parameter and both averages after a step of AdamW; decay shrinks the parameter."""
    mean, square = _averages(grad * sign, mean, square, share1, share2, beta2)
    return _moved(param * shrink, mean, square, size, root, eps), mean, square


@family("fffffFFFFFFFF", "dddddDDDDDDDD")
def adam_amsgrad(
    param: Word,
    grad: Word,
    mean: Word,
    square: Word,
    largest: Word,
    size: Word,
    root: Word,
    share1: Word,
    share2: Word,
    beta2: Word,
    decay: Word,
    eps: Word,
    sign: Word,
) -> tuple[Word, ...]:
    """Return parameter, averages and the largest second one after a step of AMSGrad."""
    grad = decayed(param, grad * sign, decay)
    mean, square = _averages(grad, mean, square, share1, share2, beta2)
    largest = maximum(square, largest)
    return _moved(param, mean, largest, size, root, eps), mean, square, largest


@family("fffffFFFFFFFF", "dddddDDDDDDDD")
def adamw_amsgrad(
    param: Word,
    grad: Word,
    mean: Word,
    square: Word,
    largest: Word,
    size: Word,
    root: Word,
    share1: Word,
    share2: Word,
    shrink: Word,
    beta2: Word,
    eps: Word,
    sign: Word,
) -> tuple[Word, ...]:
    """Return parameter, averages and the largest second one after a step of AMSGrad's AdamW."""
    mean, square = _averages(grad * sign, mean, square, share1, share2, beta2)
    largest = maximum(square, largest)
    return _moved(param * shrink, mean, largest, size, root, eps), mean, square, largest


@family("fffFFFF", "dddDDDD")
def adagrad(
    param: Word, grad: Word, total: Word, size: Word, decay: Word, eps: Word, sign: Word
) -> tuple[Word, Word]:
    """Return the parameter and its sum of squared gradients after a step of Adagrad."""
    grad = decayed(param, grad * sign, decay)
    total = multiply_add(grad, grad, total)
    return multiply_add(-size, grad / (sqrt(total) + eps), param), total


@family("ffFFF", "ddDDD")
def sgd(param: Word, grad: Word, size: Word, decay: Word, sign: Word) -> Word:
    """Return the parameter after a step of plain gradient descent."""
    return multiply_add(-size, decayed(param, grad * sign, decay), param)


@family("fffFFFFFII", "dddDDDDDII")
def sgd_momentum(
    param: Word,
    grad: Word,
    buffer: Word,
    size: Word,
    momentum: Word,
    share: Word,
    decay: Word,
    sign: Word,
    is_first: Word,
    is_nesterov: Word,
) -> tuple[Word, Word]:
    """Return the parameter and its momentum; the first momentum is the gradient."""
    grad = decayed(param, grad * sign, decay)
    buffer = where(is_first, grad, multiply_add(momentum, buffer, share * grad))
    step = where(is_nesterov, multiply_add(momentum, buffer, grad), buffer)
    return multiply_add(-size, step, param), buffer


@family("ffF", "dfD")
def unscaled(grad: Word, found: Word, scale: Word) -> Word:
    """Return the gradient without its scale, or as it is if an infinity was `found`."""
    return where(equal(found, 1.0), grad, grad / scale)


@program("")
def nothing_found() -> Word:
    """Return 0: no infinity was found."""
    return floating(0.0)


@family("fff", "ddf")
def kept(old: Word, new: Word, found: Word) -> Word:
    """Return `old` if an infinity was `found`, else `new`."""
    return where(equal(found, 1.0), old, new)


def decayed(param: Word, grad: Word, decay: Word) -> Word:
    """Return the gradient with weight decay; without any, the parameter does not matter."""
    return where(equal(decay, 0.0), grad, multiply_add(decay, param, grad))


def multiply_add(a: Word, b: Word, c: Word) -> Word:
    """Return a * b + c, rounded once for binary32; binary64 has no fused form."""
    return fma(a, b, c) if a.kind == "f" else a * b + c


def _averages(
    grad: Word, mean: Word, square: Word, share1: Word, share2: Word, beta2: Word
) -> tuple[Word, Word]:
    """Return the running averages of the gradient and of its square."""
    mean = multiply_add(share1, grad - mean, mean)
    return mean, multiply_add(beta2, square, share2 * grad * grad)


def _moved(param: Word, mean: Word, square: Word, size: Word, root: Word, eps: Word) -> Word:
    return multiply_add(-size, mean / multiply_add(sqrt(square), root, eps), param)
