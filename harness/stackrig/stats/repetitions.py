# SPDX-License-Identifier: Apache-2.0
"""How many repetitions it takes."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Sequence
from statistics import variance

from stackrig.stats.interval import LEVEL, Interval
from stackrig.stats.student import t_quantile, z_quantile

MOST = 1000
"""More than this is no answer: the value lies at the border that it is held against."""


def for_effect(effect: float, spread: float, level: float = LEVEL, power: float = 0.8) -> int:
    """Repetitions per system that show a ratio of 1 + `effect` with probability `power`.

    `spread`: standard deviation of the trials' logarithms, about their relative deviation. The normal
    approximation, with the two trials that Student's t costs at this size.
    """
    if effect == 0 or effect <= -1 or spread < 0:
        raise ValueError("expected an effect other than 0 and above -1, and a spread of 0 or more")
    needed = (z_quantile(0.5 + level / 2) + z_quantile(power)) * spread / abs(math.log1p(effect))
    return max(2, math.ceil(2 * needed**2 + 2)) if spread else 2


def spread(groups: Iterable[Sequence[float]]) -> float | None:
    """Standard deviation of the trials' logarithms within groups of like trials, pooled; None where no group has
    two positive values."""
    total, freedom = 0.0, 0
    for group in groups:
        logs = [math.log(value) for value in group if value > 0]
        if len(logs) > 1:
            total += variance(logs) * (len(logs) - 1)
            freedom += len(logs) - 1
    return math.sqrt(total / freedom) if freedom else None


def to_settle(interval: Interval, border: float) -> int | None:
    """Repetitions after which an interval about the same value would no longer hold `border`.

    None where there is no telling: a single trial, or a value that lies at the border (more than MOST).
    """
    if not interval.known or interval.n < 2 or min(interval.value, border) <= 0:
        return None
    distance = abs(math.log(interval.value / border))
    reach = border < interval.value
    end = interval.low if reach else interval.high
    if not (0 < end < math.inf):
        return None
    half = abs(math.log(end / interval.value))
    if distance > half:
        return interval.n
    spread = half * math.sqrt(interval.n) / t_quantile(0.5 + interval.level / 2, interval.n - 1)

    def settles(n: int) -> bool:
        return t_quantile(0.5 + interval.level / 2, n - 1) * spread / math.sqrt(n) < distance

    n = interval.n + 1 + bisect.bisect_left(range(interval.n + 1, MOST + 1), True, key=settles)
    return n if n <= MOST else None
