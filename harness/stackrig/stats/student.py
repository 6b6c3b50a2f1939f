# SPDX-License-Identifier: Apache-2.0
"""Student's t: what is said of few trials, whose bootstrap interval is too narrow to be honest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist


def t_quantile(p: float, freedom: float) -> float:
    """The t that a variable with `freedom` degrees of freedom stays below with probability `p`.

    Bisection on the distribution function; right to 1e-9 for any freedom from 1 on.
    """
    if not 0 < p < 1:
        raise ValueError(f"p is {p}; expected between 0 and 1")
    if p < 0.5:
        return -t_quantile(1 - p, freedom)
    low, high = 0.0, 1.0
    while t_below(high, freedom) < p:
        low, high = high, high * 2
    while high - low > 1e-10 * max(1.0, high):
        middle = (low + high) / 2
        low, high = (middle, high) if t_below(middle, freedom) < p else (low, middle)
    return (low + high) / 2


def t_below(t: float, freedom: float) -> float:
    """P(T < t), t >= 0, by the incomplete beta function."""
    return 1 - _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2


def mean_interval(values: Sequence[float], level: float) -> tuple[float, float]:
    """Interval of the mean of `values`; two at least."""
    n = len(values)
    mean = math.fsum(values) / n
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)
    half = t_quantile(0.5 + level / 2, n - 1) * spread
    return mean - half, mean + half


def difference_interval(left: Sequence[float], right: Sequence[float], level: float) -> tuple[float, float]:
    """Interval of mean(left) - mean(right) of unpaired groups (Welch 1947); two each at least."""
    means, parts = [], []
    for values in (left, right):
        mean = math.fsum(values) / len(values)
        means.append(mean)
        parts.append(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
    variance = sum(parts)
    difference = means[0] - means[1]
    if variance == 0:
        return difference, difference
    freedom = variance**2 / (parts[0] ** 2 / (len(left) - 1) + parts[1] ** 2 / (len(right) - 1))
    half = t_quantile(0.5 + level / 2, freedom) * math.sqrt(variance)
    return difference - half, difference + half


def z_quantile(p: float) -> float:
    """As t_quantile, for infinitely many degrees of freedom."""
    return NormalDist().inv_cdf(p)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised I_x(a, b) by Lentz's continued fraction (Numerical Recipes, 6.4)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    tiny, c = 1e-300, 1.0
    d = 1 / _away_from_zero(1 - (a + b) * x / (a + 1), tiny)
    h = d
    for m in range(1, 500):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + term * d, tiny)
            c = _away_from_zero(1 + term / c, tiny)
            h *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return h


def _away_from_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny
