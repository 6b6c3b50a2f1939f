# SPDX-License-Identifier: Apache-2.0
"""Method `compare`: a metric of the candidate over the same of the peer, trials interleaved, at each point.

With `options: {each_at_its_best: {AXIS: [VALUES]}}` each side has the value, such as a rate of queries offered, at
which it does best. A few trials at all of the values find it; fresh trials of both sides at theirs, interleaved, are
what is judged, so that the choice is not made by the trials that it favours. Where a side's best lies at an end of
the values, nobody knows what lies beyond: the bar is not decided. Except where it is the candidate's, and at the
upper end: with more it could only have done better, so that its rate is a lower bound, which decides a bar that it
passes. More may be offered than is served.

The ratio is the median of the repetitions' ratios: a machine that slows down slows both sides of a pair.

Where the loop is closed and the candidate's client is near the end of its core the candidate's rate is a lower bound,
and the note says so: it can only be too small, never too large. The peer's client must have head-room, or the
ratio would be the client's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from stackrig.bench import trials
from stackrig.bench.base import Measured, Tell, ratio
from stackrig.model.bar import Bar
from stackrig.model.base import Scalar
from stackrig.model.trial import Point, Trial
from stackrig.session import Session
from stackrig.validity import SATURATED

ROLES: tuple[Literal["candidate", "peer"], ...] = ("candidate", "peer")
# Trials at each value in search of a side's best: of three, all may meet the machine in its slow state.
SEARCH = 5
PLATEAU = 0.03  # values that differ by no more are equally good
SERVER_FULL = 98.0  # % of its loop's time: it could not have served more, however busy its client was
NEAR = 0.88  # of its core: beyond it the client slows the server down, without hiding it yet


def measure(bar: Bar, session: Session, tell: Tell) -> Measured:
    assert bar.peer is not None
    choices = _choices(bar)
    measured = Measured([], bar.peer, 0)
    pairs = [[trials.point(bar, role, settings) for role in ROLES] for settings in bar.points]
    chosen: list[Chosen] = [Chosen() for _ in pairs]
    if choices:
        pairs, chosen = _each_at_its_best(bar, choices, session, tell, measured)
    if not any(pairs):
        return measured
    records, folder = trials.run(bar, [pair for pair in pairs if pair], session, tell)
    measured.folder = folder.path
    measured.failures += _failed(records)
    for settings, pair, how in zip(bar.points, pairs, chosen, strict=True):
        if pair:
            _judge(bar, trials.told(settings), records, pair, how, measured)
    measured.trials = trials.fewest(measured)
    return measured


@dataclass
class Chosen:
    """What is said of the values at which both sides are compared. `bound`: the candidate might do better beyond."""

    notes: list[str] = field(default_factory=list)
    bound: bool = False


def _failed(records: list[Trial]) -> list[str]:
    return [f"{r.id}: {r.reason}; again: {r.rerun}" for r in records if r.status != "ok"]


def _judge(
    bar: Bar, told: str, records: list[Trial], pair: list[Point], how: Chosen, measured: Measured
) -> None:
    candidate, peer = pair
    ours, theirs = trials.usable(records, candidate, bar.metric), trials.usable(records, peer, bar.metric)
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        lacking = "peer" if ours else "candidate"
        if ours and theirs:
            lacking = "both in one repetition"
        measured.failures.append(f"{told}: no valid trial of {lacking}")
        return
    if _saturated(records, peer):
        measured.failures.append(f"{told}: {peer.label}'s client was saturated")
        return
    paired = [side[repetition] for repetition in both for side in (ours, theirs)]
    overload = frozenset({"offered_met"} if _choices(bar) else ())
    if why := trials.cannot_bear(paired, overload):
        measured.failures.append(f"{told}: {why}")
        return
    notes = how.notes + _clients(records, candidate, peer) + trials.notes(paired, overload)
    if alone := len(ours.keys() ^ theirs.keys()):
        notes.append(f"{alone} trials without a valid one beside them in their repetition were left out")
    candidates, peers = [[side[r].metrics[bar.metric].value for r in both] for side in (ours, theirs)]
    unit = ours[both[0]].metrics[bar.metric].unit
    outcome = ratio(told, candidates, peers, unit, notes)
    if how.bound:
        outcome.bound = "at least" if bar.better == "higher" else "at most"
        if not bar.holds(outcome.value):
            measured.failures.append(
                f"{told}: {outcome.bound} {outcome.value:.3g}: {candidate.label}'s best is at the end of the "
                "values; what lies beyond may be better"
            )
            return
    measured.outcomes.append(outcome)


def _choices(bar: Bar) -> list[dict[str, Scalar]]:
    axes: dict[str, list[Scalar]] = bar.options.get("each_at_its_best", {})
    return [{axis: value} for axis, values in axes.items() for value in values]


def _each_at_its_best(
    bar: Bar, choices: list[dict[str, Scalar]], session: Session, tell: Tell, measured: Measured
) -> tuple[list[list[Point]], list[Chosen]]:
    """For every point of the bar both sides at what suits each, and what is said of the choice. An empty pair where
    a side's best is not known: `measured` has the reason."""
    sides = [
        [[trials.point(bar, role, {**settings, **one}) for one in choices] for role in ROLES]
        for settings in bar.points
    ]
    rows = [[side[index] for side in pair] for pair in sides for index in range(len(choices))]
    records, folder = trials.run(bar, rows, session, tell, SEARCH)
    measured.failures += _failed(records)
    pairs, told = [], []
    for settings, pair in zip(bar.points, sides, strict=True):
        found = [_best(bar, records, side) for side in pair]
        decided = []
        for role, side, best in zip(ROLES, pair, found, strict=True):
            if best.point is None or (
                best.open_end and not (role == "candidate" and best.open_end == "upper")
            ):
                measured.failures.append(
                    f"{trials.told(settings)}: {side[0].label}: {best.why}; {folder.path}"
                )
            else:
                decided.append(best.point)
        notes = [f"{point.label} at {_setting(point, choices)}" for point in decided]
        bound = bool(found[0].open_end)
        if bound and found[0].point in decided:
            notes.append(f"{found[0].point.label}: {found[0].why}: its rate is a bound")
        pairs.append(decided if len(decided) == len(ROLES) else [])
        told.append(Chosen(notes, bound))
    return pairs, told


