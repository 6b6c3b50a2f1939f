# SPDX-License-Identifier: Apache-2.0
"""Every claim of an artifact against a run: whether it can be checked here, then what the trials say."""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never

from stackrig.claims import rules
from stackrig.claims.interface import Interface, judge_interface
from stackrig.claims.quantity import Missing, Quantity, measure, select
from stackrig.claims.records import RunData
from stackrig.claims.verdict import Finding, Outcome, Verdict
from stackrig.model.expression import Expression
from stackrig.model.paper import (
    Claim,
    CrossingRule,
    InterfaceRule,
    OrderingRule,
    RangeRule,
    RatioRule,
    ShapeRule,
)
from stackrig.model.trial import Testbed


def judge(claims: Iterable[Claim], data: RunData | None, interface: Interface | None = None) -> list[Verdict]:
    """A verdict on each claim, in their order. `data` None: the artifact was never run."""
    verdicts: list[Verdict] = []
    for claim in claims:
        if isinstance(claim.rule, InterfaceRule):
            verdicts += judge_interface(claim, interface)
        else:
            verdicts.append(Verdict(claim, _finding(claim, data)))
    return verdicts


def _finding(claim: Claim, data: RunData | None) -> Finding:
    if data is None or not data.trials:
        return Finding(Outcome.NOT_CHECKED, "the artifact has not been run")
    if missing := missing_here(claim, data.run.testbed):
        return Finding(Outcome.NOT_TESTABLE, "needs " + "; ".join(missing), missing=tuple(missing))
    try:
        return _decide(claim, data)
    except _UnansweredError as unanswered:
        return unanswered.finding


def missing_here(claim: Claim, testbed: Testbed) -> list[str]:
    """What the claim needs that the testbed does not have."""
    needs, here, lacking = claim.needs, testbed.testbed_class, []
    if here not in needs.testbed:
        lacking.append(f"a testbed of class {' or '.join(needs.testbed)} ({here} here)")
    elif claim.level == "absolute" and here != "lab":
        lacking.append(f"class lab, for the claim is about the paper's hardware ({here} here)")
    if needs.link_gbps is not None and here != "lab":
        lacking.append(f"NICs of {needs.link_gbps:g} Gb/s")
    if testbed.nics < needs.nics:
        lacking.append(f"{needs.nics} NICs ({testbed.nics} here)")
    cores = len(testbed.cores.get("server") or next(iter(testbed.cores.values()), []))
    if cores < needs.server_cores:
        lacking.append(f"{needs.server_cores} server cores ({cores} here)")
    return lacking + list(needs.other)


class _UnansweredError(Exception):
    """The trials cannot answer: why, as a finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.because)
        self.finding = finding


def _decide(claim: Claim, data: RunData) -> Finding:
    rule = claim.rule
    match rule:
        case RatioRule() | RangeRule():
            quantities, notes = _measured(claim, rule.of, data)
            return _with(rules.bounded(rule, quantities), notes, data)
        case ShapeRule():
            quantities, notes = _measured(claim, rule.of, data, along=rule.along)
            return _with(rules.shape(rule, quantities), notes, data)
        case CrossingRule():
            quantities, notes = _measured(claim, rule.of, data, along=rule.along)
            return _with(rules.crossing(rule, quantities), notes, data)
        case OrderingRule():
            pairs, notes = [], []
            for first, second in itertools.pairwise(rule.order):
                text = f"{rule.metric}({first!r}) / {rule.metric}({second!r})"
                quantities, found = _measured(claim, text, data)
                pairs.append((f"{first} / {second}", quantities))
                notes += [note for note in found if note not in notes]
            return _with(rules.ordering(rule, pairs), notes, data)
        case InterfaceRule():
            raise AssertionError("judged by judge_interface")
        case _:
            assert_never(rule)


def _measured(
    claim: Claim, text: str, data: RunData, along: str | None = None
) -> tuple[list[Quantity], list[str]]:
    """The quantity at the points that it can be judged at, and what must be said with it."""
    assert not isinstance(claim.rule, InterfaceRule)
    points = select(data, claim.rule.over)
    if not points:
        raise _UnansweredError(Finding(Outcome.NOT_CHECKED, "this run has no point that the claim is about"))
    expression = Expression(text)
    quantities, missing = measure(data, expression, points, seed=_seed(claim, data))
    known = [quantity for quantity in quantities if quantity.bound != "unknown"]
    if not quantities:
        raise _UnansweredError(_nothing(missing))
    if not known:
        what = "a load that fills both servers (client or load was the limit at every point)"
        raise _UnansweredError(Finding(Outcome.NOT_TESTABLE, f"needs {what}", missing=(what,)))
    if along is not None:
        known = _one_line(known, along)
    return known, _notes(data, quantities, known, missing)


def _nothing(missing: Sequence[Missing]) -> Finding:
    reasons = [f"{why}" + (f" (and {n - 1} more)" if n > 1 else "") for why, n in _tally(missing)]
    lacking = all(gap.lacking for gap in missing)
    if lacking:
        return Finding(Outcome.NOT_TESTABLE, "needs " + "; ".join(reasons), missing=tuple(reasons))
    return Finding(Outcome.NOT_CHECKED, "; ".join(reasons[:3]))


def _tally(missing: Sequence[Missing]) -> list[tuple[str, int]]:
    return list(Counter(gap.why for gap in missing).items())


def _one_line(quantities: Sequence[Quantity], along: str) -> list[Quantity]:
    """The points in the axis' order; their labels lose what they have in common."""
    others = {tuple(pair for pair in quantity.at if pair[0] != along) for quantity in quantities}
    if len(others) > 1:
        raise ValueError(f"a shape is along one axis: `over` must choose one value of every axis but {along}")
    return sorted(quantities, key=lambda quantity: float(dict(quantity.at)[along]))


