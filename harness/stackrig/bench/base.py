# SPDX-License-Identifier: Apache-2.0
"""What every method of a bar gives back, and how it is judged."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from stackrig import analysis_api, names, plan, registry
from stackrig.claims.verdict import number
from stackrig.errors import RunError, UserError, unknown
from stackrig.model.bar import Bar
from stackrig.model.base import Scalar, parse_scalar
from stackrig.session import Session
from stackrig.signals import came_of_an_interrupt

Tell = Callable[[str], None]
T = TypeVar("T")


@dataclass
class Outcome:
    """One point of a bar: both sides, and what is held against the bar with its interval."""

    point: str
    value: float
    low: float
    high: float
    candidate: list[float]
    peer: list[float]
    unit: str  # of candidate and peer
    notes: list[str] = field(default_factory=list)
    bound: str = ""  # "at least", "at most": the candidate might do better than was tried


@dataclass
class Measured:
    outcomes: list[Outcome]
    peer_name: str | None
    trials: int  # that counted, of the candidate, at the point that decides
    folder: Path | None = None
    failures: list[str] = field(default_factory=list)
    candidate_name: str = ""  # where it is not the bar's candidate
    wanted: int = 0  # outcomes of a whole measurement, where they are not one for each of the bar's points


def load(name: str) -> Bar:
    from stackrig.yamlfile import load as load_file

    known = registry.bars()
    if name not in known:
        raise unknown("bar", name, known)
    bar = load_file(known[name], Bar)
    if bar.name != name:
        raise UserError(f"{known[name]}:1: field name: expected {name}, the file's name, got {bar.name}")
    names.check_bar(known[name], bar, methods())
    return bar


def only(bar: Bar, wanted: Sequence[str]) -> Bar:
    """The bar at some of its points: `--point file_size=1KiB`. A grid's axes are narrowed as well."""
    from stackrig.bench import trials

    filters = plan.parse_filters(wanted)
    bar, filters = _narrowed(bar, filters)
    sides = [trials.sides(bar, settings) for settings in bar.points]
    points = [point for pair in sides for point in pair]
    known = {name for point in points for name in point.settings}
    for name in filters:
        if name not in known:
            raise unknown(f"setting of bar {bar.name}", name, known)
    plan.check_filters(filters, points, f"bar {bar.name}")
    wanted_of = zip(bar.points, sides, strict=True)
    found = [settings for settings, pair in wanted_of if any(plan.matches(one, filters) for one in pair)]
    if not found:
        raise UserError(f"--point {' '.join(wanted)}: bar {bar.name} has no such point")
    return bar.model_copy(update={"points": found})


def _narrowed(bar: Bar, filters: dict[str, str]) -> tuple[Bar, dict[str, str]]:
    """The bar with those filters taken that are about its axes, and the others."""
    axes: dict[str, list[Scalar]] = dict(bar.options.get("axes", {}))
    for name in set(axes) & set(filters):
        found = [value for value in axes[name] if str(value) == str(parse_scalar(filters[name]))]
        if not found:
            raise unknown(f"{name} of bar {bar.name}", filters[name], [str(value) for value in axes[name]])
        axes[name] = found
    left = {name: value for name, value in filters.items() if name not in axes}
    options = {**bar.options, "axes": axes} if axes else bar.options
    return bar.model_copy(update={"options": options}), left


def methods() -> list[str]:
    shared = ("__init__", "base", "trials")
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in shared)


def measure(bar: Bar, session: Session, tell: Tell) -> Measured:
    found: Measured = importlib.import_module(f"stackrig.bench.{bar.method}").measure(bar, session, tell)
    return found


def attempt(what: str, session: Session, measured: Measured, tell: Tell, go: Callable[[], T]) -> T | None:
    """One trial of a method of its own. A failure is told and kept; the trials after it are made all the same."""
    try:
        return go()
    except (RunError, OSError, ValueError) as error:
        if came_of_an_interrupt(error):
            raise KeyboardInterrupt from error
        tell(f"{what}: failed: {error}")
        measured.failures.append(f"{what}: {error}")
        if not session.hosts_answer():
            session.renew()
        return None


def deciding(bar: Bar, measured: Measured) -> Outcome | None:
    """The point at which the bar is nearest to falling, or has fallen furthest."""
    if not measured.outcomes:
        return None
    worst = bar.worst([outcome.value for outcome in measured.outcomes])
    return next(outcome for outcome in measured.outcomes if outcome.value == worst)


def ratio(
    point: str, candidate: Sequence[float], peer: Sequence[float], unit: str, notes: list[str]
) -> Outcome:
    """`candidate` and `peer` in pairs, each pair measured side by side."""
    found = analysis_api.paired_ratio(candidate, peer, seed=1)
    return Outcome(
        point, found["value"], found["low"], found["high"], list(candidate), list(peer), unit, notes
    )


def single(point: str, values: Sequence[float], unit: str, notes: list[str]) -> Outcome:
    found = analysis_api.median_interval(values, seed=1)
    return Outcome(point, found["value"], found["low"], found["high"], list(values), [], unit, notes)


def as_json(bar: Bar, measured: Measured) -> dict[str, Any]:
    worst = deciding(bar, measured)
    return {
        "name": bar.name,
        "value": number(worst.value) if worst else None,
        "low": number(worst.low) if worst else None,
        "high": number(worst.high) if worst else None,
        "unit": bar.unit,
        "peer": measured.peer_name,
        "bar": bar.bar,
        "holds": bool(worst and bar.holds(worst.value) and not _unmeasured(bar, measured)),
        "straddles": bool(worst and straddles(bar, worst)),
        "trials": measured.trials,
        "points": [
            vars(outcome) | {end: number(getattr(outcome, end)) for end in ("value", "low", "high")}
            for outcome in measured.outcomes
        ],
        "failures": measured.failures,
        "records": str(measured.folder) if measured.folder else None,
    }


def straddles(bar: Bar, outcome: Outcome) -> bool:
    """The median decides; does its interval hold the bar, so that other trials could decide otherwise?"""
    return outcome.low < bar.bar < outcome.high


def _unmeasured(bar: Bar, measured: Measured) -> bool:
    return len(measured.outcomes) < max(1, measured.wanted or len(bar.points))