@dataclass(frozen=True)
class Best:
    """The point of a side at which its median is the best, or why none is known. `open_end`: it is at an end of the
    values, and the value beside it is clearly worse."""

    point: Point | None
    why: str = ""
    open_end: Literal["", "lower", "upper"] = ""


def _best(bar: Bar, records: list[Trial], side: list[Point]) -> Best:
    medians = [median(values) if (values := _values(records, one, bar.metric)) else None for one in side]
    found = [value for value in medians if value is not None]
    if not found:
        return Best(None, "no valid trial at any of the values")
    best = (max if bar.better == "higher" else min)(found)
    at = medians.index(best)
    inward = {0: 1, len(side) - 1: len(side) - 2}.get(at)
    beside = medians[inward] if inward is not None and len(side) > 1 else best
    if beside is None or abs(best / beside - 1) > PLATEAU:
        why = f"its best ({best:.6g}) is at the end of the values; what lies beyond may be better"
        return Best(side[at], why, "lower" if at == 0 else "upper")
    return Best(side[at])


def _setting(point: Point, choices: list[dict[str, Scalar]]) -> str:
    return ", ".join(f"{axis} {point.settings[axis]}" for axis in choices[0])


def _values(records: list[Trial], point: Point, metric: str) -> list[float]:
    return [record.metrics[metric].value for record in trials.usable(records, point, metric).values()]


def _saturated(records: list[Trial], point: Point) -> bool:
    """Of most of its trials; where more was offered than served, the server was the limit however busy its client."""
    found = [_saturated_one(trial) for trial in records if trial.point == point and trial.status == "ok"]
    return found.count(True) * 2 > len(found)


def _saturated_one(trial: Trial) -> bool:
    server = trial.metrics.get("server_busy_percent")
    if server is not None and server.value >= SERVER_FULL:
        return False
    if trial.validity is not None:
        return bool(trial.validity.client_saturated.value)
    busy = trial.metrics.get("client_busy")
    return busy is not None and busy.value >= SATURATED


def _clients(records: list[Trial], *points: Point) -> list[str]:
    said = []
    for point in points:
        if busy := _values(records, point, "client_busy"):
            bound = "; the rate is a lower bound" if median(busy) >= NEAR else ""
            said.append(f"{point.label}: client's core {median(busy):.0%} busy{bound}")
    return said
