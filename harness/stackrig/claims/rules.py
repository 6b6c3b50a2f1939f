# SPDX-License-Identifier: Apache-2.0
"""What decides a claim of each form, once the quantity is known at the points that it is about.

Intervals decide, never estimates. A point is held against the claim only by an interval that is wide enough
for all points looked at (Bonferroni), so that one bad draw of many does not contradict a paper.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from stackrig.claims.quantity import Array, Quantity, geometric_mean, ratio
from stackrig.claims.records import show
from stackrig.claims.verdict import Evidence, Finding, Outcome
from stackrig.model.paper import CrossingRule, OrderingRule, RangeRule, RatioRule, ShapeRule
from stackrig.stats.interval import LEVEL, Interval
from stackrig.stats.repetitions import to_settle

FEWEST = 3
"""Repetitions to ask for where a single trial gave no interval at all."""

Decide = Callable[[Interval, Interval], Outcome]
"""From the interval, and the one that is wide enough for all points together."""


def bounded(rule: RatioRule | RangeRule, quantities: Sequence[Quantity]) -> Finding:
    """A quantity within bounds: at every point, at some point, or for the points' geometric mean."""
    direction = rule.direction if isinstance(rule, RatioRule) else "none"

    def decide(interval: Interval, wide: Interval) -> Outcome:
        if interval.inside(rule.at_least, rule.at_most):
            return Outcome.CONFIRMED
        if not wide.apart(rule.at_least, rule.at_most):
            return Outcome.INCONCLUSIVE
        if direction == "none":
            return Outcome.CONTRADICTED
        right = interval.above(1) if direction == "above" else interval.below(1)
        if right:
            return Outcome.DIRECTION_ONLY
        none = wide.below(1 + rule.margin) if direction == "above" else wide.above(1 - rule.margin)
        return Outcome.CONTRADICTED if none else Outcome.INCONCLUSIVE

    chosen = [geometric_mean(quantities)] if rule.points == "geometric mean" else list(quantities)
    borders = [rule.at_least, rule.at_most] if direction == "none" else [rule.at_least, rule.at_most, 1.0]
    evidence = _each(chosen, decide)
    outcome = _some(evidence) if rule.points == "some" else _every(evidence)
    said = f"the claim: {bounds(rule.at_least, rule.at_most)}"
    return _finding(outcome, evidence, borders, said)


def ordering(rule: OrderingRule, pairs: Sequence[tuple[str, Sequence[Quantity]]]) -> Finding:
    """`pairs`: for each two systems that follow each other, the ratio of the first to the second."""

    def decide(interval: Interval, wide: Interval) -> Outcome:
        if interval.above(1):
            return Outcome.CONFIRMED
        return Outcome.CONTRADICTED if wide.below(1 + rule.margin) else Outcome.INCONCLUSIVE

    named = [
        replace(quantity, label=f"{names} at {quantity.label}")
        for names, found in pairs
        for quantity in found
    ]
    evidence = _each(named, decide)
    return _finding(_every(evidence), evidence, [1.0], f"the claim: {' above '.join(rule.order)}")


def shape(rule: ShapeRule, quantities: Sequence[Quantity]) -> Finding:
    """`quantities` in the axis' order. Rising: the whole rise is clear, and no step clearly falls."""
    if len(quantities) < 2:
        return Finding(Outcome.NOT_CHECKED, f"a shape needs two points along {_words(rule.along)} at least")
    if rule.trend == "level":
        return _level(rule, quantities)
    rising = rule.trend == "rising"
    ends = (quantities[-1], quantities[0]) if rising else (quantities[0], quantities[-1])
    whole = ratio(*ends, label=f"{_at(ends[0], rule.along)} over {_at(ends[1], rule.along)}")
    interval = whole.interval()
    if interval.above(1):
        outcome = Outcome.CONFIRMED
    elif whole.interval().below(1 + rule.margin):
        outcome = Outcome.CONTRADICTED
    else:
        outcome = Outcome.INCONCLUSIVE
    steps = []
    for before, after in itertools.pairwise(quantities):
        pair = (after, before) if rising else (before, after)
        step = ratio(*pair, label=f"from {_at(before, rule.along)} to {_at(after, rule.along)}")
        wide = step.interval(_wide(len(quantities) - 1))
        back = wide.below(1 - rule.margin)
        steps.append(_evidence(step, Outcome.CONTRADICTED if back else None))
    turned = [step for step in steps if step.outcome is Outcome.CONTRADICTED]
    if outcome is Outcome.CONFIRMED and turned:
        outcome = Outcome.DIRECTION_ONLY
    evidence = [_evidence(whole, outcome), *steps]
    said = f"the claim: {rule.trend} along {_words(rule.along)}"
    if turned:
        said += f"; it turns back at {len(turned)} of {len(steps)} steps"
    return _finding(outcome, evidence, [1.0], said, decisive=evidence[0])


