# SPDX-License-Identifier: Apache-2.0
"""What the harness calls of the analysis, in one place. Imports are late: `list` must not load numpy.

The analysis knows trials only through their records, so every function here takes a run's folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def render(run_dir: Path) -> Path:
    """Draw, tabulate and judge one run: figure, data, verdicts and page. Returns the page's path."""
    from stackrig.report.artifact import render as implementation

    return Path(implementation(run_dir))


def paired_ratio(numerator: Sequence[float], denominator: Sequence[float], seed: int) -> dict[str, Any]:
    """Median of the ratios of pairs, with its bootstrap interval over pairs: {"value", "low", "high"}."""
    from stackrig.stats.bootstrap import median_of_ratios

    found = median_of_ratios(numerator, denominator, seed=seed)
    return {"value": found.value, "low": found.low, "high": found.high}


def median_interval(values: Sequence[float], seed: int) -> dict[str, Any]:
    """Median with its bootstrap interval: {"value", "low", "high"}."""
    from stackrig.stats.bootstrap import median

    found = median(values, seed=seed)
    return {"value": found.value, "low": found.low, "high": found.high}


def interface(artifact: str) -> Path:
    """Check an interface table against the sources and tests, and write its page. Returns the page's path."""
    from stackrig.report.artifact import render_interface

    return Path(render_interface(artifact))


def machines(artifact: str) -> Path:
    """Write the page of a paper's machines beside this testbed. Returns the page's path."""
    from stackrig.report.machines import render_machines
    from stackrig.report.site import refresh

    page = render_machines(artifact)
    refresh(page.parent)
    return page
