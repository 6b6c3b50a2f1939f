# SPDX-License-Identifier: Apache-2.0
"""Bootstrap intervals of medians and of ratios of medians."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stackrig import _core
from stackrig.stats import student
from stackrig.stats.interval import FEW, LEVEL, Interval, from_draws, widened

DRAWS = 10_000


def median(values: Sequence[float], seed: int, level: float = LEVEL) -> Interval:
    """The median of trials."""
    if not values:
        raise ValueError("the median of no trial")
    draws = _core.bootstrap_medians([list(values)], paired=False, seed=seed, draws=DRAWS)[0]
    interval = from_draws(float(np.median(values)), draws, len(values), level)
    if 2 <= len(values) < FEW and min(values) > 0:
        low, high = student.mean_interval([math.log(value) for value in values], level)
        return widened(interval, _exp(low), _exp(high))
    return interval


def median_of_ratios(
    numerator: Sequence[float], denominator: Sequence[float], seed: int, level: float = LEVEL
) -> Interval:
    """The median of numerator[i] / denominator[i], each pair taken side by side: what the machine did to both
    cancels out. Pairs are resampled."""
    pairs = zip(numerator, denominator, strict=True)
    return median([above / below if below else math.inf for above, below in pairs], seed, level)


def ratio_of_medians(
    numerator: Sequence[float],
    denominator: Sequence[float],
    seed: int,
    *,
    paired: bool = False,
    level: float = LEVEL,
) -> Interval:
    """median(numerator) / median(denominator).

    `paired`: the i-th values were taken side by side, in one repetition of an interleaved run; they are
    resampled together, so that what the machine did to both cancels out.
    """
    if not numerator or not denominator:
        raise ValueError("the ratio of no trial")
    if paired and len(numerator) != len(denominator):
        raise ValueError(f"{len(numerator)} trials cannot be paired with {len(denominator)}")
    n = min(len(numerator), len(denominator))
    width = max(len(numerator), len(denominator))
    rows = np.full((2, width), np.nan)
    rows[0, : len(numerator)] = numerator
    rows[1, : len(denominator)] = denominator
    draws = _core.bootstrap_medians(rows, paired=paired, seed=seed, draws=DRAWS)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = draws[0] / draws[1]
        value = float(np.float64(np.median(numerator)) / np.float64(np.median(denominator)))
    interval = from_draws(value, ratios, n, level)
    if not 2 <= n < FEW or min(*numerator, *denominator) <= 0:
        return interval
    above, below = [[math.log(value) for value in side] for side in (numerator, denominator)]
    if paired:
        low, high = student.mean_interval([a - b for a, b in zip(above, below, strict=True)], level)
    else:
        low, high = student.difference_interval(above, below, level)
    return widened(interval, _exp(low), _exp(high))


def _exp(x: float) -> float:
    return math.exp(min(x, 700.0))
