# SPDX-License-Identifier: Apache-2.0
"""Trials for bars: the same runner, records and order as an artifact's."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Literal

from stackrig import plan, registry, runner
from stackrig.bench.base import Measured, Tell
from stackrig.claims.judge import BEARING
from stackrig.claims.records import checks
from stackrig.model.bar import Bar
from stackrig.model.base import Scalar, format_size
from stackrig.model.experiment import Experiment, Profile
from stackrig.model.trial import Point, Trial
from stackrig.plan import Plan, Planned
from stackrig.records import RunFolder
from stackrig.session import Session


def point(bar: Bar, role: Literal["candidate", "peer"], settings: dict[str, Scalar]) -> Point:
    """A point as an artifact's grid would have it. Both sides may be one system in two settings."""
    label, own = (bar.candidate, bar.candidate_fixed) if role == "candidate" else (bar.peer, bar.peer_fixed)
    assert label is not None
    experiment = Experiment(
        systems=[label],
        workload=bar.workload,
        load=bar.load,
        wire=bar.wire,
        fixed={**bar.fixed, **own, **settings},
        profiles={plan.BENCH: _profile(bar)},
    )
    system, variant = registry.resolve_system(label)
    return plan.one_point(experiment, system, variant)


def sides(bar: Bar, settings: dict[str, Scalar]) -> list[Point]:
    """The points of candidate and, where the bar has one, peer."""
    return [point(bar, "candidate", settings), *([point(bar, "peer", settings)] if bar.peer else [])]


def _profile(bar: Bar) -> Profile:
    return Profile(repetitions=bar.trials, warmup_s=bar.warmup_s, duration_s=bar.duration_s)


def run(
    bar: Bar, rows: list[list[Point]], session: Session, tell: Tell, repetitions: int | None = None
) -> tuple[list[Trial], RunFolder]:
    """Rows are compared with each other point by point; trials of a row follow each other in every repetition."""
    numbered = [[(index, one) for one in row] for index, row in enumerate(rows)]
    trials = plan.order(numbered, repetitions or bar.trials, 1, _profile(bar))
    whole = Plan(f"{plan.BENCH}-{bar.name}", plan.BENCH, 1, repetitions or bar.trials, trials, False, {})
    folder = runner.begin(whole, session)

    def progress(planned: Planned, record: Trial) -> None:
        rate = record.metrics.get(bar.metric)
        said = f"{rate.value:.6g} {rate.unit}" if rate else f"{record.status}: {record.reason}"
        tell(f"[{planned.order + 1}/{len(trials)}] {record.id}: {said}")

    runner.go(whole, folder, session, progress)
    return folder.read(), folder


def usable(records: Sequence[Trial], point: Point, metric: str) -> dict[int, Trial]:
    """Repetition → the point's trial, where it counts and has the metric."""
    return {r.repetition: r for r in records if r.point == point and r.status == "ok" and metric in r.metrics}


def most(records: Sequence[Trial], name: str, value: bool) -> tuple[str, str] | None:
    """Where a check came out so in more than half of the trials: in how many ("3 of 5 trials"), and the evidence of
    the first."""
    found = [one for r in records if (one := checks(r).get(name)) and one.value is value]
    if len(found) * 2 <= len(records):
        return None
    return f"{len(found)} of {len(records)} trials", found[0].evidence


def in_all(bar: Bar, sides: Sequence[dict[int, Trial]], told: str, measured: Measured) -> list[int]:
    """The repetitions in which each side has a valid trial, where that is all of them; else none, and `measured` has
    the reason: those that failed may be those that went worst."""
    both = sorted(set.intersection(*(set(side) for side in sides)))
    if len(both) >= bar.trials:
        return both
    measured.failures.append(
        f"{told}: {len(both)} of {bar.trials} repetitions have valid trials of both sides"
    )
    return []


def cannot_bear(records: Sequence[Trial], but: Set[str] = frozenset()) -> str:
    """Why no bar can be decided by these trials: most failed a check that gives a figure its meaning. `but`: checks
    that do not matter here."""
    for name, meaning in BEARING.items():
        if name in but:
            continue
        if failed := most(records, name, False):
            return f"in {failed[0]} {meaning}: {failed[1]}"
    return ""


def notes(records: Sequence[Trial], but: Set[str] = frozenset()) -> list[str]:
    """How many trials others disturbed, and how many did not pass another check."""
    count = len(records)
    quiet = sum(found.value is True for r in records if (found := checks(r).get("undisturbed")))
    unknown = sum((found := checks(r).get("undisturbed")) is None or found.value is None for r in records)
    unseen = f", {unknown} not checked" if unknown else ""
    told = [f"{quiet} of {count} trials undisturbed by other processes{unseen}"]
    for name, meaning in BEARING.items():
        failed = sum(found.value is False for r in records if (found := checks(r).get(name)))
        told += [f"in {failed} of {count} trials {meaning}"] if failed and name not in but else []
    return told


def fewest(measured: Measured) -> int:
    """Trials of the candidate that counted, at the point that has fewest."""
    return min((len(outcome.candidate) for outcome in measured.outcomes), default=0)


def told(settings: dict[str, Scalar]) -> str:
    parts = [
        f"{name}={format_size(value) if name in plan.SIZES and isinstance(value, int) else value}"
        for name, value in settings.items()
    ]
    return ", ".join(parts)
