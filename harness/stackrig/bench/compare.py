# SPDX-License-Identifier: Apache-2.0
"""Method `compare`: a metric of the candidate over the same of the peer, trials interleaved, at each point.

With `options: {each_at_its_best: {AXIS: [VALUES]}}` every side is measured at all of the values, such as rates of
queries offered, and counts with the one at which it does best: a server that is offered far more than it answers
spends its core on refusing.

The ratio is the median of the repetitions' ratios: a machine that slows down slows both sides of a pair.

Where the loop is closed and the candidate's client is near the end of its core the candidate's rate is a lower bound,
and the note says so: it can only be too small, never too large. The peer's client must have head-room, or the
ratio would be the client's.
"""

from __future__ import annotations

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
NEAR = 0.88  # of its core: beyond it the client slows the server down, without hiding it yet


def measure(bar: Bar, session: Session, tell: Tell) -> Measured:
    assert bar.peer is not None
    choices = _choices(bar)
    sides: list[list[list[Point]]] = [
        [[trials.point(bar, role, {**settings, **one}) for one in choices] for role in ROLES]
        for settings in bar.points
    ]
    rows = [[side[index] for side in pair] for pair in sides for index in range(len(choices))]
    records, folder = trials.run(bar, rows, session, tell)
    measured = Measured([], bar.peer, 0, folder.path)
    measured.failures = [f"{r.id}: {r.reason}; again: {r.rerun}" for r in records if r.status != "ok"]
    for settings, pair in zip(bar.points, sides, strict=True):
        told = trials.told(settings)
        candidate, peer = (_best(bar, records, side) for side in pair)
        ours, theirs = trials.usable(records, candidate, bar.metric), trials.usable(records, peer, bar.metric)
        both = sorted(ours.keys() & theirs.keys())
        if not both:
            lacking = "peer" if ours else "candidate"
            if ours and theirs:
                lacking = "both in one repetition"
            measured.failures.append(f"{told}: no valid trial of {lacking}")
            continue
        if _saturated(records, peer):
            measured.failures.append(f"{told}: {peer.label}'s client was saturated")
            continue
        paired = [side[repetition] for repetition in both for side in (ours, theirs)]
        if why := trials.cannot_bear(paired):
            measured.failures.append(f"{told}: {why}")
            continue
        notes = _clients(records, candidate, peer) + _chosen(choices, candidate, peer) + trials.notes(paired)
        if alone := len(ours.keys() ^ theirs.keys()):
            notes.append(f"{alone} trials without a valid one beside them in their repetition were left out")
        candidates, peers = [[side[r].metrics[bar.metric].value for r in both] for side in (ours, theirs)]
        unit = ours[both[0]].metrics[bar.metric].unit
        measured.outcomes.append(ratio(told, candidates, peers, unit, notes))
    measured.trials = trials.fewest(measured)
    return measured


def _choices(bar: Bar) -> list[dict[str, Scalar]]:
    axes: dict[str, list[Scalar]] = bar.options.get("each_at_its_best", {})
    return [{axis: value} for axis, values in axes.items() for value in values] or [{}]


def _best(bar: Bar, records: list[Trial], side: list[Point]) -> Point:
    """The point of a side at which its median is the best; the first where there is no value at all."""
    found = [(median(values), point) for point in side if (values := _values(records, point, bar.metric))]
    if not found:
        return side[0]
    best = max if bar.better == "higher" else min
    return best(found, key=lambda one: one[0])[1]


def _chosen(choices: list[dict[str, Scalar]], *points: Point) -> list[str]:
    axes = list(choices[0])
    return [f"{point.label} at {axis} {point.settings[axis]}" for point in points for axis in axes]


def _values(records: list[Trial], point: Point, metric: str) -> list[float]:
    return [record.metrics[metric].value for record in trials.usable(records, point, metric).values()]


def _saturated(records: list[Trial], point: Point) -> bool:
    """Of most of its trials; where more was offered than served, the server was the limit however busy its client."""
    found = [_saturated_one(trial) for trial in records if trial.point == point and trial.status == "ok"]
    return found.count(True) * 2 > len(found)


def _saturated_one(trial: Trial) -> bool:
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
