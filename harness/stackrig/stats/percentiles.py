# SPDX-License-Identifier: Apache-2.0
"""Which percentiles so many samples support."""

from __future__ import annotations

import math

BEYOND = 10
"""A percentile is supported where at least so many samples lie beyond it: p99.9 needs 10,000."""


def samples_needed(q: float) -> int:
    """How many samples the quantile `q` needs."""
    if not 0 < q < 1:
        raise ValueError(f"q is {q}; expected between 0 and 1")
    return math.ceil(round(BEYOND / min(q, 1 - q), 6))