LIMITS = {
    "client": "the client was saturated",
    "load": "neither server nor client was saturated (the load asked for no more, or others had the cores)",
}


def _notes(
    data: RunData, quantities: Sequence[Quantity], known: Sequence[Quantity], missing: Sequence[Missing]
) -> list[str]:
    """What a reader must know with the verdict."""
    notes = [f"left out: {gap.why}" for gap in missing[:3]]
    if len(missing) > 3:
        notes.append(f"left out: {len(missing) - 3} more points")
    if len(known) < len(quantities):
        count = len(quantities) - len(known)
        notes.append(f"left out: {count} points at which the client or the load was the limit")
    for limit, words in LIMITS.items():
        held = [one for one in known if one.bound != "exact" and limit in {s.limited_by for s in one.sources}]
        if held:
            notes.append(f"at {len(held)} of {len(known)} points {words}: the figure is a bound")
    cells = {(source.system, source.point) for quantity in known for source in quantity.sources}
    behind = [data.cell(*cell) for cell in sorted(cells, key=str)]
    if lost := [trial for cell in behind for trial in cell.lost]:
        why = next((trial.reason for trial in lost if trial.reason), "no reason recorded")
        notes.append(f"{len(lost)} of {sum(len(cell.trials) for cell in behind)} trials lost ({why})")
    doubts: Counter[str] = Counter()
    for cell in behind:
        doubts.update({name: count for name, (count, _) in cell.doubts().items()})
    for name, count in sorted(doubts.items()):
        if name != "client_saturated":
            notes.append(f"{count} trials did not pass the check {name.replace('_', ' ')}")
    return notes


def _with(finding: Finding, notes: Sequence[str], data: RunData) -> Finding:
    """The finding with what must be said with it, and undecided where its trials cannot bear it."""
    told = replace(finding, caveats=(*finding.caveats, *notes))
    decided = (Outcome.CONFIRMED, Outcome.DIRECTION_ONLY, Outcome.CONTRADICTED)
    if finding.outcome in decided and (why := _cannot_bear(finding, data)):
        return replace(told, outcome=Outcome.INCONCLUSIVE, because=f"{why}; {finding.because}")
    return told


BEARING = {
    "counters_agree": "counters disagree about what was sent",
    "wire_limit": "the rate is beyond what the wire can carry",
    "placement": "one side did not pay for its own packets",
    "offered_met": "the offered rate was not met",
}
"""Checks without which a figure means something else than it says."""


def _cannot_bear(finding: Finding, data: RunData) -> str:
    """Why no verdict can rest on these trials: most failed a check that gives a figure its meaning."""
    sources = {(source.system, source.point) for one in finding.evidence for source in one.sources}
    cells = [data.cell(*source) for source in sources]
    count = sum(len(cell.usable) for cell in cells)
    for name, meaning in BEARING.items():
        failed = sum(cell.doubts().get(name, (0, ""))[0] for cell in cells)
        if failed * 2 > count:
            return f"in {failed} of {count} trials {meaning}, so that nothing can be decided"
    return ""


def _seed(claim: Claim, data: RunData) -> int:
    """The bootstrap's seed: of the run and the claim, so that a verdict is the same each time it is drawn."""
    return (data.run.seed << 32 | zlib.crc32(claim.id.encode())) & ((1 << 63) - 1)
