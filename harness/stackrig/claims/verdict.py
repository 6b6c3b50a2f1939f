# SPDX-License-Identifier: Apache-2.0
"""The answer to a claim, and everything that it rests on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stackrig.claims.records import Point
from stackrig.model.paper import Claim
from stackrig.stats.interval import Interval


class Outcome(StrEnum):
    """In the order in which a scoreboard tells them."""

    CONFIRMED = "confirmed"
    DIRECTION_ONLY = "direction only"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTABLE = "not testable here"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Source:
    """The trials of one system and metric behind a number."""

    system: str
    metric: str
    point: Point
    values: tuple[float, ...]
    trials: tuple[str, ...]
    limited_by: str = ""


@dataclass(frozen=True)
class Evidence:
    """One number that the verdict rests on, and what it says alone."""

    label: str
    interval: Interval
    sources: tuple[Source, ...] = ()
    outcome: Outcome | None = None

    @property
    def trials(self) -> list[str]:
        return sorted({trial for source in self.sources for trial in source.trials})


@dataclass(frozen=True)
class Finding:
    """What a rule found, before it is put with its claim."""

    outcome: Outcome
    because: str
    headline: Interval | None = None
    evidence: tuple[Evidence, ...] = ()
    repetitions_needed: int | None = None
    missing: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """A claim and what was found on it."""

    claim: Claim
    finding: Finding
    id: str = ""
    says: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> Outcome:
        return self.finding.outcome

    @property
    def name(self) -> str:
        return self.id or self.claim.id

    @property
    def statement(self) -> str:
        return self.says or self.claim.says


def counts(verdicts: list[Verdict]) -> dict[str, int]:
    """How many of each outcome, zeros too, in the scoreboard's order."""
    found = {outcome.value: 0 for outcome in Outcome}
    for verdict in verdicts:
        found[verdict.outcome.value] += 1
    return found


# As JSON ------------------------------------------------------------------------------------------------


def number(value: float) -> float | str | None:
    """A float as JSON can hold it: infinities by name, no number as null."""
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "infinity" if value > 0 else "-infinity"
    return value


def interval_json(interval: Interval) -> dict[str, Any]:
    return {
        "value": number(interval.value),
        "low": number(interval.low),
        "high": number(interval.high),
        "level": interval.level,
        "trials_per_point": interval.n,
        "method": interval.method,
    }


def to_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as `verdicts.json` has it."""
    claim, found = verdict.claim, verdict.finding
    return {
        "claim": verdict.name,
        "artifact": claim.artifact,
        "panel": claim.panel,
        "where": str(claim.where),
        "says": verdict.statement,
        "reading": claim.reading,
        "form": claim.form,
        "level": claim.level,
        "rule": claim.rule.model_dump(mode="json", exclude_defaults=True),
        "outcome": found.outcome.value,
        "because": found.because,
        "value": interval_json(found.headline) if found.headline else None,
        "repetitions_needed": found.repetitions_needed,
        "missing": list(found.missing),
        "caveats": list(found.caveats),
        "evidence": [_evidence(one) for one in found.evidence],
        **verdict.extra,
    }


def _evidence(evidence: Evidence) -> dict[str, Any]:
    return {
        "label": evidence.label,
        "outcome": evidence.outcome.value if evidence.outcome else None,
        **interval_json(evidence.interval),
        "sources": [
            {
                "system": source.system,
                "metric": source.metric,
                "point": dict(source.point),
                "values": list(source.values),
                "trials": list(source.trials),
                "limited_by": source.limited_by,
            }
            for source in evidence.sources
        ],
    }
