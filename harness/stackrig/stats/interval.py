# SPDX-License-Identifier: Apache-2.0
"""An estimate with the interval that it may lie in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
FEW = 6
"""Fewer trials than this have no 95 % interval of the median without assuming a distribution: the range of
n trials holds the median with probability 1 - 2^(1-n) (n = 3: 75 %, n = 5: 93.8 %, n = 6: 96.9 %). Below it
the interval is widened to Student's t on the logarithms."""


@dataclass(frozen=True)
class Interval:
    """`value` and the interval [low, high]; both NaN where there is none (a single trial).

    An end is infinite where the trials give a bound only, as those that a saturated client made.
    """

    value: float
    low: float
    high: float
    n: int
    level: float = LEVEL
    method: str = "bootstrap"

    @property
    def known(self) -> bool:
        """Is there an interval at all?"""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def inside(self, least: float, most: float) -> bool:
        """Lies wholly within [least, most]."""
        return self.known and least <= self.low and self.high <= most

    def apart(self, least: float, most: float) -> bool:
        """Lies wholly outside [least, most]."""
        return self.known and (self.high < least or self.low > most)

    def above(self, bound: float) -> bool:
        return self.known and self.low > bound

    def below(self, bound: float) -> bool:
        return self.known and self.high < bound

    def open_ended(self, *, up: bool = False, down: bool = False) -> Interval:
        """The same, known to be a bound only: the true value may lie any way up, or down."""
        return replace(self, low=-math.inf if down else self.low, high=math.inf if up else self.high)


def from_draws(value: float, draws: NDArray[np.float64], n: int, level: float = LEVEL) -> Interval:
    """The percentile interval of bootstrap draws. Draws that are no number are left out."""
    known = draws[np.isfinite(draws)]
    if n < 2 or known.size == 0:
        return Interval(value, math.nan, math.nan, n, level, "none: a single trial has no interval")
    tail = (1 - level) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    # The estimate is a number of its own; the draws of few trials need not straddle it.
    return Interval(value, min(float(low), value), max(float(high), value), n, level)


def widened(interval: Interval, low: float, high: float) -> Interval:
    """The interval made to hold [low, high] too, which Student's t gave."""
    return replace(
        interval,
        low=min(interval.low, low),
        high=max(interval.high, high),
        method=f"bootstrap, widened to Student's t on logarithms for {interval.n} trials",
    )