def _level(rule: ShapeRule, quantities: Sequence[Quantity]) -> Finding:
    """The largest over the smallest of the points, within the margin.

    Which is the largest is chance as well: it is found anew in each draw. For the same reason the spread of points
    that are level is more than 1, so what contradicts is the interval of two points that is wide enough for all
    pairs of them.
    """
    values = [quantity.value for quantity in quantities]
    most, least = quantities[int(np.argmax(values))], quantities[int(np.argmin(values))]
    places = (_at(most, rule.along), _at(least, rule.along))
    chosen = ratio(most, least, label="largest ({}) over smallest ({})".format(*places))

    def spreads(rows: Sequence[Array]) -> Array:
        stacked = np.array(rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Array = stacked.max(axis=0) / stacked.min(axis=0)
        return found

    spread = replace(
        chosen,
        draws=spreads([quantity.draws for quantity in quantities]),
        by_repetition=spreads([quantity.by_repetition for quantity in quantities]),
    )
    interval, limit = spread.interval(), 1 + rule.margin
    if interval.below(limit):
        outcome = Outcome.CONFIRMED
    else:
        wide = chosen.interval(_wide(math.comb(len(quantities), 2)))
        outcome = Outcome.CONTRADICTED if wide.above(limit) else Outcome.INCONCLUSIVE
    evidence = [_evidence(spread, outcome)]
    return _finding(outcome, evidence, [limit], f"the claim: level within {rule.margin * 100:g} %")


def crossing(rule: CrossingRule, quantities: Sequence[Quantity]) -> Finding:
    """The first value of the axis at which the quantity is past the level, draw by draw.

    It is a value of the grid: what lies between two of them was not measured. Past the largest one it is
    infinite.
    """
    if len(quantities) < 2:
        return Finding(
            Outcome.NOT_CHECKED, f"a crossing needs two points along {_words(rule.along)} at least"
        )
    axis: Array = np.array([float(dict(quantity.at)[rule.along]) for quantity in quantities] + [math.inf])

    def first_past(rows: Sequence[Array]) -> Array:
        stacked = np.array(rows)
        past = stacked <= rule.level if rule.start == "above" else stacked >= rule.level
        where = np.argmax(np.vstack([past, np.ones_like(past[:1])]), axis=0)
        found: Array = axis[where]
        return found

    n = min(quantity.n for quantity in quantities)
    value = float(first_past([np.array([quantity.value]) for quantity in quantities])[0])
    ends = [math.nan, math.nan]
    if n >= 2:
        draws = np.sort(first_past([quantity.draws for quantity in quantities]))
        alone = np.array([quantity.by_repetition for quantity in quantities])
        each = first_past(list(alone[:, np.isfinite(alone).all(axis=0)]))
        tail = (1 - LEVEL) / 2
        low, high = draws[int(tail * (draws.size - 1))], draws[math.ceil((1 - tail) * (draws.size - 1))]
        ends = [
            min(float(low), value, float(each.min(initial=math.inf))),
            max(float(high), value, float(each.max(initial=-math.inf))),
        ]
    interval = Interval(value, ends[0], ends[1], n)
    if interval.inside(rule.at_least, rule.at_most):
        outcome = Outcome.CONFIRMED
    else:
        outcome = (
            Outcome.CONTRADICTED if interval.apart(rule.at_least, rule.at_most) else Outcome.INCONCLUSIVE
        )
    label = f"first {_words(rule.along)} past {rule.level:g}"
    sources = tuple(source for quantity in quantities for source in quantity.sources)
    evidence = Evidence(label, interval, sources, outcome)
    where = "nowhere on the grid" if math.isinf(value) else f"at {show(rule.along, int(value))}"
    because = f"{rule.level:g} is passed {where}; the claim: {_axis_bounds(rule)}"
    return Finding(
        outcome,
        because,
        headline=interval,
        evidence=(evidence,),
        repetitions_needed=FEWEST if outcome is Outcome.INCONCLUSIVE and n < 2 else None,
    )


# Parts that the forms share ---------------------------------------------------------------------------------


def _at(quantity: Quantity, axis: str) -> str:
    return show(axis, dict(quantity.at)[axis])


def _wide(points: int) -> float:
    """The level of one interval of many that all hold at LEVEL together."""
    return 1 - (1 - LEVEL) / max(points, 1)


def _evidence(quantity: Quantity, outcome: Outcome | None) -> Evidence:
    return Evidence(quantity.label, quantity.interval(), quantity.sources, outcome)


def _each(quantities: Sequence[Quantity], decide: Decide) -> list[Evidence]:
    level = _wide(len(quantities))
    found = []
    for quantity in quantities:
        interval = quantity.interval()
        outcome = decide(interval, quantity.interval(level)) if interval.known else Outcome.INCONCLUSIVE
        found.append(_evidence(quantity, outcome))
    return found


def _every(evidence: Sequence[Evidence]) -> Outcome:
    """The verdict of a claim that must hold everywhere: the worst, a contradiction first."""
    found = {one.outcome for one in evidence}
    for outcome in (Outcome.CONTRADICTED, Outcome.INCONCLUSIVE, Outcome.DIRECTION_ONLY):
        if outcome in found:
            return outcome
    return Outcome.CONFIRMED


def _some(evidence: Sequence[Evidence]) -> Outcome:
    """The verdict of a claim that must hold somewhere: the best."""
    found = {one.outcome for one in evidence}
    for outcome in (Outcome.CONFIRMED, Outcome.DIRECTION_ONLY, Outcome.INCONCLUSIVE):
        if outcome in found:
            return outcome
    return Outcome.CONTRADICTED


def _finding(
    outcome: Outcome,
    evidence: Sequence[Evidence],
    borders: Sequence[float],
    said: str,
    decisive: Evidence | None = None,
) -> Finding:
    deciding = [one for one in evidence if one.outcome is outcome] or list(evidence)
    # Of all that decide alike, the one nearest to a border: where the verdict would turn first.
    shown = decisive or min(deciding, key=lambda one: _distance(one.interval, borders))
    because = f"{shown.label}: {told(shown.interval)}; {said}"
    if len(evidence) > 1 and decisive is None:
        because += f" ({outcome.value} at {len(deciding)} of {len(evidence)} points)"
    needed = _repetitions(deciding, borders) if outcome is Outcome.INCONCLUSIVE else None
    if outcome is Outcome.INCONCLUSIVE and needed is None:
        because += f"; {_unsettled(deciding)}"
    return Finding(outcome, because, shown.interval, tuple(evidence), needed)


def _unsettled(evidence: Sequence[Evidence]) -> str:
    """Why more repetitions alone would not decide."""
    if any(math.isinf(one.interval.low) or math.isinf(one.interval.high) for one in evidence):
        return "only a load that fills the server would settle it"
    return "it lies at the border itself, so that repetitions alone may not settle it"


def _distance(interval: Interval, borders: Sequence[float]) -> float:
    real = [border for border in borders if math.isfinite(border)]
    return min((abs(interval.value - border) for border in real), default=0.0)


def _repetitions(evidence: Sequence[Evidence], borders: Sequence[float]) -> int | None:
    """The most that any undecided point needs; None where one cannot be settled so."""
    most = FEWEST
    for one in evidence:
        interval = one.interval
        if not interval.known:
            continue
        for border in borders:
            if interval.low <= border <= interval.high:
                needed = to_settle(interval, border)
                if needed is None:
                    return None
                most = max(most, needed)
    return most


def told(interval: Interval) -> str:
    """`3.1 (2.8 to 3.4)`; `at least 2.8` for a bound."""
    if not interval.known:
        return f"{interval.value:.3g} in a single trial"
    if math.isinf(interval.high) and math.isfinite(interval.low):
        return f"at least {interval.low:.3g} (a bound; {interval.value:.3g} measured)"
    if math.isinf(interval.low) and math.isfinite(interval.high):
        return f"at most {interval.high:.3g} (a bound; {interval.value:.3g} measured)"
    return f"{interval.value:.3g} ({interval.low:.3g} to {interval.high:.3g})"


def bounds(least: float, most: float) -> str:
    """A claim's bounds as words."""
    if math.isinf(most):
        return f"at least {least:g}"
    if math.isinf(least):
        return f"at most {most:g}"
    return f"{least:g} to {most:g}"


def _axis_bounds(rule: CrossingRule) -> str:
    def shown(end: float) -> str:
        return show(rule.along, int(end))

    if math.isinf(rule.at_most):
        return f"at {shown(rule.at_least)} or later"
    if math.isinf(rule.at_least):
        return f"by {shown(rule.at_most)}"
    return f"between {shown(rule.at_least)} and {shown(rule.at_most)}"


def _words(axis: str) -> str:
    return axis.replace("_", " ")
