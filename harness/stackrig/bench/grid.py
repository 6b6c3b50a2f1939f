# SPDX-License-Identifier: Apache-2.0
"""Method `grid`: pairs of systems over a grid of settings; every cell, and the cells' median.

`options`: `pairs`, candidate and peer; `axes`, whose combinations are run for each of the bar's points; and
`median_at_least`, which the median of all cells' ratios must reach. That is judged as one more point, whose value is
the median over what is asked of it, so that the same bar decides it.

All systems of a cell follow each other in every repetition; a ratio is the median of the repetitions' ratios.
"""

from __future__ import annotations

import itertools
from statistics import median
from typing import Any

from stackrig.bench import trials
from stackrig.bench.base import Measured, Outcome, Tell, ratio
from stackrig.model.bar import Bar
from stackrig.model.base import Scalar
from stackrig.model.trial import Point, Trial
from stackrig.session import Session

Pair = tuple[str, str]


def measure(bar: Bar, session: Session, tell: Tell) -> Measured:
    pairs: list[Pair] = [(candidate, peer) for candidate, peer in bar.options["pairs"]]
    cells = cells_of(bar)
    points = [{label: _point(bar, label, cell) for label in _labels(pairs)} for cell in cells]
    records, folder = trials.run(bar, [list(cell.values()) for cell in points], session, tell)
    measured = Measured([], ", ".join(dict.fromkeys(peer for _, peer in pairs)), 0, folder.path)
    measured.candidate_name = ", ".join(dict.fromkeys(candidate for candidate, _ in pairs))
    measured.failures = [f"{r.id}: {r.reason}; again: {r.rerun}" for r in records if r.status != "ok"]
    for cell, of_cell in zip(cells, points, strict=True):
        for candidate, peer in pairs:
            told = f"{candidate} over {peer}: {trials.told(cell)}"
            _judge(bar, told, records, (of_cell[candidate], of_cell[peer]), measured)
    measured.trials = trials.fewest(measured)
    measured.wanted = expected(bar)
    whole = len(measured.outcomes) == len(cells) * len(pairs)
    if whole and (wanted := bar.options.get("median_at_least")):
        measured.outcomes.append(middle(measured.outcomes, float(wanted)))
    return measured


def cells_of(bar: Bar) -> list[dict[str, Scalar]]:
    """The settings of every cell: each of the bar's points at each combination of the axes."""
    axes: dict[str, list[Scalar]] = bar.options["axes"]
    return [
        {**point, **dict(zip(axes, values, strict=True))}
        for point in bar.points
        for values in itertools.product(*axes.values())
    ]


def expected(bar: Bar) -> int:
    """How many outcomes a whole measurement has."""
    cells = len(cells_of(bar)) * len(bar.options["pairs"])
    return cells + (1 if bar.options.get("median_at_least") else 0)


def middle(outcomes: list[Outcome], wanted: float) -> Outcome:
    """The median of the cells' ratios, over what is asked of it. Its interval is that of the medians of the ends."""
    values, lows, highs = (
        median([getattr(o, end) for o in outcomes]) / wanted for end in ("value", "low", "high")
    )
    note = f"the median of {len(outcomes)} cells is {values * wanted:.3f}; asked for {wanted:g}"
    return Outcome(
        f"median over {wanted:g}", values, lows, highs, [o.value for o in outcomes], [], "ratio", [note]
    )


def clients_full(of_peer: list[Trial]) -> str:
    """Why a cell tells nothing of the peer: its clients, or the box beside them, had no time left."""
    full = trials.most(of_peer, "client_saturated", True)
    return f"the peer's clients were full in {full[0]}: {full[1]}" if full else ""


def _labels(pairs: list[Pair]) -> list[str]:
    return list(dict.fromkeys(label for pair in pairs for label in pair))


def _point(bar: Bar, label: str, cell: dict[str, Scalar]) -> Point:
    return trials.point(bar.model_copy(update={"candidate": label}), "candidate", cell)


def _judge(bar: Bar, told: str, records: list[Trial], sides: tuple[Point, Point], measured: Measured) -> None:
    candidate, peer = (trials.usable(records, point, bar.metric) for point in sides)
    if not (both := trials.in_all(bar, [candidate, peer], told, measured)):
        return
    used: list[Any] = [trial[repetition] for repetition in both for trial in (candidate, peer)]
    if why := trials.cannot_bear(used, but={"counters_agree"}):
        measured.failures.append(f"{told}: {why}")
        return
    if why := clients_full([peer[repetition] for repetition in both]):
        measured.failures.append(f"{told}: {why}")
        return
    values = [
        [side[repetition].metrics[bar.metric].value for repetition in both] for side in (candidate, peer)
    ]
    unit = used[0].metrics[bar.metric].unit
    measured.outcomes.append(ratio(told, values[0], values[1], unit, trials.notes(used)))
